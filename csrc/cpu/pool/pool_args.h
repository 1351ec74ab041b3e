// Arguments of the pooling kernels; their contract is at the head of pool.h.
#pragma once

#include "cpu/runtime/thread_pool.h"
#include "problem.h"

namespace fastconv {

struct PoolArgs {
  PoolProblem problem;
  const void* x;
  void* y;
  int64_t* indices;  // or null; max only
};
using PoolKernel = void (*)(ThreadPool& pool, const PoolArgs& args);

// Of one storage type.
struct PoolKernels {
  PoolKernel max_pool, avg_pool;
};

}  // namespace fastconv

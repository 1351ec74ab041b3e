// Arguments of the linear kernels; their contract is at the head of dot.h.
#pragma once

#include "cpu/runtime/thread_pool.h"
#include "problem.h"

namespace fastconv {

struct LinearArgs {
  int64_t m, n, k;
  const void *x, *weight;  // [m][k], [n][k] in the storage type
  const void* bias;        // [n] in the compute type, or null
  void* y;                 // [m][n]
};
using LinearKernel = void (*)(ThreadPool& pool, const LinearArgs& args);

}  // namespace fastconv

// Arguments of the pooling kernels; their contracts are at the heads of pool.h, pool_grad.h and unpool.h.
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

// Pixels of an image whose positions a vector's lanes hold.
inline constexpr int64_t kIndexLimit = int64_t(1) << 32;

// Windows row_first[h] <= p < row_last[h] can hold row h (with dilation some of them do not), columns likewise.
struct PoolGradArgs {
  int64_t n, c, h, w, p, q;
  const int32_t *row_first, *row_last;   // h entries each
  const int32_t *col_first, *col_last;   // w entries each
  const int32_t *row_count, *col_count;  // p and q entries; avg only
  const void* grad;
  const int64_t* indices;  // max only
  void* gx;
};
using PoolGradKernel = void (*)(ThreadPool& pool, const PoolGradArgs& args);

// An image of `small` pixels, each element of which has a place among the `large` pixels of the other one.
struct UnpoolArgs {
  int64_t n, small, large, channels;
  const void* x;           // the small image, or for the gradient that of the large one
  const int64_t* indices;  // [n][small][channels]
  void* y;                 // the other
};
using UnpoolKernel = void (*)(ThreadPool& pool, const UnpoolArgs& args);

// Of one storage type.
struct PoolKernels {
  PoolKernel max_pool, avg_pool;
  PoolGradKernel max_pool_grad, avg_pool_grad;
  UnpoolKernel max_unpool, max_unpool_grad;
};

}  // namespace fastconv

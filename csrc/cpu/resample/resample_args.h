// Arguments of the resampling kernel; its contract is at the head of resample.h.
#pragma once

#include "cpu/runtime/thread_pool.h"
#include "dtype.h"

namespace fastconv {

// Row p of the output takes rows row_first[p] + i of the input, 0 <= i < row_begin[p + 1] - row_begin[p], each times
// row_weight[row_begin[p] + i]; columns likewise.
struct ResampleArgs {
  int64_t n, c, h, w, p, q;
  const int32_t *row_first, *row_begin;  // p and p + 1 entries
  const int32_t *col_first, *col_begin;  // q and q + 1 entries
  const void *row_weight, *col_weight;   // in the compute type
  const void* x;
  void* y;
};
using ResampleKernel = void (*)(ThreadPool& pool, const ResampleArgs& args);

}  // namespace fastconv

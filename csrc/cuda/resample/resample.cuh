// A separable linear map of images, channels-last: interpolation of every kind, and with the transposed tables its
// gradient.
//
//   y[n,p,q,c] = sum over rows h of row_weight[p][h] (sum over columns w of col_weight[q][w] x[n,h,w,c])
//
// tables: row_first of P entries, row_begin of P + 1, col_first of Q, col_begin of Q + 1; row p takes the rows
// row_first[p] + i, 0 <= i < row_begin[p + 1] - row_begin[p], times weights[row_begin[p] + i], columns likewise with
// the weights after those of the rows. One thread an output pixel and `width` channels of it; it gathers in the order
// of the rows and columns, so that the result is the same every time. What has no weight is not read.
#pragma once

#include "cuda/math.cuh"
#include "cuda/pool/placement.cuh"
#include "cuda/ptx/dtype.cuh"

namespace fastconv {

// dilation of PoolShape has no meaning here.
template <class T, int width>
__global__ void __launch_bounds__(256)
    resample(const T* x, T* y, const int32_t* tables, const Compute<T>* weights, PoolShape d) {
  using C = Compute<T>;
  const PoolPlace to = pool_place<width>(d);
  if (to.column >= d.q || to.channel >= d.c) return;
  const int64_t image = to.row / unsigned(d.p);
  const int32_t p = int32_t(to.row % unsigned(d.p)), q = to.column;
  const int32_t *const row_begin = tables + d.p, *const cols = row_begin + d.p + 1, *const col_begin = cols + d.q;
  const int32_t first_row = row_begin[p], row_taps = row_begin[p + 1] - first_row;
  const int32_t first_col = col_begin[q], col_taps = col_begin[q + 1] - first_col;
  const C *const row_weight = weights + first_row, *const col_weight = weights + row_begin[d.p] + first_col;
  const T* const from = x + image * d.h * d.w * d.c + to.channel;

  C sum[width] = {};
  for (int32_t i = 0; i < (col_taps > 0 ? row_taps : 0); ++i) {
    const T* tap = from + (int64_t(tables[p] + i) * d.w + cols[q]) * d.c;
    C row[width];
    for (int32_t j = 0; j < col_taps; ++j, tap += d.c) {
      const Pack<T, width> taps = load_pack<width>(tap);
      const C weight = col_weight[j];
#pragma unroll
      for (int k = 0; k < width; ++k)
        row[k] = j == 0 ? to_compute(taps.at[k]) * weight : multiply_add(C(to_compute(taps.at[k])), weight, row[k]);
    }
    const C weight = row_weight[i];
#pragma unroll
    for (int k = 0; k < width; ++k) sum[k] = i == 0 ? row[k] * weight : multiply_add(row[k], weight, sum[k]);
  }
  Pack<T, width> result;
#pragma unroll
  for (int k = 0; k < width; ++k) result.at[k] = from_compute<T>(sum[k]);
  store_pack(y + (int64_t(to.row) * d.q + q) * d.c + to.channel, result);
}

}  // namespace fastconv

// The gradients of pooling, channels-last, as gathers: each input element adds up what the windows that hold it give,
// in the order of the windows, so that nothing is added atomically and the result is the same every time.
//
//   max  gx[n,h,w,c] = sum of grad[n,p,q,c] over the windows with indices[n,p,q,c] = h W + w
//   avg  gx[n,h,w,c] = sum of grad[n,p,q,c] / (row_count[p] col_count[q]) over the windows that hold (h, w)
//
// tables: row_first, row_last of H entries each, then col_first, col_last of W: windows row_first[h] <= p < row_last[h]
// can hold row h (with dilation some of them do not), columns likewise; for avg then row_count[P] and col_count[Q].
// One thread an input pixel and `width` channels of it.
#pragma once

#include "cuda/pool/pool.cuh"

namespace fastconv {

template <class T, int width>
__global__ void __launch_bounds__(kPoolThreads)
    max_pool_grad(const T* grad, const int64_t* indices, T* gx, const int32_t* tables, PoolShape d) {
  const PoolPlace to = pool_place<width>(d);
  if (to.column >= d.w || to.channel >= d.c) return;
  const int64_t image = to.row / unsigned(d.h);
  const int32_t h = int32_t(to.row % unsigned(d.h)), w = to.column;
  const int32_t *const rows = tables, *const cols = tables + 2 * int64_t(d.h);
  const int32_t row_last = rows[d.h + h], col_first = cols[w], col_last = cols[d.w + w];
  const int64_t pixel = int64_t(h) * d.w + w;
  const int64_t from = image * d.p * d.q * d.c + to.channel;
  constexpr int each = width < 2 ? 1 : 2;  // two indices fill 16 bytes

  Compute<T> sum[width] = {};
  for (int32_t p = rows[h]; p < row_last; ++p)
    for (int32_t q = col_first; q < col_last; ++q) {
      const int64_t window = from + (int64_t(p) * d.q + q) * d.c;
      const Pack<T, width> given = load_pack<width>(grad + window);
#pragma unroll
      for (int i = 0; i < width; i += each) {
        const Pack<int64_t, each> at = load_pack<each>(indices + window + i);
#pragma unroll
        for (int j = 0; j < each; ++j)
          if (at.at[j] == pixel) sum[i + j] += to_compute(given.at[i + j]);
      }
    }

  Pack<T, width> result;
#pragma unroll
  for (int i = 0; i < width; ++i) result.at[i] = from_compute<T>(sum[i]);
  store_pack(gx + (int64_t(to.row) * d.w + w) * d.c + to.channel, result);
}

template <class T, int width>
__global__ void __launch_bounds__(kPoolThreads)
    avg_pool_grad(const T* grad, T* gx, const int32_t* tables, PoolShape d) {
  const PoolPlace to = pool_place<width>(d);
  if (to.column >= d.w || to.channel >= d.c) return;
  const int64_t image = to.row / unsigned(d.h);
  const int32_t h = int32_t(to.row % unsigned(d.h)), w = to.column;
  const int32_t *const rows = tables, *const cols = tables + 2 * int64_t(d.h);
  const int32_t *const row_count = cols + 2 * int64_t(d.w), *const col_count = row_count + d.p;
  const int32_t row_last = rows[d.h + h], col_first = cols[w], col_last = cols[d.w + w];
  const T* const from = grad + image * d.p * d.q * d.c + to.channel;

  Compute<T> sum[width] = {};
  for (int32_t p = rows[h]; p < row_last; ++p)
    for (int32_t q = col_first; q < col_last; ++q) {
      const Compute<T> count = Compute<T>(row_count[p]) * Compute<T>(col_count[q]);
      const Compute<T> inverse = inverse_of(count);
      const Pack<T, width> given = load_pack<width>(from + (int64_t(p) * d.q + q) * d.c);
#pragma unroll
      for (int i = 0; i < width; ++i) sum[i] += mean_of(to_compute(given.at[i]), count, inverse);
    }

  Pack<T, width> result;
#pragma unroll
  for (int i = 0; i < width; ++i) result.at[i] = from_compute<T>(sum[i]);
  store_pack(gx + (int64_t(to.row) * d.w + w) * d.c + to.channel, result);
}

}  // namespace fastconv

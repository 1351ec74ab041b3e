// avg_pool (pool.cuh) for windows of many pixels, such as all of an image: the same contract and tables, but the rows
// of a window are shared out among kWideRows threads, whose sums are added in their order through shared memory. One
// thread a window would read its pixels one after the other, and small batches would leave most of the device idle.
//
// A block takes one output pixel and kWidePacks packs of channels: neighbours in a warp read neighbouring memory.
// Shared memory: 8 x 32 x width sums, 8 KiB for 16-bit types. The order of additions depends on the window alone.
#pragma once

#include "cuda/pool/pool.cuh"

namespace fastconv {

inline constexpr int kWidePacks = 32;
inline constexpr int kWideRows = 8;

template <class T, int width>
__global__ void __launch_bounds__(kWidePacks* kWideRows)
    wide_avg_pool(const T* x, T* y, const int32_t* tables, PoolShape d) {
  using C = Compute<T>;
  FC_SHARED(C, sums, [kWideRows][width][kWidePacks]);
  const int pack = int(threadIdx.x) % kWidePacks, share = int(threadIdx.x) / kWidePacks;
  const unsigned pixel = blockIdx.x / unsigned(d.blocks_c), row = pixel / unsigned(d.q);
  const int32_t p = int32_t(row % unsigned(d.p)), q = int32_t(pixel % unsigned(d.q));
  const int64_t image = row / unsigned(d.p);
  const int64_t c = (int64_t(blockIdx.x % unsigned(d.blocks_c)) * kWidePacks + pack) * width;
  const int32_t *const rows = tables, *const cols = tables + 3 * int64_t(d.p);
  const int32_t row_end = rows[d.p + p], col_start = cols[q], col_end = cols[d.q + q];
  const T* const from = x + image * d.h * d.w * d.c + c;

  C sum[width] = {};
  if (c < d.c) {
    for (int32_t h = rows[p] + share; h < row_end; h += kWideRows)
#pragma unroll 4
      for (int32_t w = col_start; w < col_end; ++w) {
        const Pack<T, width> taps = load_pack<width>(from + (int64_t(h) * d.w + w) * d.c);
#pragma unroll
        for (int i = 0; i < width; ++i) sum[i] += to_compute(taps.at[i]);
      }
  }
#pragma unroll
  for (int i = 0; i < width; ++i) sums[share][i][pack] = sum[i];
  __syncthreads();
  if (share != 0 || c >= d.c) return;

  const C count = C(rows[2 * int64_t(d.p) + p]) * C(cols[2 * int64_t(d.q) + q]);
  const C inverse = inverse_of(count);
  Pack<T, width> result;
#pragma unroll
  for (int i = 0; i < width; ++i) {
    for (int j = 1; j < kWideRows; ++j) sum[i] += sums[j][i][pack];
    result.at[i] = from_compute<T>(mean_of(sum[i], count, inverse));
  }
  store_pack(y + int64_t(pixel) * d.c + c, result);
}

}  // namespace fastconv

// Images times a number a channel, channels-last, and the gradients.
//
//   scale_channels       y[n,i,c] = x[n,i,c] s[n,c]                           (with grad for x: dx)
//   scale_channels_sums  ds[n,c] = sum over i of grad[n,i,c] x[n,i,c]
//
// scale_channels: one thread `width` elements of every so many. scale_channels_sums: a block takes an image and
// kScalePacks packs of channels, so that a warp reads neighbouring memory; its kScaleRows rows of threads share out the
// pixels, and their sums are added in their order: it depends on the image alone.
#pragma once

#include "cuda/math.cuh"
#include "cuda/ptx/dtype.cuh"

namespace fastconv {

inline constexpr int kScalePacks = 32;
inline constexpr int kScaleRows = 8;

template <class T, int width>
__global__ void __launch_bounds__(256)
    scale_channels(const T* x, const T* scale, T* y, int64_t n, int64_t pixels, int64_t channels) {
  const int64_t step = int64_t(gridDim.x) * blockDim.x, packs = channels / width, count = n * pixels * packs;
  for (int64_t i = int64_t(blockIdx.x) * blockDim.x + threadIdx.x; i < count; i += step) {
    const int64_t image = i / (pixels * packs), c = i % packs * width;
    Pack<T, width> pack = load_pack<width>(x + i * width);
    const Pack<T, width> factor = load_pack<width>(scale + image * channels + c);
#pragma unroll
    for (int j = 0; j < width; ++j) pack.at[j] = from_compute<T>(to_compute(pack.at[j]) * to_compute(factor.at[j]));
    store_pack(y + i * width, pack);
  }
}

template <class T, int width>
__global__ void __launch_bounds__(kScalePacks* kScaleRows)
    scale_channels_sums(const T* grad, const T* x, T* dscale, int64_t pixels, int64_t channels, int blocks_c) {
  using C = Compute<T>;
  FC_SHARED(C, sums, [kScaleRows][width][kScalePacks]);
  const int pack = int(threadIdx.x) % kScalePacks, share = int(threadIdx.x) / kScalePacks;
  const int64_t c = (int64_t(blockIdx.x % unsigned(blocks_c)) * kScalePacks + pack) * width;
  const int64_t image = blockIdx.x / unsigned(blocks_c);
  C sum[width] = {};
  if (c < channels) {
    for (int64_t i = share; i < pixels; i += kScaleRows) {
      const int64_t at = (image * pixels + i) * channels + c;
      const Pack<T, width> given = load_pack<width>(grad + at), input = load_pack<width>(x + at);
#pragma unroll
      for (int j = 0; j < width; ++j)
        sum[j] = multiply_add(C(to_compute(given.at[j])), C(to_compute(input.at[j])), sum[j]);
    }
  }
#pragma unroll
  for (int j = 0; j < width; ++j) sums[share][j][pack] = sum[j];
  __syncthreads();
  if (share != 0 || c >= channels) return;
  Pack<T, width> result;
#pragma unroll
  for (int j = 0; j < width; ++j) {
    for (int row = 1; row < kScaleRows; ++row) sum[j] += sums[row][j][pack];
    result.at[j] = from_compute<T>(sum[j]);
  }
  store_pack(dscale + image * channels + c, result);
}

}  // namespace fastconv

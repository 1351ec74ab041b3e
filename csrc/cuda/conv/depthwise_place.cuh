// Which part of an image batch a thread of the depthwise kernels works on.
#pragma once

#include "cuda/math.cuh"
#include "cuda/ptx/dtype.cuh"
#include "problem.h"

namespace fastconv {

inline constexpr int kDepthwiseThreads = 256;
inline constexpr int kStrip = 4;  // pixels of a row that a thread computes

// A block is `lanes` packs of channels x `strips` strips of a row x 256 / (lanes strips) rows, powers of two with
// lanes strips <= 32: a warp reads neighbouring channels of neighbouring pixels of one row, and the rows of a block
// overlap in L1. Blocks go along channels, then along the row, then down the rows of all images, so that those that run
// at the same time share lines of L2.
struct DepthwisePlace {
  int64_t c;
  int32_t column, image, row;  // column: the strip's first
  bool inside;
};

template <int kWidth>
FC_DEVICE DepthwisePlace depthwise_place(int64_t channels, int images, int rows, int columns, int lanes, int strips) {
  const unsigned packs = unsigned(channels / kWidth), along = unsigned((columns + kStrip - 1) / kStrip);
  const unsigned tiles_c = (packs + lanes - 1) / lanes, tiles_w = (along + strips - 1) / strips;
  const unsigned thread = threadIdx.x, line = thread / unsigned(lanes * strips);
  const unsigned each = kDepthwiseThreads / unsigned(lanes * strips);
  const unsigned pack = blockIdx.x % tiles_c * lanes + thread % lanes;
  const unsigned strip = blockIdx.x / tiles_c % tiles_w * strips + thread / lanes % strips;
  const unsigned row = blockIdx.x / tiles_c / tiles_w * each + line;
  return {int64_t(pack) * kWidth, int32_t(strip) * kStrip, int32_t(row / unsigned(rows)), int32_t(row % unsigned(rows)),
          pack < packs && strip < along && row < unsigned(images) * unsigned(rows)};
}

// A pack of zeros: what lies outside an image.
template <class T, int kWidth>
FC_DEVICE Pack<T, kWidth> zeros() {
  Pack<T, kWidth> pack;
#pragma unroll
  for (int i = 0; i < kWidth; ++i) pack.at[i] = from_compute<T>(Compute<T>(0));
  return pack;
}

// sum += a b, channel by channel.
template <class T, int kWidth>
FC_DEVICE void accumulate(Compute<T> (&sum)[kWidth], const Pack<T, kWidth>& a, const Pack<T, kWidth>& b) {
#pragma unroll
  for (int i = 0; i < kWidth; ++i) sum[i] = multiply_add(to_compute(a.at[i]), to_compute(b.at[i]), sum[i]);
}

}  // namespace fastconv

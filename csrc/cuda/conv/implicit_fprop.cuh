// Forward convolution as a matrix product that never builds its left matrix:
//
//   y[m, k] = act(bias[k] + residual[m, k] + sum over (r, s, c) of x[pixel(m, r, s), c] w[k, r, s, c])
//
// with m over the output pixels (n, p, q) and pixel = (n, p stride_h - pad_top + r dilation_h, q stride_w - ...). x is
// NHWC, w is KRSC, y is NPQK; channels c and k are those of group blockIdx.z.
//
// A block computes kM pixels x kN filters. The inner dimension is walked tap by tap (r, then s), kK channels at a time,
// so that a step of it is, for every pixel, one run of channels in memory. kStages tiles of x and w are under way:
// copies for step t + kStages - 1 are issued when step t starts, into the stage that step t - 1 has left; the one
// barrier a step both publishes what arrived and tells that everybody has left.
//
// Tile                 threads   shared memory (3 stages)    accumulators a thread
// 128 x 128 x 64 half  256       96 KB                       64
// 128 x  64 x 64 half  128       72 KB                       64
//  64 x  64 x 64 half  128       48 KB                       32
#pragma once

#include "cuda/conv/store_tile.cuh"
#include "cuda/gemm/fma_tile.cuh"
#include "cuda/gemm/mma_tile.cuh"
#include "cuda/gemm/pipeline.cuh"
#include "problem.h"

namespace fastconv {

// "at least 1 block" is said so that ptxas does not spill to fit one more block than shared memory holds anyway.
template <class T, class Tile, int kStages, bool kAligned>
__global__ void __launch_bounds__(Tile::kThreads, 1)
    implicit_fprop(const T* x, const T* w, const Compute<T>* bias, const T* residual, T* y, const ConvProblem d,
                   int activation, int vectors) {
  using TileA = SharedTile<T, Tile::kM, Tile::kK>;
  using TileB = SharedTile<T, Tile::kN, Tile::kK>;
  using ShareA = FillShare<TileA, Tile::kM, Tile::kThreads>;
  using ShareB = FillShare<TileB, Tile::kN, Tile::kThreads>;
  FC_DYNAMIC_SHARED(shared);
  T* const stages = reinterpret_cast<T*>(shared);
  constexpr int kStage = TileA::kElements + TileB::kElements;

  const int thread = int(threadIdx.x);
  const int height = int(d.h), width = int(d.w), p_extent = int(d.p), q_extent = int(d.q);
  const int group_c = int(d.c / d.groups), group_k = int(d.k / d.groups), group = int(blockIdx.z);
  const int pixels = int(d.n) * p_extent * q_extent;
  // Filters fastest: the blocks that run together share their pixels in L2.
  const int tiles_n = (group_k + Tile::kN - 1) / Tile::kN;
  const int m0 = int(blockIdx.x) / tiles_n * Tile::kM, n0 = int(blockIdx.x) % tiles_n * Tile::kN;

  // The rows of A that this thread fills: the image, and the pixel under the filter's first tap.
  const T* image[ShareA::kCount];
  int row_h[ShareA::kCount], row_w[ShareA::kCount];
#pragma unroll
  for (int i = 0; i < ShareA::kCount; ++i) {
    const int m = m0 + ShareA::row(thread, i);
    const int n = m / (p_extent * q_extent), p = m / q_extent % p_extent, q = m % q_extent;
    image[i] = x + int64_t(n) * height * width * d.c + int64_t(group) * group_c;
    // A row past the last pixel lies outside the image under every tap.
    row_h[i] = m < pixels ? p * int(d.stride_h) - int(d.pad_top) : -(1 << 30);
    row_w[i] = q * int(d.stride_w) - int(d.pad_left);
  }
  const T* const filters = w + int64_t(group) * group_k * d.r * d.s * group_c;

  int r = 0, s = 0, c = 0;  // the step that is filled next
  const auto fill = [&](int stage) {
    T* const a = stages + stage * kStage;
    T* const b = a + TileA::kElements;
    const int at = c + ShareA::chunk(thread) * kPerVector<T>;
#pragma unroll
    for (int i = 0; i < ShareA::kCount; ++i) {
      const int h = row_h[i] + r * int(d.dilation_h), v = row_w[i] + s * int(d.dilation_w);
      const bool inside = unsigned(h) < unsigned(height) && unsigned(v) < unsigned(width);
      const int valid = inside ? valid_elements<T>(at, group_c) : 0;
      const T* from = valid > 0 ? image[i] + (int64_t(h) * width + v) * d.c + at : x;
      fill_chunk<kAligned>(a + TileA::at(ShareA::row(thread, i), ShareA::chunk(thread)), from, valid);
    }
    const int at_b = c + ShareB::chunk(thread) * kPerVector<T>;
#pragma unroll
    for (int i = 0; i < ShareB::kCount; ++i) {
      const int k = n0 + ShareB::row(thread, i);
      const int valid = k < group_k ? valid_elements<T>(at_b, group_c) : 0;
      const T* from = valid > 0 ? filters + ((int64_t(k) * d.r + r) * d.s + s) * group_c + at_b : w;
      fill_chunk<kAligned>(b + TileB::at(ShareB::row(thread, i), ShareB::chunk(thread)), from, valid);
    }
    if ((c += Tile::kK) >= group_c) {
      c = 0;
      if (++s == int(d.s)) s = 0, ++r;
    }
  };

  const int steps = int(d.r * d.s) * ((group_c + Tile::kK - 1) / Tile::kK);
  Tile tile;
  pipeline<kStages>(steps, fill, [&](int stage) {
    const T* const a = stages + stage * kStage;
    tile.template multiply<false, false>(a, a + TileA::kElements);
  });

  const int64_t first = int64_t(group) * group_k + n0;
  const TileOutput<T> out{
      bias == nullptr ? nullptr : bias + first, residual, y, group_k - n0, activation, vectors != 0};
  store_tile<false, false>(
      tile, shared, out, [&](int row) -> int64_t { return m0 + row < pixels ? int64_t(m0 + row) * d.k + first : -1; });
}

}  // namespace fastconv

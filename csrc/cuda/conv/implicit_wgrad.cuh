// The gradient of a convolution with respect to its weight, as a matrix product over the output pixels:
//
//   partial[split, k, r, s, c] = sum over pixels m of the split of dy[m, k] x[pixel(m, r, s), c]
//   dw[k, r, s, c] = sum over splits, in their order, of partial[split, k, r, s, c]
//
// A block computes kM filters x kN channels of one tap; splits cut the pixels into runs of whole steps, so that small
// weights still fill the device. Partial sums go to a workspace and are added by a second kernel: the result does not
// depend on which block ended first. Both operands lie transposed in shared memory, one row a pixel.
#pragma once

#include "cuda/conv/store_tile.cuh"
#include "cuda/gemm/fma_tile.cuh"
#include "cuda/gemm/mma_tile.cuh"
#include "cuda/gemm/pipeline.cuh"
#include "problem.h"

namespace fastconv {

// The grid is (tiles of k x tiles of c x taps, splits, groups); `run` is the pixels of a split, a multiple of kK.
template <class T, class Tile, int kStages, bool kAligned>
__global__ void __launch_bounds__(Tile::kThreads, 1)
    implicit_wgrad(const T* dy, const T* x, typename Tile::Accumulator* partial, const ConvProblem d, int run) {
  using TileA = SharedTile<T, Tile::kK, Tile::kM>;
  using TileB = SharedTile<T, Tile::kK, Tile::kN>;
  using ShareA = FillShare<TileA, Tile::kK, Tile::kThreads>;
  using ShareB = FillShare<TileB, Tile::kK, Tile::kThreads>;
  FC_DYNAMIC_SHARED(shared);
  T* const stages = reinterpret_cast<T*>(shared);
  constexpr int kStage = TileA::kElements + TileB::kElements;

  const int thread = int(threadIdx.x), group = int(blockIdx.z);
  const int p_extent = int(d.p), q_extent = int(d.q);
  const int group_c = int(d.c / d.groups), group_k = int(d.k / d.groups);
  const int tiles_m = (group_k + Tile::kM - 1) / Tile::kM, tiles_n = (group_c + Tile::kN - 1) / Tile::kN;
  const int tap = int(blockIdx.x) / (tiles_m * tiles_n);
  const int r = tap / int(d.s), s = tap % int(d.s);
  const int k0 = int(blockIdx.x) / tiles_n % tiles_m * Tile::kM, c0 = int(blockIdx.x) % tiles_n * Tile::kN;
  const int begin = int(blockIdx.y) * run;
  const int end = min(begin + run, int(d.n) * p_extent * q_extent);

  int step = begin;  // the first pixel of the step that is filled next
  const auto fill = [&](int stage) {
    T* const a = stages + stage * kStage;
    T* const b = a + TileA::kElements;
    const int k = k0 + ShareA::chunk(thread) * kPerVector<T>;
#pragma unroll
    for (int i = 0; i < ShareA::kCount; ++i) {
      const int m = step + ShareA::row(thread, i);
      const int valid = m < end ? valid_elements<T>(k, group_k) : 0;
      const T* from = valid > 0 ? dy + int64_t(m) * d.k + int64_t(group) * group_k + k : dy;
      fill_chunk<kAligned>(a + TileA::at(ShareA::row(thread, i), ShareA::chunk(thread)), from, valid);
    }
    const int c = c0 + ShareB::chunk(thread) * kPerVector<T>;
#pragma unroll
    for (int i = 0; i < ShareB::kCount; ++i) {
      const int m = step + ShareB::row(thread, i);
      const int n = m / (p_extent * q_extent), p = m / q_extent % p_extent, q = m % q_extent;
      const int h = p * int(d.stride_h) - int(d.pad_top) + r * int(d.dilation_h);
      const int v = q * int(d.stride_w) - int(d.pad_left) + s * int(d.dilation_w);
      const bool inside = m < end && unsigned(h) < unsigned(d.h) && unsigned(v) < unsigned(d.w);
      const int valid = inside ? valid_elements<T>(c, group_c) : 0;
      const T* from = valid > 0 ? x + ((int64_t(n) * d.h + h) * d.w + v) * d.c + int64_t(group) * group_c + c : x;
      fill_chunk<kAligned>(b + TileB::at(ShareB::row(thread, i), ShareB::chunk(thread)), from, valid);
    }
    step += Tile::kK;
  };

  const int steps = (end - begin + Tile::kK - 1) / Tile::kK;
  Tile tile;
  pipeline<kStages>(steps, fill, [&](int stage) {
    const T* const a = stages + stage * kStage;
    tile.template multiply<true, true>(a, a + TileA::kElements);
  });

  using Accumulator = typename Tile::Accumulator;
  const TileOutput<Accumulator> out{nullptr, nullptr, partial, group_c - c0, int(Activation::kNone), false};
  store_tile<true, true>(tile, shared, out, [&](int row) -> int64_t {
    if (k0 + row >= group_k) return -1;
    const int64_t filter = int64_t(blockIdx.y) * d.k + int64_t(group) * group_k + k0 + row;
    return (filter * d.r * d.s + tap) * group_c + c0;
  });
}

// dw[i] = sum over splits of partial[split, i], the first split first.
template <class T>
__global__ void __launch_bounds__(256) sum_splits(const Compute<T>* partial, T* dw, int64_t count, int splits) {
  const int64_t step = int64_t(gridDim.x) * blockDim.x;
  for (int64_t i = int64_t(blockIdx.x) * blockDim.x + threadIdx.x; i < count; i += step) {
    Compute<T> sum = 0;
    for (int split = 0; split < splits; ++split) sum += partial[split * count + i];
    dw[i] = from_compute<T>(sum);
  }
}

}  // namespace fastconv

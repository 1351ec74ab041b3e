// The gradient of a convolution with respect to its input, as a matrix product:
//
//   dx[n, h, w, c] = sum over (r, s, k) of dy[n, p, q, k] weight[k, r, s, c]
//                    where p stride_h = h + pad_top - r dilation_h and q stride_w = w + pad_left - s dilation_w
//
// With stride s only every s-th tap meets an output. The input pixels are therefore split into stride_h x stride_w
// classes, (h mod stride_h, w mod stride_w): within a class the same taps meet for all pixels, and p = h / stride_h +
// const. A block works on one class (part of blockIdx.z) and walks only the taps that meet; for a class that none meets
// it writes zeros. Tiles and stages are those of implicit_fprop, but the weight tile lies transposed: rows of kN input
// channels, one row a filter.
#pragma once

#include "cuda/conv/store_tile.cuh"
#include "cuda/gemm/fma_tile.cuh"
#include "cuda/gemm/mma_tile.cuh"
#include "cuda/gemm/pipeline.cuh"
#include "problem.h"

namespace fastconv {

template <class T, class Tile, int kStages, bool kAligned>
__global__ void __launch_bounds__(Tile::kThreads, 1)
    implicit_dgrad(const T* dy, const T* w, T* dx, const ConvProblem d, int vectors) {
  using TileA = SharedTile<T, Tile::kM, Tile::kK>;
  using TileB = SharedTile<T, Tile::kK, Tile::kN>;
  using ShareA = FillShare<TileA, Tile::kM, Tile::kThreads>;
  using ShareB = FillShare<TileB, Tile::kK, Tile::kThreads>;
  FC_DYNAMIC_SHARED(shared);
  T* const stages = reinterpret_cast<T*>(shared);
  constexpr int kStage = TileA::kElements + TileB::kElements;

  const int thread = int(threadIdx.x);
  const int stride_h = int(d.stride_h), stride_w = int(d.stride_w);
  const int group = int(blockIdx.z) % int(d.groups), of_class = int(blockIdx.z) / int(d.groups);
  const int class_h = of_class / stride_w, class_w = of_class % stride_w;
  const int p_extent = int(d.p), q_extent = int(d.q);
  const int group_c = int(d.c / d.groups), group_k = int(d.k / d.groups);
  // Pixels of the class: h = class_h + i stride_h for i in [0, rows).
  const int rows = (int(d.h) - class_h + stride_h - 1) / stride_h;
  const int columns = (int(d.w) - class_w + stride_w - 1) / stride_w;
  const int pixels = int(d.n) * rows * columns;
  const int tiles_n = (group_c + Tile::kN - 1) / Tile::kN;
  const int m0 = int(blockIdx.x) / tiles_n * Tile::kM, n0 = int(blockIdx.x) % tiles_n * Tile::kN;
  if (m0 >= pixels) return;  // the grid is made for the largest class

  const T* image[ShareA::kCount];
  int row_i[ShareA::kCount], row_j[ShareA::kCount];
#pragma unroll
  for (int i = 0; i < ShareA::kCount; ++i) {
    const int m = m0 + ShareA::row(thread, i);
    image[i] = dy + int64_t(m / (rows * columns)) * p_extent * q_extent * d.k + int64_t(group) * group_k;
    row_i[i] = m < pixels ? m / columns % rows : -(1 << 30);
    row_j[i] = m % columns;
  }
  const T* const filters = w + int64_t(group) * group_k * d.r * d.s * group_c;

  // Tap (r, s) meets the class where the numerators divide; p = i + up, q = j + left then.
  const auto numerator_h = [&](int r) { return class_h + int(d.pad_top) - r * int(d.dilation_h); };
  const auto numerator_w = [&](int s) { return class_w + int(d.pad_left) - s * int(d.dilation_w); };
  int r = 0, s = -1, k = 0;  // the step that is filled next
  const auto next_tap = [&] {
    do {
      if (++s == int(d.s)) s = 0, ++r;
    } while (r < int(d.r) && (numerator_h(r) % stride_h != 0 || numerator_w(s) % stride_w != 0));
  };
  int taps = 0;
  for (next_tap(); r < int(d.r); next_tap()) ++taps;
  r = 0, s = -1;
  next_tap();

  const auto fill = [&](int stage) {
    T* const a = stages + stage * kStage;
    T* const b = a + TileA::kElements;
    const int up = numerator_h(r) / stride_h, left = numerator_w(s) / stride_w;
    const int at = k + ShareA::chunk(thread) * kPerVector<T>;
#pragma unroll
    for (int i = 0; i < ShareA::kCount; ++i) {
      const int p = row_i[i] + up, q = row_j[i] + left;
      const bool inside = unsigned(p) < unsigned(p_extent) && unsigned(q) < unsigned(q_extent);
      const int valid = inside ? valid_elements<T>(at, group_k) : 0;
      const T* from = valid > 0 ? image[i] + (int64_t(p) * q_extent + q) * d.k + at : dy;
      fill_chunk<kAligned>(a + TileA::at(ShareA::row(thread, i), ShareA::chunk(thread)), from, valid);
    }
    const int column = n0 + ShareB::chunk(thread) * kPerVector<T>;
#pragma unroll
    for (int i = 0; i < ShareB::kCount; ++i) {
      const int filter = k + ShareB::row(thread, i);
      const int valid = filter < group_k ? valid_elements<T>(column, group_c) : 0;
      const T* from = valid > 0 ? filters + ((int64_t(filter) * d.r + r) * d.s + s) * group_c + column : w;
      fill_chunk<kAligned>(b + TileB::at(ShareB::row(thread, i), ShareB::chunk(thread)), from, valid);
    }
    if ((k += Tile::kK) >= group_k) {
      k = 0;
      next_tap();
    }
  };

  const int steps = taps * ((group_k + Tile::kK - 1) / Tile::kK);
  Tile tile;
  pipeline<kStages>(steps, fill, [&](int stage) {
    const T* const a = stages + stage * kStage;
    tile.template multiply<false, true>(a, a + TileA::kElements);
  });

  const int64_t first = int64_t(group) * group_c + n0;
  const TileOutput<T> out{nullptr, nullptr, dx, group_c - n0, int(Activation::kNone), vectors != 0};
  store_tile<false, true>(tile, shared, out, [&](int row) -> int64_t {
    const int m = m0 + row;
    if (m >= pixels) return -1;
    const int n = m / (rows * columns), h = class_h + m / columns % rows * stride_h,
              v = class_w + m % columns * stride_w;
    return ((int64_t(n) * d.h + h) * d.w + v) * d.c + first;
  });
}

}  // namespace fastconv

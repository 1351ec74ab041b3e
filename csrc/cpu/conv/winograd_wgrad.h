// The gradient of a 3 x 3 weight by Winograd's method, F(3x3, 4x4): the 3 x 3 taps are the outputs, 4 x 4 pixels of dy
// the filter, and the sum runs over tiles:
//
//   dw = A^T [ sum over tiles of (G g G^T) * (B^T d B) ] A     d a 6 x 6 tile of x, g the 4 x 4 tile of dy that it
//   meets
//
//   for each block of tiles
//     V[e][tile][c] = B^T d B,  W[e][tile][k] = G g G^T        shared out by tiles
//     for each e: M[e][k][c] += W[e]^T V[e]                    shared out by e; gemm/outer_tile.h
//   dw = A^T M A                                               shared out by filters
//
// How tiles are cut depends on the problem alone, so the bits do not depend on the number of threads.
#pragma once

#include "cpu/conv/window.h"
#include "cpu/conv/winograd.h"
#include "cpu/gemm/outer_tile.h"

namespace fastconv::FC_ISA {

inline constexpr int kGradTaps = 4, kGradElements = kTileIn * kTileIn;
inline constexpr int64_t kGradTileBytes = int64_t(16) << 20;  // V and W of a block, at the most

struct WinogradWgradPlan {
  int64_t rows, columns, tiles;  // of tiles: down and across an image, in all
  int64_t block_tiles;
  int64_t v_row, w_row, v_plane, w_plane, m_plane;  // in elements
};

template <class T>
FC_INLINE WinogradWgradPlan plan_winograd_wgrad(const ConvProblem& d) {
  WinogradWgradPlan plan{};
  plan.rows = ceil_div(d.p, kGradTaps), plan.columns = ceil_div(d.q, kGradTaps);
  plan.tiles = d.n * plan.rows * plan.columns;
  plan.v_row = odd_lines(d.c), plan.w_row = odd_lines(d.k);
  const int64_t tile_bytes = kGradElements * (plan.v_row + plan.w_row) * int64_t(sizeof(T));
  const int64_t most = kGradTileBytes / tile_bytes < 32 ? 32 : kGradTileBytes / tile_bytes;
  const int64_t tiles = plan.tiles > 0 ? plan.tiles : 1;
  plan.block_tiles = ceil_div(tiles, ceil_div(tiles, most));
  plan.v_plane = odd_lines(plan.block_tiles * plan.v_row);
  plan.w_plane = odd_lines(plan.block_tiles * plan.w_row);
  plan.m_plane = odd_lines(d.k * plan.v_row);
  return plan;
}

template <class S>
struct WinogradWgrad {
  using T = Compute<S>;
  using V = Vec<T>;
  using Reg = typename V::Reg;
  using Transform = Winograd<T, kGradTaps>;
  static constexpr int kOut = Transform::kOut;
  static_assert(kOut == 3);

  const ConvProblem& d;
  const WinogradWgradPlan& plan;

  // W[e] of the tile of dy that begins at (p0, q0); what lies beyond dy is zero.
  FC_INLINE void grad_tile(const S* dy, int64_t p0, int64_t q0, T* out) const {
    for (int64_t k = 0; k < d.k; k += V::width)
      transform_tile<T, typename Transform::Weight, typename Transform::Weight>(
          [&](int i, int j) __attribute__((always_inline)) {
            const bool inside = p0 + i < d.p && q0 + j < d.q;
            return inside ? load_up_to(dy + ((p0 + i) * d.q + q0 + j) * d.k + k, d.k - k) : V::set1(0);
          },
          [&](int i, int j, Reg u)
              __attribute__((always_inline)) { V::store(out + (i * kTileIn + j) * plan.w_plane + k, u); });
  }

  // M[e] += W[e]^T V[e] for one e, or = for the first block.
  FC_INLINE void multiply(const T* w, const T* v, T* m, int64_t tiles, bool first) const {
    constexpr int64_t mr = Tile<T>::mr, nr = Tile<T>::nr;
    if (first) clear(m, d.k * plan.v_row);
    for (int64_t c = 0; c < d.c; c += nr)
      for_each_panel(d.k, mr, [&](int64_t k, int64_t rows) __attribute__((always_inline)) {
        outer_tile_for<T>(rows, d.c - c < nr ? d.c - c : nr)(w + k, plan.w_row, v + c, plan.v_row, tiles,
                                                             m + k * plan.v_row + c, plan.v_row);
      });
  }

  // The taps of one filter from M[.][k].
  FC_INLINE void taps_of(const T* m, S* dw) const {
    for (int64_t c = 0; c < d.c; c += V::width)
      transform_tile<T, typename Transform::Output, typename Transform::Output>(
          [&](int i, int j)
              __attribute__((always_inline)) { return V::load(m + (i * kTileIn + j) * plan.m_plane + c); },
          [&](int i, int j, Reg y)
              __attribute__((always_inline)) { store_up_to(dw + (i * kOut + j) * d.c + c, y, d.c - c); });
  }
};

template <class S>
void winograd_wgrad(ThreadPool& pool, const ConvArgs& args) {
  using T = Compute<S>;
  const ConvProblem& d = args.problem;
  const WinogradWgradPlan plan = plan_winograd_wgrad<T>(d);
  const WinogradWgrad<S> grad{d, plan};
  const WinogradInput<S, kGradTaps, kGradTaps> images{
      static_cast<const S*>(args.x), plane_of(d.h, d.w, d.c), d.h, d.w, d.c, plan.v_plane};
  T* const v = reinterpret_cast<T*>(args.workspace);
  T* const w = v + kGradElements * plan.v_plane;
  T* const m = w + kGradElements * plan.w_plane;
  for (int64_t first = 0; first < plan.tiles; first += plan.block_tiles) {
    const int64_t left = plan.tiles - first, tiles = left < plan.block_tiles ? left : plan.block_tiles;
    parallel_for(pool, tiles, ThreadPool::kMaxThreads, [&](int64_t t, int) {
      const FlushDenormals flush;
      const int64_t image = plan.rows * plan.columns, n = (first + t) / image;
      const int64_t p0 = (first + t) % image / plan.columns * kGradTaps;
      const int64_t q0 = (first + t) % plan.columns * kGradTaps;
      images.tile(n, p0 - d.pad_top, q0 - d.pad_left, v + t * plan.v_row);
      grad.grad_tile(static_cast<const S*>(args.weight) + n * d.p * d.q * d.k, p0, q0, w + t * plan.w_row);
    });
    parallel_for(pool, kGradElements, ThreadPool::kMaxThreads, [&](int64_t e, int) {
      const FlushDenormals flush;
      grad.multiply(w + e * plan.w_plane, v + e * plan.v_plane, m + e * plan.m_plane, tiles, first == 0);
    });
  }
  parallel_for(pool, d.k, ThreadPool::kMaxThreads, [&](int64_t k, int) {
    grad.taps_of(m + k * plan.v_row, static_cast<S*>(args.y) + k * d.r * d.s * d.c);
  });
}

template <class S>
int64_t winograd_wgrad_workspace(const ConvProblem& d, int) {
  const WinogradWgradPlan plan = plan_winograd_wgrad<Compute<S>>(d);
  return kGradElements * (plan.v_plane + plan.w_plane + plan.m_plane) * int64_t(sizeof(Compute<S>));
}

}  // namespace fastconv::FC_ISA

// Winograd's minimal filtering F(m x m, r x r) with m + r - 1 = 6: 36 multiplications make m x m outputs where the
// direct method needs m^2 r^2. F(4,3) for 3 x 3 kernels (144), F(2,5) for 5 x 5 (100), F(3,4) for what strided kernels
// fold to. Source: Lavin and Gray, Fast Algorithms for Convolutional Neural Networks, 2016; Winograd, 1980.
//
//   y = A^T [ sum over c of (G g G^T) * (B^T d B) ] A     d a 6 x 6 tile of x, g a filter's r x r taps, y m x m outputs
//
// The points are 0, +-a, +-b and infinity with a = 1/sqrt(2), b = sqrt(2): with them the error stays in the class of
// the direct method (docs/numerics.md has the table), where the customary +-1, +-2 more than double it.
//
// Each of the 36 elements e of the transformed tiles is a matrix product of its own:
//
//   for each block of tiles x a range of filters          shared out among threads; tiles are flattened over images
//     V[e][tile][c] = B^T d B                             vectors along channels
//     for each e: M[e][tile][k] = V[e] U[e]               the register tile of gemm/tile.h; U[e] passes once
//     y = A^T M A, + bias + residual, activation          vectors along filters
//
// A kernel of stride s is first folded (fold.h). Weight form U [36][ceil(k / nr)][c][nr], made once. A NaN or Inf in x
// reaches all outputs of the tiles that it is in.
#pragma once

#include "cpu/conv/epilogue.h"
#include "cpu/conv/fold.h"
#include "cpu/conv/panels.h"
#include "cpu/conv/weight_view.h"
#include "cpu/gemm/gemm.h"

namespace fastconv::FC_ISA {

inline constexpr int kTileIn = 6, kTileElements = kTileIn * kTileIn;

// The one-dimensional transforms; `Reg` is a vector of independent lanes. a b = 1, a^2 = 1/2, b^2 = 2.
template <class T, int kTaps>
struct Winograd {
  using V = Vec<T>;
  using Reg = typename V::Reg;
  static constexpr int kOut = kTileIn + 1 - kTaps;
  static constexpr double kA = 0.70710678118654752440, kB = 1.41421356237309504880;
  static constexpr T a = T(kA), b = T(kB);

  // B^T d. A row holds the coefficients of a point's polynomial: the product of (x - p) over the other points.
  static FC_INLINE void input(const Reg d[kTileIn], Reg t[kTileIn]) {
    const Reg even_a = V::fma(V::set1(-2), d[2], d[4]);
    const Reg odd_a = V::fma(V::set1(a), d[3], V::mul(V::set1(-b), d[1]));
    const Reg even_b = V::fma(V::set1(T(-0.5)), d[2], d[4]);
    const Reg odd_b = V::fma(V::set1(b), d[3], V::mul(V::set1(-a), d[1]));
    t[0] = V::add(d[0], V::fma(V::set1(T(-2.5)), d[2], d[4]));
    t[1] = V::add(even_a, odd_a);
    t[2] = V::sub(even_a, odd_a);
    t[3] = V::add(even_b, odd_b);
    t[4] = V::sub(even_b, odd_b);
    t[5] = V::add(d[1], V::fma(V::set1(T(-2.5)), d[3], d[5]));
  }

  // A^T m: y_i = sum over points of p^i m_p, and m at infinity to the last.
  static FC_INLINE void output(const Reg m[kTileIn], Reg y[kOut]) {
    const Reg sum_a = V::add(m[1], m[2]), difference_a = V::sub(m[1], m[2]);
    const Reg sum_b = V::add(m[3], m[4]), difference_b = V::sub(m[3], m[4]);
    y[0] = V::add(m[0], V::add(sum_a, sum_b));
    y[1] = V::fma(V::set1(a), difference_a, V::mul(V::set1(b), difference_b));
    if constexpr (kOut > 2) y[2] = V::fma(V::set1(T(0.5)), sum_a, V::mul(V::set1(2), sum_b));
    if constexpr (kOut > 3) y[3] = V::fma(V::set1(a / 2), difference_a, V::mul(V::set1(2 * b), difference_b));
    y[kOut - 1] = V::add(m[5], y[kOut - 1]);
  }

  // G g: g's polynomial at the points, over the product of (p - p') for the other points.
  static FC_INLINE void weight(const Reg g[kTaps], Reg u[kTileIn]) {
    const double points[] = {0, kA, -kA, kB, -kB}, scales[] = {1, -1.5, -1.5, 6, 6};
#pragma GCC unroll 5
    for (int i = 0; i + 1 < kTileIn; i++) {
      u[i] = V::mul(V::set1(T(1 / scales[i])), g[0]);
      double power = 1 / scales[i];
#pragma GCC unroll 5
      for (int tap = 1; tap < kTaps; tap++) u[i] = V::fma(V::set1(T(power *= points[i])), g[tap], u[i]);
    }
    u[kTileIn - 1] = g[kTaps - 1];
  }
};

// How the work is cut. No cut changes a result: a sum over c is cut at multiples of kc, which depends on c alone.
struct WinogradPlan {
  int64_t rows, columns, tiles;                     // of tiles: down and across an image, in all
  int64_t block_tiles, tile_blocks, filter_blocks;  // an item: block_tiles tiles, block_filters filters
  int64_t block_filters;                            // a multiple of nr
  int64_t kc, k_blocks;
  int64_t v_row, m_row, v_plane, m_plane;  // in elements
  int64_t thread_bytes;
};

template <class T>
FC_INLINE WinogradPlan plan_winograd(const ConvProblem& d, int threads) {
  const int64_t out = kTileIn + 1 - d.r;
  constexpr int64_t mr = Tile<T>::mr, nr = Tile<T>::nr;
  const auto ceil_div = [](int64_t a, int64_t b) __attribute__((always_inline)) { return (a + b - 1) / b; };
  // Rows that do not collide in L1, planes that begin in different sets: an odd number of lines.
  const auto odd_lines = [&](int64_t n) __attribute__((always_inline)) { return (ceil_div(n, 16) | 1) * 16; };
  WinogradPlan plan{};
  plan.rows = ceil_div(d.p, out), plan.columns = ceil_div(d.q, out);
  plan.tiles =
      d.n * plan.rows * plan.columns > 0 ? d.n * plan.rows * plan.columns : 1;  // an empty problem is never run
  const int64_t panels = ceil_div(d.k, nr);
  // V and M of a block share L2; below two panels of tiles U passes too often for its bandwidth.
  const int64_t in_l2 = kWinogradL2 / (kTileElements * int64_t(sizeof(T)) * (d.c + panels * nr));
  const int64_t most = in_l2 < 2 * mr ? 4 * mr : in_l2 > 8 * mr ? 8 * mr : in_l2 / mr * mr;
  plan.tile_blocks = ceil_div(plan.tiles, most);
  plan.filter_blocks = 1;
  if (double(d.c) * double(d.k) * double(plan.tiles) * kTileElements < double(kWorthAThread)) threads = 1;
  if (threads > 1 && plan.tile_blocks < 4 * threads) {
    if (plan.tiles <= 2 * threads * mr && panels >= threads) {  // each thread takes all tiles and its share of U
      plan.filter_blocks = threads;
    } else {
      plan.tile_blocks = ceil_div(plan.tile_blocks, threads) * threads;
    }
  }
  plan.block_tiles = ceil_div(plan.tiles, plan.tile_blocks);
  plan.tile_blocks = ceil_div(plan.tiles, plan.block_tiles);
  plan.block_filters = ceil_div(panels, plan.filter_blocks) * nr;
  plan.filter_blocks = ceil_div(panels * nr, plan.block_filters);
  plan.k_blocks = ceil_div(d.c > 0 ? d.c : 1, kMaxKc);
  plan.kc = ceil_div(d.c > 0 ? d.c : 1, plan.k_blocks);
  plan.v_row = odd_lines(d.c), plan.m_row = odd_lines(plan.block_filters);
  plan.v_plane = odd_lines(plan.block_tiles * plan.v_row), plan.m_plane = odd_lines(plan.block_tiles * plan.m_row);
  plan.thread_bytes = kTileElements * (plan.v_plane + plan.m_plane) * int64_t(sizeof(T));
  return plan;
}

// One thread's work. x is of type X: of the storage type S, or folded and in the compute type already.
template <class S, class X, int kTaps>
struct WinogradConv {
  using T = Compute<S>;
  using V = Vec<T>;
  using Reg = typename V::Reg;
  using Transform = Winograd<T, kTaps>;
  static constexpr int kOut = Transform::kOut;

  const ConvProblem& d;
  const WinogradPlan& plan;

  // V[e] of the tile whose first pixel is (h0, w0); kInside: all of it lies in the image.
  template <bool kInside>
  FC_INLINE void input_tile(const X* image, int64_t h0, int64_t w0, T* out) const {
    for (int64_t c = 0; c < d.c; c += V::width) {
      const int64_t count = d.c - c;
      Reg half[kTileIn][kTileIn];
#pragma GCC unroll 6
      for (int j = 0; j < kTileIn; j++) {
        Reg column[kTileIn], t[kTileIn];
        const X* const from = image + (h0 * d.w + w0 + j) * d.c + c;
#pragma GCC unroll 6
        for (int i = 0; i < kTileIn; i++) {
          const bool inside = kInside || (h0 + i >= 0 && h0 + i < d.h && w0 + j >= 0 && w0 + j < d.w);
          column[i] = inside ? load_up_to(from + i * d.w * d.c, count) : V::set1(0);
        }
        Transform::input(column, t);
#pragma GCC unroll 6
        for (int i = 0; i < kTileIn; i++) half[i][j] = t[i];
      }
#pragma GCC unroll 6
      for (int i = 0; i < kTileIn; i++) {
        Reg t[kTileIn];
        Transform::input(half[i], t);
#pragma GCC unroll 6
        for (int j = 0; j < kTileIn; j++) V::store(out + (i * kTileIn + j) * plan.v_plane + c, t[j]);
      }
    }
  }

  FC_INLINE void tile(const X* image, int64_t h0, int64_t w0, T* out) const {
    const bool inside = h0 >= 0 && w0 >= 0 && h0 + kTileIn <= d.h && w0 + kTileIn <= d.w;
    if (inside) {
      input_tile<true>(image, h0, w0, out);
    } else {
      input_tile<false>(image, h0, w0, out);
    }
  }

  // The outputs of the tile that begins at (p0, q0), filters [k0, k0 + count), from M[e].
  FC_INLINE void output_tile(const Finish<S>& finish, int64_t n, int64_t p0, int64_t q0, int64_t k0, int64_t count,
                             const T* m) const {
    const int64_t rows = d.p - p0 < kOut ? d.p - p0 : kOut, cols = d.q - q0 < kOut ? d.q - q0 : kOut;
    for (int64_t k = 0; k < count; k += V::width) {
      Reg half[kOut][kTileIn];
#pragma GCC unroll 6
      for (int j = 0; j < kTileIn; j++) {
        Reg column[kTileIn], y[kOut];
#pragma GCC unroll 6
        for (int i = 0; i < kTileIn; i++) column[i] = V::load(m + (i * kTileIn + j) * plan.m_plane + k);
        Transform::output(column, y);
#pragma GCC unroll 4
        for (int i = 0; i < kOut; i++) half[i][j] = y[i];
      }
      for (int64_t i = 0; i < rows; i++) {
        Reg y[kOut];
        Transform::output(half[i], y);
        const int64_t at = ((n * d.p + p0 + i) * d.q + q0) * d.k;
        for (int64_t j = 0; j < cols; j++) finish.put(y[j], at + j * d.k, k0 + k, count - k);
      }
    }
  }

  // M[e] = V[e] U[e] for one e.
  FC_INLINE void multiply(const T* v, const T* u, T* m, int64_t tiles, int64_t filters) const {
    constexpr int64_t mr = Tile<T>::mr, nr = Tile<T>::nr;
    const int64_t panels = (tiles + mr - 1) / mr;
    for (int64_t block = 0; block < plan.k_blocks; block++) {
      const int64_t c0 = block * plan.kc, kc = d.c - c0 < plan.kc ? d.c - c0 : plan.kc;
      for (int64_t panel = 0; panel < panels; panel++) {
        const int64_t row = tiles * panel / panels, rows = tiles * (panel + 1) / panels - row;
        for (int64_t k = 0; k < filters; k += nr) {
          const int64_t cols = filters - k < nr ? filters - k : nr;
          const Segment<T> segment{v + row * plan.v_row + c0, plan.v_row, kc};
          gemm_tile_for<T>(rows, cols)(&segment, 1, u + k * d.c + c0 * nr,
                                       {m + row * plan.m_row + k, plan.m_row, block > 0, nullptr, 0, 0});
        }
      }
    }
  }

  void item(const X* x, const T* u, const Finish<S>& finish, int64_t item, T* v) const {
    const int64_t first = item / plan.filter_blocks * plan.block_tiles;
    const int64_t tiles = plan.tiles - first < plan.block_tiles ? plan.tiles - first : plan.block_tiles;
    const int64_t k0 = item % plan.filter_blocks * plan.block_filters;
    const int64_t filters = d.k - k0 < plan.block_filters ? d.k - k0 : plan.block_filters;
    T* const m = v + kTileElements * plan.v_plane;
    // Calls body(t, n, row, column) for every tile of the block.
    const auto for_each_tile = [&](const auto& body) __attribute__((always_inline)) {
      const int64_t image = plan.rows * plan.columns;
      for (int64_t t = 0; t < tiles; t++)
        body(t, (first + t) / image, (first + t) % image / plan.columns, (first + t) % plan.columns);
    };
    for_each_tile([&](int64_t t, int64_t n, int64_t row, int64_t column) __attribute__((always_inline)) {
      tile(x + n * d.h * d.w * d.c, row * kOut - d.pad_top, column * kOut - d.pad_left, v + t * plan.v_row);
    });
    const int64_t u_plane = packed_size<T>(d.k, d.c);
    for (int64_t e = 0; e < kTileElements; e++)
      multiply(v + e * plan.v_plane, u + e * u_plane + k0 * d.c, m + e * plan.m_plane, tiles, filters);
    for_each_tile([&](int64_t t, int64_t n, int64_t row, int64_t column) __attribute__((always_inline)) {
      output_tile(finish, n, row * kOut, column * kOut, k0, filters, m + t * plan.m_row);
    });
  }
};

// A stride-1 problem, as it is or as fold.h made it. `scratch` is args.workspace, or what folding has left of it.
template <class S, class X, int kTaps>
FC_INLINE void run_tiles(ThreadPool& pool, const ConvProblem& d, const X* x, const ConvArgs& args, char* scratch) {
  using T = Compute<S>;
  const WinogradPlan plan = plan_winograd<T>(d, args.threads);
  const Finish<S> finish = finish_of<S>(args, 0, 0);
  parallel_for(pool, plan.tile_blocks * plan.filter_blocks, args.threads, [&](int64_t item, int thread) {
    const FlushDenormals flush;
    WinogradConv<S, X, kTaps>{d, plan}.item(x, static_cast<const T*>(args.weight), finish, item,
                                            reinterpret_cast<T*>(scratch + thread * plan.thread_bytes));
  });
}

template <class S, class X>
void run_winograd_of(ThreadPool& pool, const ConvProblem& d, const X* x, const ConvArgs& args, char* scratch) {
  switch (d.r) {
    case 3: return run_tiles<S, X, 3>(pool, d, x, args, scratch);
    case 4: return run_tiles<S, X, 4>(pool, d, x, args, scratch);
    case 5: return run_tiles<S, X, 5>(pool, d, x, args, scratch);
  }
}

template <class S>
void run_winograd(ThreadPool& pool, const ConvArgs& args) {
  const ConvProblem& d = args.problem;
  if (d.stride_h == 1) return run_winograd_of<S>(pool, d, static_cast<const S*>(args.x), args, args.workspace);
  using T = Compute<S>;
  T* const x = reinterpret_cast<T*>(args.workspace);
  fold_image(pool, d, static_cast<const S*>(args.x), x);
  run_winograd_of<S>(pool, folded(d), static_cast<const T*>(x), args, args.workspace + folded_bytes<T>(d));
}

template <class S>
void run_winograd_input_grad(ThreadPool& pool, const ConvArgs& args) {
  ConvArgs convolution = args;
  convolution.problem = mirrored(args.problem);
  run_winograd<S>(pool, convolution);
}

template <class T>
int64_t winograd_workspace(const ConvProblem& d, int threads) {
  if (d.stride_h == 1) return plan_winograd<T>(d, threads).thread_bytes * threads;
  return folded_bytes<T>(d) + winograd_workspace<T>(folded(d), threads);
}

// U = G g G^T for weight(k, r, s, c), vectors along filters: a block of channels at a time, whose taps stay in L1.
template <class T, int kTaps, class Weight>
FC_INLINE void transform_weight(ThreadPool& pool, const Weight& weight, int64_t k_count, int64_t c_count, T* u) {
  using V = Vec<T>;
  using Reg = typename V::Reg;
  constexpr int64_t nr = Tile<T>::nr, kChannels = 16;
  const int64_t plane = packed_size<T>(k_count, c_count), panels = (k_count + nr - 1) / nr;
  const int64_t blocks = (c_count + kChannels - 1) / kChannels;
  parallel_for(pool, panels * blocks, ThreadPool::kMaxThreads, [&](int64_t item, int) {
    const int64_t k0 = item / blocks * nr, c0 = item % blocks * kChannels;
    const int64_t filters = k_count - k0 < nr ? k_count - k0 : nr;
    for (int64_t c = c0; c < c_count && c < c0 + kChannels; c++) {
      T taps[kTaps * kTaps][nr] = {};
      for (int64_t k = 0; k < filters; k++)
        for (int tap = 0; tap < kTaps * kTaps; tap++) taps[tap][k] = weight(k0 + k, tap / kTaps, tap % kTaps, c);
      for (int64_t k = 0; k < nr; k += V::width) {
        Reg half[kTileIn][kTaps];
        for (int s = 0; s < kTaps; s++) {
          Reg g[kTaps], t[kTileIn];
          for (int r = 0; r < kTaps; r++) g[r] = V::load(taps[r * kTaps + s] + k);
          Winograd<T, kTaps>::weight(g, t);
          for (int i = 0; i < kTileIn; i++) half[i][s] = t[i];
        }
        for (int i = 0; i < kTileIn; i++) {
          Reg t[kTileIn];
          Winograd<T, kTaps>::weight(half[i], t);
          for (int j = 0; j < kTileIn; j++) V::store(u + (i * kTileIn + j) * plane + k0 * c_count + c * nr + k, t[j]);
        }
      }
    }
  });
}

template <class T, class Weight>
void pack_winograd(ThreadPool& pool, const ConvProblem& d, const Weight& weight, T* u) {
  switch (d.r) {
    case 3: return transform_weight<T, 3>(pool, weight, d.k, d.c, u);
    case 4: return transform_weight<T, 4>(pool, weight, d.k, d.c, u);
    case 5: return transform_weight<T, 5>(pool, weight, d.k, d.c, u);
  }
}

}  // namespace fastconv::FC_ISA

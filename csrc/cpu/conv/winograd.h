// Convolution by Winograd's minimal filtering (winograd_transform.h): 36 multiplications make m x m outputs of an r x r
// kernel, m + r - 1 = 6, where the direct method needs m^2 r^2. F(4,3) for 3 x 3 kernels (144), F(2,5) for 5 x 5 (100),
// F(3,4) for what strided kernels fold to (fold.h). Along one axis, for kernels of one row or column, 6 make 4 outputs
// of 3 taps (12), and 12 make 3 of 7 taps (21).
//
//   y = A^T [ sum over c of (G g G^T) * (B^T d B) ] A     d a 6 x 6 tile of x, g a filter's taps, y m x m outputs
//
// Each of the 36 or 6 elements e of the transformed tiles is a matrix product of its own:
//
//   for each block of tiles x a range of filters          shared out among threads; tiles are flattened over images
//     V[e][tile][c] = B^T d B                             vectors along channels
//     for each e: M[e][tile][k] = V[e] U[e]               the register tile of gemm/tile.h; U[e] passes once
//     y = A^T M A, + bias + residual, activation          vectors along filters
//
// Long kernels of one row are cut into parts (winograd_plan.h), each a stretch of the product's sum. A tile is
// V[position * runs + run], so that a part finds its inputs at one distance for all tiles of a block.
//
// Weight form U [36 or 6][ceil(k / nr)][part][c][nr], made once. A NaN or Inf in x reaches all outputs of the tiles
// that it is in.
#pragma once

#include "cpu/conv/epilogue.h"
#include "cpu/conv/fold.h"
#include "cpu/conv/winograd_plan.h"
#include "cpu/gemm/gemm.h"

namespace fastconv::FC_ISA {

// Elements between images, rows and pixels of x or y: those of memory, or of the transposed image.
struct Plane {
  int64_t image, row, pixel;
};

FC_INLINE Plane plane_of(int64_t h, int64_t w, int64_t c) { return {h * w * c, w * c, c}; }
FC_INLINE Plane transposed(const Plane& plane) { return {plane.image, plane.pixel, plane.row}; }

// The tiles of x, which is of type X: of the storage type, or folded and in the compute type already.
template <class X, int kDown, int kAcross>
struct WinogradInput {
  using T = Compute<X>;
  using V = Vec<T>;
  using Down = Winograd<T, kDown>;
  using Across = Winograd<T, kAcross>;

  const X* x;
  Plane plane;
  int64_t h, w, c;
  int64_t v_plane;

  // V[e] of the tile of image n whose first pixel is (h0, w0), perhaps outside.
  FC_INLINE void tile(int64_t n, int64_t h0, int64_t w0, T* out) const {
    if (h0 >= 0 && w0 >= 0 && h0 + Down::kIn <= h && w0 + Across::kIn <= w) {
      tile_of<true>(n, h0, w0, out);
    } else {
      tile_of<false>(n, h0, w0, out);
    }
  }

 private:
  template <bool kInside>
  FC_INLINE void tile_of(int64_t n, int64_t h0, int64_t w0, T* out) const {
    const X* const first = x + n * plane.image + h0 * plane.row + w0 * plane.pixel;
    for (int64_t at = 0; at < c; at += V::width)
      transform_tile<T, typename Down::Input, typename Across::Input>(
          [&](int i, int j) __attribute__((always_inline)) {
            const bool inside = kInside || (h0 + i >= 0 && h0 + i < h && w0 + j >= 0 && w0 + j < w);
            return inside ? load_up_to(first + i * plane.row + j * plane.pixel + at, c - at) : V::set1(0);
          },
          [&](int i, int j, typename V::Reg t)
              __attribute__((always_inline)) { V::store(out + (i * Across::kIn + j) * v_plane + at, t); });
  }
};

// One thread's work.
template <class S, class X, int kDown, int kAcross>
struct WinogradConv {
  using T = Compute<S>;
  using V = Vec<T>;
  using Down = Winograd<T, kDown>;
  using Across = Winograd<T, kAcross>;
  static constexpr int kElements = Down::kIn * Across::kIn;

  const ConvProblem& d;
  const WinogradPlan& plan;
  WinogradInput<X, kDown, kAcross> input;
  Plane out;

  // The outputs of the tile that begins at (p0, q0), filters [k0, k0 + count), from M[e].
  FC_INLINE void output_tile(const Finish<S>& finish, int64_t n, int64_t p0, int64_t q0, int64_t k0, int64_t count,
                             const T* m) const {
    const int64_t rows = d.p - p0, cols = d.q - q0, first = n * out.image + p0 * out.row + q0 * out.pixel;
    for (int64_t k = 0; k < count; k += V::width)
      transform_tile<T, typename Down::Output, typename Across::Output>(
          [&](int i, int j)
              __attribute__((always_inline)) { return V::load(m + (i * Across::kIn + j) * plan.m_plane + k); },
          [&](int i, int j, typename V::Reg y) __attribute__((always_inline)) {
            if (i < rows && j < cols) finish.put(y, first + i * out.row + j * out.pixel, k0 + k, count - k);
          });
  }

  // M[e] = V[e] U[e] for one e; part i of a tile meets row `part_rows` i further on.
  FC_INLINE void multiply(const T* v, int64_t part_rows, const T* u, T* m, int64_t tiles, int64_t filters) const {
    constexpr int64_t mr = Tile<T>::mr, nr = Tile<T>::nr;
    for (int64_t block = 0; block < plan.k_blocks; block++) {
      const int64_t begin = block * plan.kc, rest = plan.channels - begin, kc = rest < plan.kc ? rest : plan.kc;
      for_each_panel(tiles, mr, [&](int64_t row, int64_t rows) __attribute__((always_inline)) {
        Segment<T> segments[kMaxParts];
        int count = 0;
        for (int64_t k = begin; k < begin + kc; k += segments[count++].kc) {
          const int64_t part = k / d.c, c = k % d.c, left = begin + kc - k;
          const T* const at = v + (part * part_rows + row) * plan.v_row + c;
          segments[count] = {at, plan.v_row, d.c - c < left ? d.c - c : left};
        }
        for (int64_t k = 0; k < filters; k += nr) {
          const int64_t cols = filters - k < nr ? filters - k : nr;
          gemm_tile_for<T>(rows, cols)(segments, count, u + k * plan.channels + begin * nr,
                                       {m + row * plan.m_row + k, plan.m_row, block > 0, nullptr, 0, 0});
        }
      });
    }
  }

  void item(const T* u, const Finish<S>& finish, int64_t item, T* v) const {
    const int64_t first = item / plan.filter_blocks * plan.block_runs;
    const int64_t runs = plan.runs - first < plan.block_runs ? plan.runs - first : plan.block_runs;
    const int64_t k0 = item % plan.filter_blocks * plan.block_filters;
    const int64_t filters = d.k - k0 < plan.block_filters ? d.k - k0 : plan.block_filters;
    T* const m = v + kElements * plan.v_plane;
    // Calls body(t, n, row, column) for the first `length` tiles of every run of the block.
    const auto for_each_tile = [&](int64_t length, const auto& body) __attribute__((always_inline)) {
      const int64_t image = plan.rows * plan.row_runs;
      for (int64_t run = 0; run < runs; run++) {
        const int64_t n = (first + run) / image, row = (first + run) % image / plan.row_runs;
        const int64_t column = (first + run) % plan.row_runs * plan.run;
        for (int64_t i = 0; i < length; i++) body(i * runs + run, n, row, column + i);
      }
    };
    for_each_tile(plan.run + plan.parts - 1,
                  [&](int64_t t, int64_t n, int64_t row, int64_t column) __attribute__((always_inline)) {
                    input.tile(n, row * Down::kOut - d.pad_top, column * Across::kOut - d.pad_left, v + t * plan.v_row);
                  });
    const int64_t u_plane = packed_size<T>(d.k, plan.channels);
    for (int64_t e = 0; e < kElements; e++)
      multiply(v + e * plan.v_plane, runs, u + e * u_plane + k0 * plan.channels, m + e * plan.m_plane, runs * plan.run,
               filters);
    for_each_tile(plan.run, [&](int64_t t, int64_t n, int64_t row, int64_t column) __attribute__((always_inline)) {
      output_tile(finish, n, row * Down::kOut, column * Across::kOut, k0, filters, m + t * plan.m_row);
    });
  }
};

// A problem of stride 1, as it is, folded or transposed. `scratch` is args.workspace, or what folding has left of it.
template <int kDown, int kAcross, class S, class X>
FC_INLINE void run_tiles(ThreadPool& pool, const ConvProblem& d, const X* x, const Plane& in, const Plane& out,
                         const ConvArgs& args, char* scratch) {
  using T = Compute<S>;
  const WinogradPlan plan = plan_winograd<T>(d, args.threads);
  const Finish<S> finish = finish_of<S>(args, 0, 0);
  parallel_for(pool, plan.run_blocks * plan.filter_blocks, args.threads, [&](int64_t item, int thread) {
    const FlushDenormals flush;
    WinogradConv<S, X, kDown, kAcross>{d, plan, {x, in, d.h, d.w, d.c, plan.v_plane}, out}.item(
        static_cast<const T*>(args.weight), finish, item, reinterpret_cast<T*>(scratch + thread * plan.thread_bytes));
  });
}

template <class S, class X>
void run_squares(ThreadPool& pool, const ConvProblem& d, const X* x, const ConvArgs& args, char* scratch) {
  const Plane in = plane_of(d.h, d.w, d.c), out = plane_of(d.p, d.q, d.k);
  switch (d.r) {
    case 3: return run_tiles<3, 3, S>(pool, d, x, in, out, args, scratch);
    case 4: return run_tiles<4, 4, S>(pool, d, x, in, out, args, scratch);
    case 5: return run_tiles<5, 5, S>(pool, d, x, in, out, args, scratch);
  }
}

template <class S>
void run_rows(ThreadPool& pool, const ConvArgs& args) {
  ConvProblem d = args.problem;
  Plane in = plane_of(d.h, d.w, d.c), out = plane_of(d.p, d.q, d.k);
  if (is_column(d)) d = transposed(d), in = transposed(in), out = transposed(out);
  const S* const x = static_cast<const S*>(args.x);
  switch (part_taps(d)) {
    case 3: return run_tiles<1, 3, S>(pool, d, x, in, out, args, args.workspace);
    case 4: return run_tiles<1, 4, S>(pool, d, x, in, out, args, args.workspace);
    case 5: return run_tiles<1, 5, S>(pool, d, x, in, out, args, args.workspace);
  }
}

template <class S>
void run_winograd(ThreadPool& pool, const ConvArgs& args) {
  const ConvProblem& d = args.problem;
  if (d.r != d.s) return run_rows<S>(pool, args);
  if (d.stride_h == 1) return run_squares<S>(pool, d, static_cast<const S*>(args.x), args, args.workspace);
  using T = Compute<S>;
  T* const x = reinterpret_cast<T*>(args.workspace);
  fold_image(pool, d, static_cast<const S*>(args.x), x);
  run_squares<S>(pool, folded(d), static_cast<const T*>(x), args, args.workspace + folded_bytes<T>(d));
}

template <class S>
void run_winograd_input_grad(ThreadPool& pool, const ConvArgs& args) {
  ConvArgs convolution = args;
  convolution.problem = mirrored(args.problem);
  run_winograd<S>(pool, convolution);
}

template <class T>
int64_t winograd_workspace(const ConvProblem& d, int threads) {
  if (is_column(d)) return winograd_workspace<T>(transposed(d), threads);
  if (d.stride_h == 1) return plan_winograd<T>(d, threads).thread_bytes * threads;
  return folded_bytes<T>(d) + winograd_workspace<T>(folded(d), threads);
}

// U = G g G^T for weight(k, r, s, channel), vectors along filters: a block of channels at a time, whose taps stay in
// L1.
template <int kDown, int kAcross, class T, class Weight>
FC_INLINE void transform_weight(ThreadPool& pool, const Weight& weight, int64_t k_count, int64_t c_count, T* u) {
  using V = Vec<T>;
  using Down = typename Winograd<T, kDown>::Weight;
  using Across = typename Winograd<T, kAcross>::Weight;
  constexpr int64_t nr = Tile<T>::nr, kChannels = 16;
  const int64_t plane = packed_size<T>(k_count, c_count), blocks = ceil_div(c_count, kChannels);
  parallel_for(pool, ceil_div(k_count, nr) * blocks, ThreadPool::kMaxThreads, [&](int64_t item, int) {
    const int64_t k0 = item / blocks * nr, c0 = item % blocks * kChannels;
    const int64_t filters = k_count - k0 < nr ? k_count - k0 : nr;
    for (int64_t c = c0; c < c_count && c < c0 + kChannels; c++) {
      T taps[kDown * kAcross][nr] = {};
      for (int64_t k = 0; k < filters; k++)
        for (int tap = 0; tap < kDown * kAcross; tap++) taps[tap][k] = weight(k0 + k, tap / kAcross, tap % kAcross, c);
      for (int64_t k = 0; k < nr; k += V::width)
        transform_tile<T, Down, Across>(
            [&](int r, int s) __attribute__((always_inline)) { return V::load(taps[r * kAcross + s] + k); },
            [&](int i, int j, typename V::Reg t) __attribute__((always_inline)) {
              V::store(u + (i * Across::kTo + j) * plane + k0 * c_count + c * nr + k, t);
            });
    }
  });
}

template <class T, class Weight>
void pack_squares(ThreadPool& pool, const ConvProblem& d, const Weight& weight, T* u) {
  switch (d.r) {
    case 3: return transform_weight<3, 3>(pool, weight, d.k, d.c, u);
    case 4: return transform_weight<4, 4>(pool, weight, d.k, d.c, u);
    case 5: return transform_weight<5, 5>(pool, weight, d.k, d.c, u);
  }
}

template <class S>
void pack_winograd(ThreadPool& pool, const ConvProblem& d, const WeightView<S>& weight, Compute<S>* u) {
  if (d.r == d.s && d.stride_h == 1) return pack_squares(pool, d, weight, u);
  if (d.r == d.s) return pack_squares(pool, folded(d), FoldedWeight<S>{d, weight}, u);
  const ConvProblem row = is_column(d) ? transposed(d) : d;
  const RowWeight<S> parts(d, weight);
  const int64_t channels = part_count(row) * d.c;
  switch (part_taps(row)) {
    case 3: return transform_weight<1, 3>(pool, parts, d.k, channels, u);
    case 4: return transform_weight<1, 4>(pool, parts, d.k, channels, u);
    case 5: return transform_weight<1, 5>(pool, parts, d.k, channels, u);
  }
}

template <class T>
int64_t winograd_elements(const ConvProblem& d) {
  if (is_column(d)) return winograd_elements<T>(transposed(d));
  const ConvProblem f = folded(d);
  return tile_elements(f) * packed_size<T>(f.k, part_count(f) * f.c);
}

}  // namespace fastconv::FC_ISA

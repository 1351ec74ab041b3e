// The weight's gradient as a matrix product over pixels, neither factor ever built as a whole:
//
//   dw[k][(r,s,c)] = sum over pixels m = (n,p,q) of dy[m][k] * windows[m][(r,s,c)]
//
//   for each chunk of pixels x <= 112 filters x <= 256 columns     shared out among threads
//     for each 128 pixels of the chunk
//       dy and the windows (window.h) are copied side by side, in the compute type
//       14 x 32 tiles of outer products                            gemm/outer_tile.h
//   dw = the chunks' sums, added in their order, rounded once
//
// How pixels are cut depends on the problem alone, so the bits do not depend on the number of threads.
#pragma once

#include "cpu/conv/window.h"
#include "cpu/gemm/outer_tile.h"

namespace fastconv::FC_ISA {

inline constexpr int64_t kGradPixels = 128;  // a block's windows: 128 x 272 x 4 B = 136 KiB of L2

struct ImplicitWgradPlan {
  int64_t chunks, chunk_pixels;
  int64_t filters, columns;              // of a block
  int64_t filter_blocks, column_blocks;  // of a group
  int64_t dy_row, window_row;            // elements between rows
  int64_t thread_bytes;                  // scratch
  int64_t sums_bytes;                    // of all chunks: [chunk][k][window]
};

template <class T>
FC_INLINE ImplicitWgradPlan plan_wgrad(const ConvProblem& d, int threads) {
  constexpr int64_t mr = Tile<T>::mr, nr = Tile<T>::nr;
  const int64_t group_k = d.k / d.groups, window = window_size(d), pixels = d.n * d.p * d.q;
  ImplicitWgradPlan plan{};
  plan.filters = group_k < 8 * mr ? group_k : ceil_div(group_k, ceil_div(group_k, 8 * mr));
  plan.columns = ceil_div(window < 256 ? window : ceil_div(window, ceil_div(window, 256)), nr) * nr;
  const auto blocks = [&]() __attribute__((always_inline)) {
    return d.groups * ceil_div(group_k, plan.filters) * ceil_div(window, plan.columns);
  };
  // A small weight does not give enough blocks to share out: pixels are cut, too, while a chunk is worth its sums.
  const int64_t most = ceil_div(pixels, 4 * kGradPixels), wanted_chunks = ceil_div(8, blocks());
  plan.chunks = most < 1 ? 1 : most < wanted_chunks ? most : wanted_chunks;
  plan.chunk_pixels = ceil_div(ceil_div(pixels, plan.chunks), kGradPixels) * kGradPixels;
  plan.chunks = plan.chunk_pixels > 0 ? ceil_div(pixels, plan.chunk_pixels) : 1;
  while (threads > 1 && plan.chunks * blocks() < 4 * threads) {
    if (plan.filters > 4 * mr) {
      plan.filters = ceil_div(plan.filters, 2);
    } else if (plan.columns > 2 * nr) {
      plan.columns = ceil_div(ceil_div(plan.columns, 2), nr) * nr;
    } else {
      break;
    }
  }
  plan.filter_blocks = ceil_div(group_k, plan.filters);
  plan.column_blocks = ceil_div(window, plan.columns);
  plan.dy_row = odd_lines(plan.filters), plan.window_row = odd_lines(plan.columns);
  const int64_t elements = kGradPixels * (plan.dy_row + plan.window_row) + plan.filters * plan.window_row;
  plan.thread_bytes = ceil_div(elements * int64_t(sizeof(T)), 64) * 64;
  plan.sums_bytes = plan.chunks > 1 ? ceil_div(plan.chunks * d.k * window * int64_t(sizeof(T)), 64) * 64 : 0;
  return plan;
}

// One block of one chunk, its sums rounded to `dw` [k][window] of type R.
template <class S, class R>
FC_INLINE void wgrad_block(const ConvArgs& args, const ImplicitWgradPlan& plan, int64_t chunk, int64_t group,
                           int64_t k0, int64_t column0, Compute<S>* scratch, R* dw) {
  using T = Compute<S>;
  using V = Vec<T>;
  constexpr int64_t mr = Tile<T>::mr, nr = Tile<T>::nr;
  const ConvProblem& d = args.problem;
  const int64_t group_k = d.k / d.groups, window = window_size(d), pixels = d.n * d.p * d.q;
  const int64_t end = (chunk + 1) * plan.chunk_pixels < pixels ? (chunk + 1) * plan.chunk_pixels : pixels;
  const int64_t filters = group_k - k0 < plan.filters ? group_k - k0 : plan.filters;
  const int64_t columns = window - column0 < plan.columns ? window - column0 : plan.columns;
  const ImageWindows<S> windows(d, static_cast<const S*>(args.x), group);
  const S* const dy = static_cast<const S*>(args.weight) + group * group_k + k0;
  T* const dy_rows = scratch;
  T* const window_rows = dy_rows + kGradPixels * plan.dy_row;
  T* const sums = window_rows + kGradPixels * plan.window_row;
  clear(sums, filters * plan.window_row);
  for (int64_t m = chunk * plan.chunk_pixels; m < end; m += kGradPixels) {
    const int64_t count = end - m < kGradPixels ? end - m : kGradPixels;
    for (int64_t i = 0; i < count; i++) load_row(dy_rows + i * plan.dy_row, dy + (m + i) * d.k, filters);
    windows.load(window_rows, plan.window_row, m, count, column0, columns);
    for (int64_t j = 0; j < columns; j += nr)
      for_each_panel(filters, mr, [&](int64_t i, int64_t rows) __attribute__((always_inline)) {
        outer_tile_for<T>(rows, columns - j < nr ? columns - j : nr)(dy_rows + i, plan.dy_row, window_rows + j,
                                                                     plan.window_row, count,
                                                                     sums + i * plan.window_row + j, plan.window_row);
      });
  }
  R* const first = dw + (group * group_k + k0) * window + column0;
  for (int64_t i = 0; i < filters; i++)
    for (int64_t j = 0; j < columns; j += V::width)
      store_up_to(first + i * window + j, V::load(sums + i * plan.window_row + j), columns - j);
}

template <class S>
void implicit_wgrad(ThreadPool& pool, const ConvArgs& args) {
  using T = Compute<S>;
  using V = Vec<T>;
  const ConvProblem& d = args.problem;
  const ImplicitWgradPlan plan = plan_wgrad<T>(d, args.threads);
  const int64_t blocks = plan.filter_blocks * plan.column_blocks, size = d.k * window_size(d);
  T* const sums = reinterpret_cast<T*>(args.workspace);
  S* const dw = static_cast<S*>(args.y);
  parallel_for(pool, plan.chunks * d.groups * blocks, args.threads, [&](int64_t item, int thread) {
    const FlushDenormals flush;
    const int64_t chunk = item / (d.groups * blocks), group = item / blocks % d.groups, block = item % blocks;
    const int64_t k0 = block / plan.column_blocks * plan.filters, column0 = block % plan.column_blocks * plan.columns;
    T* const scratch = reinterpret_cast<T*>(args.workspace + plan.sums_bytes + thread * plan.thread_bytes);
    if (plan.chunks > 1) {
      wgrad_block<S>(args, plan, chunk, group, k0, column0, scratch, sums + chunk * size);
    } else {
      wgrad_block<S>(args, plan, chunk, group, k0, column0, scratch, dw);
    }
  });
  if (plan.chunks == 1) return;
  parallel_ranges(pool, size, 8192, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i += V::width) {
      typename V::Reg sum = load_up_to(sums + i, end - i);
      for (int64_t chunk = 1; chunk < plan.chunks; chunk++)
        sum = V::add(sum, load_up_to(sums + chunk * size + i, end - i));
      store_up_to(dw + i, sum, end - i);
    }
  });
}

template <class S>
int64_t implicit_wgrad_workspace(const ConvProblem& d, int threads) {
  const ImplicitWgradPlan plan = plan_wgrad<Compute<S>>(d, threads);
  return plan.sums_bytes + plan.thread_bytes * threads;
}

}  // namespace fastconv::FC_ISA

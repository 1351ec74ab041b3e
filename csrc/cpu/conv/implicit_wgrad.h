// The weight's gradient as a matrix product over pixels, neither factor ever built as a whole:
//
//   dw[k][(r,s,c)] = sum over pixels m = (n,p,q) of dy[m][k] * windows[m][(r,s,c)]
//
//   for each block of <= 112 filters x <= 256 columns     shared out among threads
//     for each 128 pixels                                 in their order, whatever the number of threads
//       dy and the windows (window.h) are copied side by side, in the compute type
//       14 x 32 tiles of outer products                   gemm/outer_tile.h
//     one rounding to the storage type
#pragma once

#include "cpu/conv/window.h"
#include "cpu/gemm/outer_tile.h"

namespace fastconv::FC_ISA {

inline constexpr int64_t kGradPixels = 128;  // a block's windows: 128 x 272 x 4 B = 136 KiB of L2

struct WgradPlan {
  int64_t filters, columns;              // of a block
  int64_t filter_blocks, column_blocks;  // of a group
  int64_t dy_row, window_row;            // elements between rows
  int64_t thread_bytes;
};

template <class T>
FC_INLINE WgradPlan plan_wgrad(const ConvProblem& d, int threads) {
  constexpr int64_t mr = Tile<T>::mr, nr = Tile<T>::nr;
  const auto ceil_div = [](int64_t a, int64_t b) __attribute__((always_inline)) { return (a + b - 1) / b; };
  const auto odd_lines = [&](int64_t n) __attribute__((always_inline)) { return (ceil_div(n, 16) | 1) * 16; };
  const int64_t group_k = d.k / d.groups, window = window_size(d);
  WgradPlan plan{};
  plan.filters = group_k < 8 * mr ? group_k : ceil_div(group_k, ceil_div(group_k, 8 * mr));
  plan.columns = ceil_div(window < 256 ? window : ceil_div(window, ceil_div(window, 256)), nr) * nr;
  const int64_t wanted = threads > 1 ? 4 * int64_t(threads) : 1;
  while (d.groups * ceil_div(group_k, plan.filters) * ceil_div(window, plan.columns) < wanted) {
    if (plan.columns > 2 * nr) {
      plan.columns = ceil_div(ceil_div(plan.columns, 2), nr) * nr;
    } else if (plan.filters > 2 * mr) {
      plan.filters = ceil_div(plan.filters, 2);
    } else {
      break;
    }
  }
  plan.filter_blocks = ceil_div(group_k, plan.filters);
  plan.column_blocks = ceil_div(window, plan.columns);
  plan.dy_row = odd_lines(plan.filters), plan.window_row = odd_lines(plan.columns);
  const int64_t elements = kGradPixels * (plan.dy_row + plan.window_row) + plan.filters * plan.window_row;
  plan.thread_bytes = ceil_div(elements * int64_t(sizeof(T)), 64) * 64;
  return plan;
}

template <class S>
FC_INLINE void wgrad_block(const ConvArgs& args, const WgradPlan& plan, int64_t group, int64_t k0, int64_t column0,
                           Compute<S>* scratch) {
  using T = Compute<S>;
  using V = Vec<T>;
  constexpr int64_t mr = Tile<T>::mr, nr = Tile<T>::nr;
  const ConvProblem& d = args.problem;
  const int64_t group_k = d.k / d.groups, window = window_size(d), pixels = d.n * d.p * d.q;
  const int64_t filters = group_k - k0 < plan.filters ? group_k - k0 : plan.filters;
  const int64_t columns = window - column0 < plan.columns ? window - column0 : plan.columns;
  const ImageWindows<S> windows(d, static_cast<const S*>(args.x), group);
  const S* const dy = static_cast<const S*>(args.weight) + group * group_k + k0;
  T* const dy_rows = scratch;
  T* const window_rows = dy_rows + kGradPixels * plan.dy_row;
  T* const sums = window_rows + kGradPixels * plan.window_row;
  clear(sums, filters * plan.window_row);
  const int64_t panels = (filters + mr - 1) / mr;
  for (int64_t m = 0; m < pixels; m += kGradPixels) {
    const int64_t count = pixels - m < kGradPixels ? pixels - m : kGradPixels;
    for (int64_t i = 0; i < count; i++) load_row(dy_rows + i * plan.dy_row, dy + (m + i) * d.k, filters);
    windows.load(window_rows, plan.window_row, m, count, column0, columns);
    for (int64_t j = 0; j < columns; j += nr)
      for (int64_t panel = 0; panel < panels; panel++) {
        const int64_t i = filters * panel / panels, rows = filters * (panel + 1) / panels - i;
        outer_tile_for<T>(rows, columns - j < nr ? columns - j : nr)(dy_rows + i, plan.dy_row, window_rows + j,
                                                                     plan.window_row, count,
                                                                     sums + i * plan.window_row + j, plan.window_row);
      }
  }
  S* const dw = static_cast<S*>(args.y) + (group * group_k + k0) * window + column0;
  for (int64_t i = 0; i < filters; i++)
    for (int64_t j = 0; j < columns; j += V::width)
      store_up_to(dw + i * window + j, V::load(sums + i * plan.window_row + j), columns - j);
}

template <class S>
void implicit_wgrad(ThreadPool& pool, const ConvArgs& args) {
  using T = Compute<S>;
  const ConvProblem& d = args.problem;
  const WgradPlan plan = plan_wgrad<T>(d, args.threads);
  const int64_t blocks = plan.filter_blocks * plan.column_blocks;
  parallel_for(pool, d.groups * blocks, args.threads, [&](int64_t item, int thread) {
    const FlushDenormals flush;
    const int64_t block = item % blocks;
    T* const scratch = reinterpret_cast<T*>(args.workspace + thread * plan.thread_bytes);
    wgrad_block<S>(args, plan, item / blocks, block / plan.column_blocks * plan.filters,
                   block % plan.column_blocks * plan.columns, scratch);
  });
}

template <class S>
int64_t implicit_wgrad_workspace(const ConvProblem& d, int threads) {
  return plan_wgrad<Compute<S>>(d, threads).thread_bytes * threads;
}

}  // namespace fastconv::FC_ISA

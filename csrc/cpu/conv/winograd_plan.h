// How Winograd's method cuts a convolution: the kernel into parts, images into tiles, tiles and filters into blocks.
// No cut of the work changes a result: a sum is cut at multiples of kc, which depends on its length alone.
#pragma once

#include "cpu/conv/conv.h"
#include "cpu/conv/panels.h"
#include "cpu/conv/weight_view.h"
#include "cpu/conv/winograd_transform.h"

namespace fastconv::FC_ISA {

inline constexpr int64_t kLongestRow = 16;  // taps of a kernel of one row: 5 parts at the most
inline constexpr int kMaxParts = 5;

// A kernel of one column is one of one row over the transposed image.
FC_INLINE bool is_column(const ConvProblem& d) { return d.s == 1 && d.r > 1; }

FC_INLINE ConvProblem transposed(const ConvProblem& d) {
  ConvProblem t = d;
  t.h = d.w, t.w = d.h, t.p = d.q, t.q = d.p, t.r = d.s, t.s = d.r;
  t.pad_top = d.pad_left, t.pad_left = d.pad_top;
  return t;
}

// A kernel of one row with more than 5 taps is cut into parts of 4, m = 3 apart, whose last tap is the next part's
// first and zero here: part i of tile j meets the inputs of part 0 of tile j + i, so that they are transformed once.
FC_INLINE int64_t part_taps(const ConvProblem& d) { return d.s <= 5 ? d.s : 4; }
FC_INLINE int64_t part_count(const ConvProblem& d) { return d.s <= 5 ? 1 : ceil_div(d.s - 1, 3); }
FC_INLINE int64_t tile_elements(const ConvProblem& d) { return (d.r == 1 ? 1 : kTileIn) * kTileIn; }

// Its weight: a view (k, 0, s, channel), channel = (part, c).
template <class S>
struct RowWeight {
  WeightView<S> weight;
  int64_t c, taps, parts;

  FC_INLINE RowWeight(const ConvProblem& d, const WeightView<S>& view)
      : weight(is_column(d) ? WeightView<S>{view.at, view.filter, view.s, view.r, view.channel} : view), c(d.c) {
    const ConvProblem row = is_column(d) ? transposed(d) : d;
    taps = row.s, parts = part_count(row);
  }

  FC_INLINE Compute<S> operator()(int64_t k, int64_t, int64_t s, int64_t channel) const {
    const int64_t part = channel / c, tap = 3 * part + s;
    const bool next = s == 3 && part + 1 < parts;
    return tap < taps && !next ? weight(k, 0, tap, channel % c) : Compute<S>(0);
  }
};

struct WinogradPlan {
  int64_t rows, columns;           // of tiles in an image
  int64_t parts, channels;         // channels: (part, c), what a product's sums run over
  int64_t run, row_runs, runs;     // a run: neighbouring tiles of a row, one where parts = 1; runs of a row, in all
  int64_t block_runs, run_blocks;  // an item: block_runs runs, block_filters filters
  int64_t block_filters, filter_blocks;  // block_filters: a multiple of nr
  int64_t kc, k_blocks;
  int64_t v_row, m_row, v_plane, m_plane;  // in elements
  int64_t thread_bytes;
};

// Of a convolution of stride 1 whose kernel is square or of one row.
template <class T>
FC_INLINE WinogradPlan plan_winograd(const ConvProblem& d, int threads) {
  const int64_t out = kTileIn + 1 - part_taps(d), elements = tile_elements(d);
  constexpr int64_t mr = Tile<T>::mr, nr = Tile<T>::nr, kLongestRun = 16;
  WinogradPlan plan{};
  plan.parts = part_count(d), plan.channels = plan.parts * d.c;
  plan.rows = d.r == 1 ? d.p : ceil_div(d.p, out), plan.columns = ceil_div(d.q, out);
  const int64_t columns = plan.columns > 0 ? plan.columns : 1;  // an empty problem is never run
  plan.run = plan.parts == 1 ? 1 : ceil_div(columns, ceil_div(columns, kLongestRun));
  plan.row_runs = ceil_div(columns, plan.run);
  plan.runs = d.n * plan.rows > 0 ? d.n * plan.rows * plan.row_runs : 1;
  const int64_t panels = ceil_div(d.k, nr), tiles = plan.runs * plan.run;
  // V and M of a block share L2; below two panels of tiles U passes too often for its bandwidth.
  const int64_t in_l2 = kWinogradL2 / (elements * int64_t(sizeof(T)) * (d.c + panels * nr));
  const int64_t most = in_l2 < 2 * mr ? 4 * mr : in_l2 > 8 * mr ? 8 * mr : in_l2 / mr * mr;
  plan.run_blocks = ceil_div(plan.runs, plan.run < most ? most / plan.run : 1);
  plan.filter_blocks = 1;
  if (double(plan.channels) * double(d.k) * double(tiles) * double(elements) < double(kWorthAThread)) threads = 1;
  if (threads > 1 && plan.run_blocks < 4 * threads) {
    if (tiles <= 2 * threads * mr && panels >= threads) {  // each thread takes all tiles and its share of U
      plan.filter_blocks = threads;
    } else {
      plan.run_blocks = ceil_div(plan.run_blocks, threads) * threads;
    }
  }
  plan.block_runs = ceil_div(plan.runs, plan.run_blocks);
  plan.run_blocks = ceil_div(plan.runs, plan.block_runs);
  plan.block_filters = ceil_div(panels, plan.filter_blocks) * nr;
  plan.filter_blocks = ceil_div(panels * nr, plan.block_filters);
  plan.k_blocks = ceil_div(d.c > 0 ? plan.channels : 1, kMaxKc);
  plan.kc = ceil_div(d.c > 0 ? plan.channels : 1, plan.k_blocks);
  plan.v_row = odd_lines(d.c), plan.m_row = odd_lines(plan.block_filters);
  plan.v_plane = odd_lines(plan.block_runs * (plan.run + plan.parts - 1) * plan.v_row);
  plan.m_plane = odd_lines(plan.block_runs * plan.run * plan.m_row);
  plan.thread_bytes = elements * (plan.v_plane + plan.m_plane) * int64_t(sizeof(T));
  return plan;
}

}  // namespace fastconv::FC_ISA

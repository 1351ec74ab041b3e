// The weight as B of the matrix products: per group, panels of nr filters over k = (r, s, c),
// [group][ceil((K/G) / nr)][r][s][c/G][nr] in the compute type, filters past the last zero.
#pragma once

#include "cpu/conv/weight_view.h"
#include "cpu/gemm/blocking.h"
#include "cpu/runtime/thread_pool.h"

namespace fastconv::FC_ISA {

FC_INLINE int64_t window_size(const ConvProblem& d) { return d.r * d.s * (d.c / d.groups); }

template <class T>
FC_INLINE int64_t packed_size(int64_t n, int64_t k) {  // of one group's panels, in elements
  constexpr int64_t nr = Tile<T>::nr;
  return ceil_div(n, nr) * nr * k;
}

template <class T>
int64_t panels_elements(const ConvProblem& d) {
  return d.groups * packed_size<T>(d.k / d.groups, window_size(d));
}

// One group's panels; returns how many elements they are.
template <class S>
FC_INLINE int64_t pack_view(ThreadPool& pool, const ConvProblem& d, const WeightView<S>& weight, Compute<S>* out) {
  using T = Compute<S>;
  constexpr int64_t nr = Tile<T>::nr, kChannels = 64;  // a block's rows read and its part of a panel stay in L1
  const int64_t filters = d.k / d.groups, channels = d.c / d.groups, window = window_size(d);
  const int64_t blocks = ceil_div(channels, kChannels), items = d.r * d.s * blocks;
  parallel_for(pool, ceil_div(filters, nr) * items, ThreadPool::kMaxThreads, [&](int64_t item, int) {
    const int64_t k0 = item / items * nr, tap = item % items / blocks, c0 = item % blocks * kChannels;
    const int64_t columns = filters - k0 < nr ? filters - k0 : nr;
    const int64_t rows = channels - c0 < kChannels ? channels - c0 : kChannels;
    const S* const from =
        weight.at + k0 * weight.filter + tap / d.s * weight.r + tap % d.s * weight.s + c0 * weight.channel;
    T* const to = out + k0 * window + (tap * channels + c0) * nr;
    if (columns < nr)
      for (int64_t i = 0; i < rows * nr; i++) to[i] = T(0);
    if (weight.filter == 1) {
      for (int64_t c = 0; c < rows; c++) load_row(to + c * nr, from + c * weight.channel, columns);
      return;
    }
    for (int64_t k = 0; k < columns; k++)
      for (int64_t c = 0; c < rows; c++) to[c * nr + k] = to_compute(from[k * weight.filter + c * weight.channel]);
  });
  return packed_size<T>(filters, window);
}

template <class S>
void pack_panels(ThreadPool& pool, const ConvProblem& d, const void* krsc, void* form) {
  Compute<S>* to = static_cast<Compute<S>*>(form);
  for (int64_t group = 0; group < d.groups; group++) to += pack_view(pool, d, forward_weight<S>(d, krsc, group), to);
}

template <class S>
constexpr WeightForm panels() {
  return {"panels", panels_elements<Compute<S>>, pack_panels<S>};
}

}  // namespace fastconv::FC_ISA

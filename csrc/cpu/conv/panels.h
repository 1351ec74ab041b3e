// The weight as B of the matrix products: per group the panels of gemm/pack.h over k = (r, s, c),
// [group][ceil((K/G) / nr)][r][s][c/G][nr] in the compute type.
#pragma once

#include "cpu/conv/conv.h"
#include "cpu/gemm/pack.h"

namespace fastconv::FC_ISA {

FC_INLINE int64_t window_size(const ConvProblem& d) { return d.r * d.s * (d.c / d.groups); }

template <class T>
int64_t panels_elements(const ConvProblem& d) {
  return d.groups * packed_size<T>(d.k / d.groups, window_size(d));
}

template <class S>
void pack_panels(ThreadPool& pool, const ConvProblem& d, const void* krsc, void* form) {
  const int64_t group_k = d.k / d.groups, window = window_size(d);
  for (int64_t group = 0; group < d.groups; group++)
    pack_transposed<S>(pool, static_cast<const S*>(krsc) + group * group_k * window, group_k, window,
                       static_cast<Compute<S>*>(form) + group * packed_size<Compute<S>>(group_k, window));
}

template <class S>
constexpr WeightForm panels() {
  return {"panels", panels_elements<Compute<S>>, pack_panels<S>};
}

}  // namespace fastconv::FC_ISA

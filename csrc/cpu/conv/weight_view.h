// A convolution weight as (filter, r, s, channel), wherever its elements lie: the KRSC weight of the forward direction,
// and the same memory read as the weight of the convolution that computes the input's gradient.
#pragma once

#include "cpu/conv/conv.h"
#include "cpu/simd/vec.h"

namespace fastconv::FC_ISA {

template <class S>
struct WeightView {
  const S* at;
  int64_t filter, r, s, channel;  // strides in elements

  FC_INLINE Compute<S> operator()(int64_t k, int64_t ri, int64_t si, int64_t c) const {
    return to_compute(at[k * filter + ri * r + si * s + c * channel]);
  }
};

// Of group `group` of a KRSC weight.
template <class S>
FC_INLINE WeightView<S> forward_weight(const ConvProblem& d, const void* krsc, int64_t group) {
  const int64_t c = d.c / d.groups, k = d.k / d.groups;
  const S* const first = static_cast<const S*>(krsc) + group * k * d.r * d.s * c;
  return {first, d.r * d.s * c, d.s * c, c, 1};
}

// Filters and channels change places, taps are read backwards.
template <class S>
FC_INLINE WeightView<S> mirrored_weight(const ConvProblem& d, const void* krsc, int64_t group) {
  const WeightView<S> w = forward_weight<S>(d, krsc, group);
  return {w.at + (d.r - 1) * w.r + (d.s - 1) * w.s, w.channel, -w.r, -w.s, w.filter};
}

// The stride-1 convolution that computes the input's gradient: of dy, which has k channels, to dx, which has c, with
// the mirrored weight. dx[h] = sum over r of dy[h + pad - r dilation]: tap R-1-r meets dy[h - pad' + (R-1-r) dilation].
FC_INLINE ConvProblem mirrored(const ConvProblem& d) {
  ConvProblem m = d;
  m.c = d.k, m.h = d.p, m.w = d.q;
  m.k = d.c, m.p = d.h, m.q = d.w;
  m.pad_top = (d.r - 1) * d.dilation_h - d.pad_top;
  m.pad_left = (d.s - 1) * d.dilation_w - d.pad_left;
  return m;
}

}  // namespace fastconv::FC_ISA

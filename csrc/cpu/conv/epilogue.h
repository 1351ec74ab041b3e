// The output of a convolution, as the place where a matrix product's rows go: row m is pixel m, flattened over images.
#pragma once

#include "cpu/conv/conv.h"
#include "cpu/gemm/finish.h"

namespace fastconv::FC_ISA {

// Filters from k0 on, rows from row0 on.
template <class S>
FC_INLINE Finish<S> finish_of(const ConvArgs& args, int64_t row0, int64_t k0) {
  const int64_t first = row0 * args.problem.k + k0;
  return {args.bias ? static_cast<const Compute<S>*>(args.bias) + k0 : nullptr,
          args.residual ? static_cast<const S*>(args.residual) + first : nullptr, static_cast<S*>(args.y) + first,
          args.activation};
}

template <class S>
struct ConvStore {
  Finish<S> whole;
  int64_t row_stride;  // K: channels of all groups

  FC_INLINE ConvStore(const ConvArgs& args, int64_t row0, int64_t k0)
      : whole(finish_of<S>(args, row0, k0)), row_stride(args.problem.k) {}

  // One vector of channels of `count` of N pixels, `step` apart, of which the first `cols` count where `kTail`; only
  // where the activation is a clamp.
  template <int N, bool kTail>
  FC_INLINE void clamped(const typename Finish<S>::Reg (&sum)[N], int64_t count, int64_t row, int64_t step, int64_t col,
                         int64_t cols) const {
    using V = Vec<Compute<S>>;
    const typename V::Reg low = V::set1(whole.lower), high = V::set1(whole.upper);
    typename V::Reg shift = V::set1(0);
    if (whole.bias) shift = kTail ? load_up_to(whole.bias + col, cols) : V::load(whole.bias + col);
    const S* const added = whole.residual;
    S* const out = whole.y;
    const int64_t apart = step * row_stride;
    int64_t at = row * row_stride + col;
#pragma GCC unroll 8
    for (int o = 0; o < N; o++, at += apart) {
      if (o >= count) break;
      typename V::Reg v = V::add(sum[o], shift);
      if (added) v = V::add(v, kTail ? load_up_to<S>(added + at, cols) : V::load(added + at));
      v = V::min(high, V::max(low, v));
      if constexpr (kTail) {
        store_up_to<S>(out + at, v, cols);
      } else {
        V::store(out + at, v);
      }
    }
  }

  FC_INLINE Finish<S> finish(int64_t row, int64_t rows) const {
    Finish<S> panel = whole;
    for (int64_t i = 0; i < rows; i++) panel.offset[i] = (row + i) * row_stride;
    return panel;
  }
};

}  // namespace fastconv::FC_ISA

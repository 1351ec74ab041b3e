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
          args.residual ? static_cast<const S*>(args.residual) + first : nullptr,
          static_cast<S*>(args.y) + first,
          args.activation,
          {}};
}

template <class S>
struct ConvStore {
  Finish<S> whole;
  int64_t row_stride;  // K: channels of all groups

  FC_INLINE ConvStore(const ConvArgs& args, int64_t row0, int64_t k0)
      : whole(finish_of<S>(args, row0, k0)), row_stride(args.problem.k) {}

  FC_INLINE Finish<S> finish(int64_t row, int64_t rows) const {
    Finish<S> panel = whole;
    for (int64_t i = 0; i < rows; i++) panel.offset[i] = (row + i) * row_stride;
    return panel;
  }
};

}  // namespace fastconv::FC_ISA

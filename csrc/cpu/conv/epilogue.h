// Finished sums to output: y = act(sum + bias + residual), rounded once to the storage type.
#pragma once

#include "cpu/conv/conv.h"
#include "cpu/simd/vec.h"

namespace fastconv::FC_ISA {

template <class S>
struct ConvStore {
  using T = Compute<S>;
  using V = Vec<T>;

  const T* bias;      // of this group's first filter, or null
  const S* residual;  // likewise, row 0
  S* y;
  int64_t row_stride;  // K: channels of all groups
  Activation activation;
  T lower, upper;  // of what clamped() stores

  FC_INLINE ConvStore(const ConvArgs& args, int64_t row0, int64_t k0)
      : bias(args.bias ? static_cast<const T*>(args.bias) + k0 : nullptr),
        residual(args.residual ? static_cast<const S*>(args.residual) + row0 * args.problem.k + k0 : nullptr),
        y(static_cast<S*>(args.y) + row0 * args.problem.k + k0),
        row_stride(args.problem.k),
        activation(args.activation),
        lower(args.activation == Activation::kNone ? -T(INFINITY) : T(0)),
        upper(args.activation == Activation::kReLU6 ? T(6) : T(INFINITY)) {}

  // None, ReLU and ReLU6 are min(upper, max(lower, sum)), bit for bit: a tile in registers may use clamped(), which has
  // no switch, and no exponential, to be repeated for every vector.
  FC_INLINE bool clamps() const {
    return activation == Activation::kNone || activation == Activation::kReLU || activation == Activation::kReLU6;
  }

  // One vector of channels of `count` of N pixels, `step` apart, of which the first `cols` count where `kTail`.
  template <int N, bool kTail>
  FC_INLINE void clamped(const typename V::Reg (&sum)[N], int64_t count, int64_t row, int64_t step, int64_t col,
                         int64_t cols) const {
    const typename V::Reg low = V::set1(lower), high = V::set1(upper);
    typename V::Reg shift = V::set1(0);
    if (bias) shift = kTail ? load_up_to<T>(bias + col, cols) : V::load(bias + col);
    const S* const added = residual;
    S* const out = y;
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

  // The tile's arithmetic hides the time that lines of a large output take to arrive.
  FC_INLINE void prefetch(int64_t row, int64_t rows, int64_t col, int64_t cols) const {
    for (int64_t i = 0; i < rows; i++)
      for (int64_t j = 0; j < cols; j += int64_t(64 / sizeof(S)))
        __builtin_prefetch(y + (row + i) * row_stride + col + j, 1);
  }

  FC_INLINE void operator()(const T* acc, int64_t ld, int64_t row, int64_t rows, int64_t col, int64_t cols) const {
    for (int64_t i = 0; i < rows; i++) {
      const int64_t at = (row + i) * row_stride + col;
      int64_t j = 0;
      for (; j + V::width <= cols; j += V::width) {
        typename V::Reg v = V::load(acc + i * ld + j);
        if (bias) v = V::add(v, V::load(bias + col + j));
        if (residual) v = V::add(v, V::load(residual + at + j));
        V::store(y + at + j, activate<T>(v, activation));
      }
      if (j < cols) {
        const int64_t rest = cols - j;
        typename V::Reg v = V::load(acc + i * ld + j);  // scratch is nr wide: no mask needed
        if (bias) v = V::add(v, V::load(bias + col + j, rest));
        if (residual) v = V::add(v, V::load(residual + at + j, rest));
        V::store(y + at + j, activate<T>(v, activation), rest);
      }
    }
  }
};

}  // namespace fastconv::FC_ISA

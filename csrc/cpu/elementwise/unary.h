// y[i] = f(x[i]) over contiguous memory. NaN goes through. In place is allowed.
#pragma once

#include "cpu/elementwise/elementwise_args.h"
#include "cpu/simd/vec.h"

namespace fastconv::FC_ISA {

FC_INLINE float tanh_of(float x) { return ::tanhf(x); }
FC_INLINE double tanh_of(double x) { return ::tanh(x); }

// relu6(x + 3) / 6.
template <class T>
FC_INLINE typename Vec<T>::Reg hard_sigmoid(typename Vec<T>::Reg x) {
  using V = Vec<T>;
  return V::div(activate<T>(V::add(x, V::set1(3)), Activation::kReLU6), V::set1(6));
}

template <class T>
FC_INLINE typename Vec<T>::Reg apply(typename Vec<T>::Reg x, Unary function, T slope) {
  using V = Vec<T>;
  switch (function) {
    case Unary::kReLU: return activate<T>(x, Activation::kReLU);
    case Unary::kReLU6: return activate<T>(x, Activation::kReLU6);
    case Unary::kSiLU: return activate<T>(x, Activation::kSiLU);
    case Unary::kSigmoid: return sigmoid<T>(x);
    case Unary::kLeakyReLU:  // the positive part plus slope times the negative part
      return V::fma(V::min(V::set1(0), x), V::set1(slope), V::max(V::set1(0), x));
    case Unary::kTanh: {
      T lanes[V::width];
      V::store(lanes, x);
      for (T& lane : lanes) lane = tanh_of(lane);
      return V::load(lanes);
    }
    case Unary::kHardSigmoid: return hard_sigmoid<T>(x);
    case Unary::kHardSwish: return V::mul(x, hard_sigmoid<T>(x));
  }
  return x;
}

template <class S>
void unary(ThreadPool& pool, const UnaryArgs& args) {
  using T = Compute<S>;
  using V = Vec<T>;
  const S* const x = static_cast<const S*>(args.x);
  S* const y = static_cast<S*>(args.y);
  const T slope = T(args.slope);
  parallel_ranges(pool, args.count, kElementwiseGrain, [&](int64_t begin, int64_t end) {
    int64_t i = begin;
    for (; i + V::width <= end; i += V::width) V::store(y + i, apply<T>(V::load(x + i), args.function, slope));
    if (i < end) V::store(y + i, apply<T>(V::load(x + i, end - i), args.function, slope), end - i);
  });
}

}  // namespace fastconv::FC_ISA

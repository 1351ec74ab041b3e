// gx[i] = grad[i] f'(x[i]) over contiguous memory; f as in unary.h. gx may be the memory of x or grad.
//
// Where f' jumps, or x is NaN, it takes PyTorch's side: relu lets nothing through at 0, relu6 nothing at 6,
// hard_sigmoid nothing at -3 and 3, hard_swish nothing at -3 and all at 3; at NaN the first two hand grad on,
// leaky_relu its slope, hard_sigmoid nothing. The others are NaN there.
#pragma once

#include "cpu/elementwise/elementwise_args.h"
#include "cpu/simd/vec.h"

namespace fastconv::FC_ISA {

// sigmoid' = e / (1 + e)^2 and tanh' = 4 e / (1 + e)^2 with e = e^-|x| and e^-2|x|: unlike s (1 - s) and 1 - t^2 these
// keep their digits where the function is nearly constant.
template <class T>
FC_INLINE typename Vec<T>::Reg bell(typename Vec<T>::Reg x) {
  using V = Vec<T>;
  const typename V::Reg e = exp(V::min(x, V::sub(V::set1(0), x))), d = V::add(V::set1(1), e);
  return V::div(e, V::mul(d, d));
}

template <class T>
FC_INLINE typename Vec<T>::Reg slope_times(typename Vec<T>::Reg x, typename Vec<T>::Reg grad, Unary function, T slope) {
  using V = Vec<T>;
  const typename V::Reg zero = V::set1(0);
  switch (function) {
    case Unary::kReLU: return V::blend(V::le(x, zero), zero, grad);
    case Unary::kReLU6: return V::blend(V::either(V::le(x, zero), V::le(V::set1(6), x)), zero, grad);
    case Unary::kLeakyReLU: return V::blend(V::gt(x, zero), grad, V::mul(grad, V::set1(slope)));
    case Unary::kSigmoid: return V::mul(grad, bell<T>(x));
    case Unary::kTanh: return V::mul(grad, V::mul(V::set1(4), bell<T>(V::add(x, x))));
    case Unary::kSiLU: {  // s(x) (1 + x s(-x)); of s(x) and s(-x) one is 1 / (1 + e), the other e / (1 + e), e = e^-|x|
      const typename V::Reg e = exp(V::min(x, V::sub(zero, x))), larger = V::div(V::set1(1), V::add(V::set1(1), e));
      const typename V::Reg smaller = V::mul(e, larger);
      const typename V::Mask positive = V::gt(x, zero);
      const typename V::Reg rest = V::fma(x, V::blend(positive, smaller, larger), V::set1(1));
      return V::mul(grad, V::mul(V::blend(positive, larger, smaller), rest));
    }
    case Unary::kHardSigmoid: {
      const typename V::Reg rising = V::blend(V::gt(V::set1(3), x), V::div(grad, V::set1(6)), zero);
      return V::blend(V::gt(x, V::set1(-3)), rising, zero);
    }
    case Unary::kHardSwish: {
      const typename V::Reg rise = V::mul(grad, V::add(V::div(x, V::set1(3)), V::set1(T(0.5))));
      return V::blend(V::le(x, V::set1(-3)), zero, V::blend(V::gt(V::set1(3), x), rise, grad));
    }
  }
  return grad;
}

template <class S>
void activation_grad(ThreadPool& pool, const ActivationGradArgs& args) {
  using T = Compute<S>;
  using V = Vec<T>;
  const S* const x = static_cast<const S*>(args.x);
  const S* const grad = static_cast<const S*>(args.grad);
  S* const gx = static_cast<S*>(args.gx);
  parallel_ranges(pool, args.count, kElementwiseGrain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i += V::width) {
      const int64_t n = end - i;
      store_up_to(gx + i, slope_times<T>(load_up_to(x + i, n), load_up_to(grad + i, n), args.function, T(args.slope)),
                  n);
    }
  });
}

}  // namespace fastconv::FC_ISA

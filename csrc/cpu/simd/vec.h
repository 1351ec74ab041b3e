// Vec<float> and Vec<double> of the ISA that this translation unit is compiled for, and what can be
// written once over them. The build defines FC_ISA (the namespace) beside the matching -m flags.
#pragma once

#include <math.h>

#ifndef FC_ISA
#error "kernel sources are compiled once per ISA with -DFC_ISA=portable|avx2|avx512 (see setup.py)"
#endif

#if defined(__AVX512F__)
#include "cpu/simd/vec_avx512.h"
#elif defined(__AVX2__)
#include "cpu/simd/vec_avx2.h"
#else
#include "cpu/simd/vec_portable.h"
#endif

#include "problem.h"

namespace fastconv::FC_ISA {

// e^x for floats, within 2 ulp: x = n ln2 + r, |r| <= ln2/2, e^r by a degree-6 polynomial (the
// coefficients of Cephes' expf), ln2 split in two so that n ln2 is exact in the first part.
FC_INLINE Vec<float>::Reg exp(Vec<float>::Reg x) {
  using V = Vec<float>;
  x = V::min(V::set1(89.0f), x);  // beyond: Inf by overflow. NaN stays, being the second operand.
  x = V::max(V::set1(-104.0f), x);
  const V::Reg n = V::round(V::mul(x, V::set1(1.44269504088896341f)));
  V::Reg r = V::fma(n, V::set1(-0.693359375f), x);
  r = V::fma(n, V::set1(2.12194440e-4f), r);
  V::Reg poly = V::set1(1.9875691500e-4f);
  poly = V::fma(poly, r, V::set1(1.3981999507e-3f));
  poly = V::fma(poly, r, V::set1(8.3334519073e-3f));
  poly = V::fma(poly, r, V::set1(4.1665795894e-2f));
  poly = V::fma(poly, r, V::set1(1.6666665459e-1f));
  poly = V::fma(poly, r, V::set1(5.0000001201e-1f));
  poly = V::fma(V::mul(r, r), poly, V::add(r, V::set1(1.0f)));
  return V::scale_by_power_of_two(poly, n);
}

// Doubles serve references and gradient checks: libm, lane by lane.
FC_INLINE Vec<double>::Reg exp(Vec<double>::Reg x) {
  double lanes[Vec<double>::width];
  Vec<double>::store(lanes, x);
  for (double& lane : lanes) lane = ::exp(lane);
  return Vec<double>::load(lanes);
}

template <class T>
FC_INLINE typename Vec<T>::Reg sigmoid(typename Vec<T>::Reg x) {
  using V = Vec<T>;
  return V::div(V::set1(1), V::add(V::set1(1), exp(V::sub(V::set1(0), x))));
}

// NaN goes through every one of these: it is the second operand of max and min.
template <class T>
FC_INLINE typename Vec<T>::Reg activate(typename Vec<T>::Reg x, Activation activation) {
  using V = Vec<T>;
  switch (activation) {
    case Activation::kNone: return x;
    case Activation::kReLU: return V::max(V::set1(0), x);
    case Activation::kReLU6: return V::min(V::set1(6), V::max(V::set1(0), x));
    case Activation::kSiLU: return V::div(x, V::add(V::set1(1), exp(V::sub(V::set1(0), x))));
    case Activation::kSigmoid: return sigmoid<T>(x);
  }
  return x;
}

// The sum of the lanes, halves onto halves: one fixed order.
template <class T>
FC_INLINE T add_lanes(typename Vec<T>::Reg v) {
  T lanes[Vec<T>::width];
  Vec<T>::store(lanes, v);
  for (int half = Vec<T>::width / 2; half > 0; half /= 2)
    for (int i = 0; i < half; i++) lanes[i] += lanes[i + half];
  return lanes[0];
}

// The largest lane, NaN if one is NaN.
template <class T>
FC_INLINE T max_lane(typename Vec<T>::Reg v) {
  T lanes[Vec<T>::width];
  Vec<T>::store(lanes, v);
  T best = lanes[0];
  for (const T lane : lanes)
    if (lane > best || lane != lane) best = lane;
  return best;
}

// The first min(n, width) values at p, the rest zero; and back.
template <class S>
FC_INLINE typename Vec<Compute<S>>::Reg load_up_to(const S* p, int64_t n) {
  using V = Vec<Compute<S>>;
  return n >= V::width ? V::load(p) : V::load(p, n);
}
template <class S>
FC_INLINE void store_up_to(S* p, typename Vec<Compute<S>>::Reg v, int64_t n) {
  using V = Vec<Compute<S>>;
  if (n >= V::width) {
    V::store(p, v);
  } else {
    V::store(p, v, n);
  }
}

// The first min(n, width) values at p, the rest `fill`.
template <class S>
FC_INLINE typename Vec<Compute<S>>::Reg load_or(const S* p, int64_t n, Compute<S> fill) {
  using V = Vec<Compute<S>>;
  if (n >= V::width) return V::load(p);
  Compute<S> lanes[V::width];
  V::store(lanes, V::set1(fill));
  V::store(lanes, V::load(p, n), n);
  return V::load(lanes);
}

// dst[i] = src[i] in the compute type, i < n.
template <class T>
FC_INLINE void load_row(Compute<T>* dst, const T* src, int64_t n) {
  using V = Vec<Compute<T>>;
  int64_t i = 0;
  for (; i + V::width <= n; i += V::width) V::store(dst + i, V::load(src + i));
  if (i < n) V::store(dst + i, V::load(src + i, n - i), n - i);
}

}  // namespace fastconv::FC_ISA

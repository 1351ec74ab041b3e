// Storage types and their scalar conversions. 16-bit types are stored, never computed in. (A GPU has instructions for
// the conversions: cuda/ptx/dtype.cuh.)
#pragma once

#include "integers.h"
#if !defined(__CUDACC__)
#include <cstring>
#endif

// Kernel translation units are compiled with different instruction sets; a shared inline function
// emitted by one of them could be the copy that every machine ends up calling. Hence: always inline.
#define FC_INLINE inline __attribute__((always_inline))

namespace fastconv {

struct Half {
  uint16_t bits;
};
struct BFloat16 {
  uint16_t bits;
};

// The type a storage type is computed in.
template <class T>
struct ComputeType {
  using type = float;
};
template <>
struct ComputeType<double> {
  using type = double;
};
template <class T>
using Compute = typename ComputeType<T>::type;

#if !defined(__CUDACC__)

template <class To, class From>
FC_INLINE To bit_copy(From from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  memcpy(&to, &from, sizeof(to));
  return to;
}

FC_INLINE float to_compute(float x) { return x; }
FC_INLINE double to_compute(double x) { return x; }
FC_INLINE float to_compute(BFloat16 x) { return bit_copy<float>(uint32_t(x.bits) << 16); }

FC_INLINE float to_compute(Half x) {
  const uint32_t sign = uint32_t(x.bits & 0x8000u) << 16;
  const uint32_t magnitude = x.bits & 0x7fffu;
  if (magnitude >= 0x7c00u)  // Inf and NaN keep their payload
    return bit_copy<float>(sign | 0x7f800000u | ((magnitude & 0x3ffu) << 13));
  if (magnitude < 0x0400u) {  // subnormal: an integer number of 2^-24
    const float value = float(magnitude) * 0x1p-24f;
    return bit_copy<float>(sign | bit_copy<uint32_t>(value));
  }
  return bit_copy<float>(sign | ((magnitude + ((127u - 15u) << 10)) << 13));
}

template <class T>
FC_INLINE T from_compute(float x);
template <class T>
FC_INLINE T from_compute(double x);

template <>
FC_INLINE float from_compute<float>(float x) {
  return x;
}
template <>
FC_INLINE double from_compute<double>(double x) {
  return x;
}

// Round to nearest even by adding just under half a unit in the last kept place.
template <>
FC_INLINE BFloat16 from_compute<BFloat16>(float x) {
  const uint32_t u = bit_copy<uint32_t>(x);
  if ((u & 0x7fffffffu) > 0x7f800000u) return {uint16_t((u >> 16) | 0x40u)};  // quiet NaN
  return {uint16_t((u + 0x7fffu + ((u >> 16) & 1u)) >> 16)};
}

template <>
FC_INLINE Half from_compute<Half>(float x) {
  const uint32_t u = bit_copy<uint32_t>(x);
  const uint16_t sign = uint16_t((u >> 16) & 0x8000u);
  uint32_t magnitude = u & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return {uint16_t(sign | 0x7e00u | ((magnitude >> 13) & 0x3ffu))};
  if (magnitude >= 0x477ff000u) return {uint16_t(sign | 0x7c00u)};  // rounds to >= 65520: Inf
  if (magnitude < 0x38800000u) {                             // below 2^-14: let the FPU round to a multiple of 2^-24
    const float scaled = bit_copy<float>(magnitude) + 0.5f;  // 0.5 has an ulp of 2^-24
    return {uint16_t(sign | (bit_copy<uint32_t>(scaled) - 0x3f000000u))};
  }
  magnitude += 0xfffu + ((magnitude >> 13) & 1u);
  return {uint16_t(sign | ((magnitude - ((127u - 15u) << 23)) >> 13))};
}

// double -> 16 bit in one rounding: first to float by rounding to odd (the discarded bits leave a
// sticky last bit), which a second rounding to at least two fewer bits cannot tell from the exact value.
FC_INLINE float round_to_odd(double x) {
  float f = float(x);
  const double back = double(f);
  if (back == x || x != x) return f;
  uint32_t u = bit_copy<uint32_t>(f);
  if ((back > x) == (x > 0)) u -= 1;  // rounded away from zero: step back towards it
  return bit_copy<float>(u | 1u);
}
template <>
FC_INLINE float from_compute<float>(double x) {
  return float(x);
}
template <>
FC_INLINE Half from_compute<Half>(double x) {
  return from_compute<Half>(round_to_odd(x));
}
template <>
FC_INLINE BFloat16 from_compute<BFloat16>(double x) {
  return from_compute<BFloat16>(round_to_odd(x));
}

#endif  // !__CUDACC__

}  // namespace fastconv

// Storage types, their conversions to and from the type they are computed in, and loads of 16 bytes at a time.
#pragma once

#include "cuda/platform.cuh"
#include "dtype.h"

namespace fastconv {

#if defined(__CUDACC__)

FC_DEVICE float to_compute(float x) { return x; }
FC_DEVICE double to_compute(double x) { return x; }
FC_DEVICE float to_compute(BFloat16 x) { return __uint_as_float(uint32_t(x.bits) << 16); }
FC_DEVICE float to_compute(Half x) {
  float f;
  asm("cvt.f32.f16 %0, %1;" : "=f"(f) : "h"(x.bits));
  return f;
}

template <class T>
FC_DEVICE T from_compute(float x);
template <class T>
FC_DEVICE T from_compute(double x);
template <>
FC_DEVICE float from_compute<float>(float x) {
  return x;
}
template <>
FC_DEVICE double from_compute<double>(double x) {
  return x;
}
template <>
FC_DEVICE Half from_compute<Half>(float x) {
  Half h;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(h.bits) : "f"(x));
  return h;
}
template <>
FC_DEVICE BFloat16 from_compute<BFloat16>(float x) {
  BFloat16 h;
  asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(h.bits) : "f"(x));
  return h;
}
// As csrc/dtype.h has it: double to 16 bits in one rounding, by way of a float rounded to odd.
FC_DEVICE float round_to_odd(double x) {
  const float nearest = float(x);
  const double back = double(nearest);
  if (back == x || x != x) return nearest;
  const bool away_from_zero = (back > x) == (x > 0);
  return __uint_as_float((__float_as_uint(nearest) - (away_from_zero ? 1 : 0)) | 1u);
}
template <>
FC_DEVICE float from_compute<float>(double x) {
  return float(x);
}
template <>
FC_DEVICE Half from_compute<Half>(double x) {
  return from_compute<Half>(round_to_odd(x));
}
template <>
FC_DEVICE BFloat16 from_compute<BFloat16>(double x) {
  return from_compute<BFloat16>(round_to_odd(x));
}
// The nearest tf32, ties away from zero; mma.sync would cut the low 13 bits off.
FC_DEVICE uint32_t to_tf32(float x) {
  uint32_t bits;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(x));
  return bits;
}

#else

inline uint32_t to_tf32(float x) {
  const uint32_t bits = bit_copy<uint32_t>(x);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return 0x7fffffffu;  // the one NaN that conversions give
  if ((bits & 0x7f800000u) == 0x7f800000u) return bits;        // Inf
  return (bits + 0x1000u) & 0xffffe000u;
}

#endif

// n neighbours in memory, moved as one access.
template <class T, int n>
struct alignas(sizeof(T) * n) Pack {
  T at[n];
};

// The elements that 16 bytes hold.
template <class T>
inline constexpr int kPerVector = 16 / int(sizeof(T));

template <int n, class T>
FC_DEVICE Pack<T, n> load_pack(const T* address) {
  return *reinterpret_cast<const Pack<T, n>*>(address);
}
template <int n, class T>
FC_DEVICE void store_pack(T* address, const Pack<T, n>& pack) {
  *reinterpret_cast<Pack<T, n>*>(address) = pack;
}

}  // namespace fastconv

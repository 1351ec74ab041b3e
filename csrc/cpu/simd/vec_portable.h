// Any CPU that gcc or clang knows: 16-byte vectors by the compilers' vector extension (SSE2 on
// x86-64, NEON on aarch64). fma() here is a product and a sum, rounded twice.
#pragma once

#include "dtype.h"

namespace fastconv::FC_ISA {

template <class T>
struct Vec;

// What float and double share. `Mask` is the integer vector that a comparison yields.
template <class T, class Int, int kWidth>
struct PortableVec {
  typedef T Reg __attribute__((vector_size(16)));
  typedef Int Mask __attribute__((vector_size(16)));
  static constexpr int width = kWidth;

  static FC_INLINE Reg set1(T x) { return x - Reg{}; }
  static FC_INLINE Reg load(const T* p) {
    Reg v;
    memcpy(&v, p, sizeof(v));
    return v;
  }
  static FC_INLINE Reg load(const T* p, int64_t n) {
    Reg v{};
    for (int64_t i = 0; i < n; i++) v[i] = p[i];
    return v;
  }
  static FC_INLINE void store(T* p, Reg v) { memcpy(p, &v, sizeof(v)); }
  static FC_INLINE void store(T* p, Reg v, int64_t n) {
    for (int64_t i = 0; i < n; i++) p[i] = v[i];
  }
  static FC_INLINE Reg keep(Reg v) { return v; }  // nothing to gain: loads are no operands of products and sums alike
  static FC_INLINE Reg fma(Reg a, Reg b, Reg c) { return a * b + c; }
  static FC_INLINE Reg add(Reg a, Reg b) { return a + b; }
  static FC_INLINE Reg sub(Reg a, Reg b) { return a - b; }
  static FC_INLINE Reg mul(Reg a, Reg b) { return a * b; }
  static FC_INLINE Reg div(Reg a, Reg b) { return a / b; }
  static FC_INLINE Reg blend(Mask take, Reg yes, Reg no) { return Reg((take & Mask(yes)) | (~take & Mask(no))); }
  static FC_INLINE Reg max(Reg a, Reg b) { return blend(a > b, a, b); }  // b where unordered
  static FC_INLINE Reg min(Reg a, Reg b) { return blend(a < b, a, b); }  // b where unordered
  static FC_INLINE Reg max_or_nan(Reg m, Reg x) { return blend((x > m) | (x != x), x, m); }
  static FC_INLINE Reg sqrt(Reg a) {
    for (int i = 0; i < width; i++) a[i] = root(a[i]);
    return a;
  }
  static FC_INLINE Mask gt(Reg a, Reg b) { return a > b; }
  static FC_INLINE Mask le(Reg a, Reg b) { return a <= b; }
  static FC_INLINE Mask is_nan(Reg a) { return a != a; }
  static FC_INLINE Mask either(Mask a, Mask b) { return a | b; }

  // Positions of elements, as wide as T without a sign; 64 bits in memory.
  using Index = Mask;
  static FC_INLINE Index index(int64_t i) { return Int(i) - Index{}; }
  static FC_INLINE Index blend(Mask take, Index yes, Index no) { return (take & yes) | (~take & no); }
  static FC_INLINE void store_index(int64_t* p, Index v, int64_t n) {
    for (int64_t i = 0; i < n && i < width; i++) p[i] = sizeof(Int) == 4 ? int64_t(uint32_t(v[i])) : int64_t(v[i]);
  }
  static FC_INLINE Mask index_is(const int64_t* p, int64_t wanted, int64_t n) {  // of the first n lanes
    Mask is{};
    for (int64_t i = 0; i < n && i < width; i++) is[i] = Int(p[i] == wanted ? -1 : 0);
    return is;
  }

  using Lanes = Mask;  // a lane number for every lane
  static FC_INLINE Lanes lanes(const int32_t* from) {
    Lanes all;
    for (int i = 0; i < width; i++) all[i] = from[i];
    return all;
  }
  static FC_INLINE Reg permute(Reg v, Lanes from) {  // v[from]
    Reg permuted;
    for (int i = 0; i < width; i++) permuted[i] = v[from[i]];
    return permuted;
  }

 private:
  static FC_INLINE float root(float a) { return __builtin_sqrtf(a); }
  static FC_INLINE double root(double a) { return __builtin_sqrt(a); }
};

template <>
struct Vec<double> : PortableVec<double, int64_t, 2> {};

template <>
struct Vec<float> : PortableVec<float, int32_t, 4> {
  using Base = PortableVec<float, int32_t, 4>;
  using Base::load;
  using Base::store;

  static FC_INLINE Reg load(const Half* p, int64_t n = width) { return load_narrow(p, n); }
  static FC_INLINE Reg load(const BFloat16* p, int64_t n = width) { return load_narrow(p, n); }
  static FC_INLINE void store(Half* p, Reg v, int64_t n = width) { store_narrow(p, v, n); }
  static FC_INLINE void store(BFloat16* p, Reg v, int64_t n = width) { store_narrow(p, v, n); }

  // Adding and taking away 1.5 * 2^23 leaves the nearest integer (|a| < 2^22, all that exp() needs).
  static FC_INLINE Reg round(Reg a) {
    const Reg magic = set1(0x1.8p23f);
    return (a + magic) - magic;
  }
  static FC_INLINE Reg scale_by_power_of_two(Reg a, Reg n) {  // a * 2^n in two steps: n may pass 127
    Mask whole;
    for (int i = 0; i < width; i++) whole[i] = int32_t(n[i] == n[i] ? n[i] : 0.0f);
    const Mask half = whole >> 1;
    const Mask rest = whole - half;
    return a * Reg((half + 127) << 23) * Reg((rest + 127) << 23);
  }

 private:
  template <class T>
  static FC_INLINE Reg load_narrow(const T* p, int64_t n) {
    Reg v{};
    for (int64_t i = 0; i < n; i++) v[i] = to_compute(p[i]);
    return v;
  }
  template <class T>
  static FC_INLINE void store_narrow(T* p, Reg v, int64_t n) {
    for (int64_t i = 0; i < n; i++) p[i] = from_compute<T>(float(v[i]));
  }
};

}  // namespace fastconv::FC_ISA

// AVX2 + FMA + F16C: 8 floats or 4 doubles a register, 16 registers.
#pragma once

#include <immintrin.h>

#include "dtype.h"

namespace fastconv::FC_ISA {

template <class T>
struct Vec;

// Four positions in memory, of which the first n count (none if n is negative).
struct Quad {
  static FC_INLINE __m256i first(int64_t n) {
    return _mm256_cmpgt_epi64(_mm256_set1_epi64x(n), _mm256_setr_epi64x(0, 1, 2, 3));
  }
  static FC_INLINE void store(int64_t* p, __m256i v, int64_t n) {
    _mm256_maskstore_epi64(reinterpret_cast<long long*>(p), first(n), v);
  }
  static FC_INLINE __m256i equal(const int64_t* p, int64_t i, int64_t n) {
    const __m256i at = _mm256_maskload_epi64(reinterpret_cast<const long long*>(p), first(n));
    return _mm256_and_si256(_mm256_cmpeq_epi64(at, _mm256_set1_epi64x(i)), first(n));
  }
};

template <>
struct Vec<float> {
  using Reg = __m256;
  static constexpr int width = 8;

  static FC_INLINE __m256i first(int64_t n) {  // all ones in lanes below n
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(int(n)), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
  }

  static FC_INLINE Reg set1(float x) { return _mm256_set1_ps(x); }
  static FC_INLINE Reg load(const float* p) { return _mm256_loadu_ps(p); }
  static FC_INLINE Reg load(const float* p, int64_t n) { return _mm256_maskload_ps(p, first(n)); }
  static FC_INLINE void store(float* p, Reg v) { _mm256_storeu_ps(p, v); }
  static FC_INLINE void store(float* p, Reg v, int64_t n) { _mm256_maskstore_ps(p, first(n), v); }

  // AVX2 has no 16-bit masks: tails go through a small buffer.
  static FC_INLINE __m128i load16(const void* p) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p)); }
  static FC_INLINE __m128i load16(const void* p, int64_t n) {
    alignas(16) uint16_t buffer[8] = {};
    memcpy(buffer, p, size_t(n) * 2);
    return load16(buffer);
  }
  static FC_INLINE void store16(void* p, __m128i v) { _mm_storeu_si128(reinterpret_cast<__m128i*>(p), v); }
  static FC_INLINE void store16(void* p, __m128i v, int64_t n) {
    alignas(16) uint16_t buffer[8];
    store16(buffer, v);
    memcpy(p, buffer, size_t(n) * 2);
  }

  static FC_INLINE __m128i narrow_half(Reg v) { return _mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT); }
  static FC_INLINE Reg load(const Half* p) { return _mm256_cvtph_ps(load16(p)); }
  static FC_INLINE Reg load(const Half* p, int64_t n) { return _mm256_cvtph_ps(load16(p, n)); }
  static FC_INLINE void store(Half* p, Reg v) { store16(p, narrow_half(v)); }
  static FC_INLINE void store(Half* p, Reg v, int64_t n) { store16(p, narrow_half(v), n); }

  static FC_INLINE Reg widen(__m128i bf16) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bf16), 16));
  }
  static FC_INLINE __m128i narrow(Reg v) {  // as from_compute<BFloat16>
    const __m256i u = _mm256_castps_si256(v);
    const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(u, 16), _mm256_set1_epi32(1));
    const __m256i rounded =
        _mm256_srli_epi32(_mm256_add_epi32(u, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff))), 16);
    const __m256i quiet = _mm256_or_si256(_mm256_srli_epi32(u, 16), _mm256_set1_epi32(0x40));
    const __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(v, v, _CMP_UNORD_Q));
    const __m256i words = _mm256_blendv_epi8(rounded, quiet, nan);
    return _mm_packus_epi32(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
  }
  static FC_INLINE Reg load(const BFloat16* p) { return widen(load16(p)); }
  static FC_INLINE Reg load(const BFloat16* p, int64_t n) { return widen(load16(p, n)); }
  static FC_INLINE void store(BFloat16* p, Reg v) { store16(p, narrow(v)); }
  static FC_INLINE void store(BFloat16* p, Reg v, int64_t n) { store16(p, narrow(v), n); }

  static FC_INLINE Reg keep(Reg v) {  // v in a register: compilers would rather load it again for every use
    asm("" : "+x"(v));
    return v;
  }
  static FC_INLINE Reg fma(Reg a, Reg b, Reg c) { return _mm256_fmadd_ps(a, b, c); }  // a*b + c
  static FC_INLINE Reg add(Reg a, Reg b) { return _mm256_add_ps(a, b); }
  static FC_INLINE Reg sub(Reg a, Reg b) { return _mm256_sub_ps(a, b); }
  static FC_INLINE Reg mul(Reg a, Reg b) { return _mm256_mul_ps(a, b); }
  static FC_INLINE Reg div(Reg a, Reg b) { return _mm256_div_ps(a, b); }
  static FC_INLINE Reg max(Reg a, Reg b) { return _mm256_max_ps(a, b); }  // b where unordered
  static FC_INLINE Reg min(Reg a, Reg b) { return _mm256_min_ps(a, b); }  // b where unordered
  static FC_INLINE Reg sqrt(Reg a) { return _mm256_sqrt_ps(a); }

  using Mask = __m256;
  static FC_INLINE Mask gt(Reg a, Reg b) { return _mm256_cmp_ps(a, b, _CMP_GT_OQ); }
  static FC_INLINE Mask le(Reg a, Reg b) { return _mm256_cmp_ps(a, b, _CMP_LE_OQ); }
  static FC_INLINE Mask is_nan(Reg a) { return _mm256_cmp_ps(a, a, _CMP_UNORD_Q); }
  static FC_INLINE Mask either(Mask a, Mask b) { return _mm256_or_ps(a, b); }
  static FC_INLINE Reg blend(Mask take, Reg yes, Reg no) { return _mm256_blendv_ps(no, yes, take); }
  static FC_INLINE Reg max_or_nan(Reg m, Reg x) { return blend(is_nan(x), x, max(x, m)); }  // x where x > m or x is NaN

  // Positions of elements, 32 bits a lane without a sign; 64 in memory.
  using Index = __m256i;
  static FC_INLINE Index index(int64_t i) { return _mm256_set1_epi32(int(i)); }
  static FC_INLINE Index blend(Mask take, Index yes, Index no) {
    return _mm256_blendv_epi8(no, yes, _mm256_castps_si256(take));
  }
  static FC_INLINE void store_index(int64_t* p, Index v, int64_t n) {
    Quad::store(p, _mm256_cvtepu32_epi64(_mm256_castsi256_si128(v)), n);
    Quad::store(p + 4, _mm256_cvtepu32_epi64(_mm256_extracti128_si256(v, 1)), n - 4);
  }
  static FC_INLINE Mask index_is(const int64_t* p, int64_t i, int64_t n) {  // of the first n lanes
    const __m256i is_low = Quad::equal(p, i, n), is_high = Quad::equal(p + 4, i, n - 4);
    // Packing works within halves: 0 1 8 9, 2 3 10 11 in quarters of the result.
    return _mm256_castsi256_ps(_mm256_permute4x64_epi64(_mm256_packs_epi32(is_low, is_high), 0xd8));
  }

  static FC_INLINE Reg round(Reg a) { return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
  static FC_INLINE Reg scale_by_power_of_two(Reg a, Reg n) {  // a * 2^n in two steps: n may pass 127
    const __m256i whole = _mm256_cvtps_epi32(n);
    const __m256i half = _mm256_srai_epi32(whole, 1);
    const __m256i rest = _mm256_sub_epi32(whole, half);
    const __m256i bias = _mm256_set1_epi32(127);
    const Reg first_step = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(half, bias), 23));
    const Reg second_step = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(rest, bias), 23));
    return mul(mul(a, first_step), second_step);
  }

  using Lanes = __m256i;  // a lane number for every lane
  static FC_INLINE Lanes lanes(const int32_t* from) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
  }
  static FC_INLINE Reg permute(Reg v, Lanes from) { return _mm256_permutevar8x32_ps(v, from); }  // v[from]
};

template <>
struct Vec<double> {
  using Reg = __m256d;
  static constexpr int width = 4;

  static FC_INLINE __m256i first(int64_t n) { return Quad::first(n); }

  static FC_INLINE Reg set1(double x) { return _mm256_set1_pd(x); }
  static FC_INLINE Reg load(const double* p) { return _mm256_loadu_pd(p); }
  static FC_INLINE Reg load(const double* p, int64_t n) { return _mm256_maskload_pd(p, first(n)); }
  static FC_INLINE void store(double* p, Reg v) { _mm256_storeu_pd(p, v); }
  static FC_INLINE void store(double* p, Reg v, int64_t n) { _mm256_maskstore_pd(p, first(n), v); }
  static FC_INLINE Reg keep(Reg v) {
    asm("" : "+x"(v));
    return v;
  }
  static FC_INLINE Reg fma(Reg a, Reg b, Reg c) { return _mm256_fmadd_pd(a, b, c); }
  static FC_INLINE Reg add(Reg a, Reg b) { return _mm256_add_pd(a, b); }
  static FC_INLINE Reg sub(Reg a, Reg b) { return _mm256_sub_pd(a, b); }
  static FC_INLINE Reg mul(Reg a, Reg b) { return _mm256_mul_pd(a, b); }
  static FC_INLINE Reg div(Reg a, Reg b) { return _mm256_div_pd(a, b); }
  static FC_INLINE Reg max(Reg a, Reg b) { return _mm256_max_pd(a, b); }
  static FC_INLINE Reg min(Reg a, Reg b) { return _mm256_min_pd(a, b); }
  static FC_INLINE Reg sqrt(Reg a) { return _mm256_sqrt_pd(a); }

  using Mask = __m256d;
  static FC_INLINE Mask gt(Reg a, Reg b) { return _mm256_cmp_pd(a, b, _CMP_GT_OQ); }
  static FC_INLINE Mask le(Reg a, Reg b) { return _mm256_cmp_pd(a, b, _CMP_LE_OQ); }
  static FC_INLINE Mask is_nan(Reg a) { return _mm256_cmp_pd(a, a, _CMP_UNORD_Q); }
  static FC_INLINE Mask either(Mask a, Mask b) { return _mm256_or_pd(a, b); }
  static FC_INLINE Reg blend(Mask take, Reg yes, Reg no) { return _mm256_blendv_pd(no, yes, take); }
  static FC_INLINE Reg max_or_nan(Reg m, Reg x) { return blend(is_nan(x), x, max(x, m)); }  // x where x > m or x is NaN

  using Index = __m256i;
  static FC_INLINE Index index(int64_t i) { return _mm256_set1_epi64x(i); }
  static FC_INLINE Index blend(Mask take, Index yes, Index no) {
    return _mm256_blendv_epi8(no, yes, _mm256_castpd_si256(take));
  }
  static FC_INLINE void store_index(int64_t* p, Index v, int64_t n) { Quad::store(p, v, n); }
  static FC_INLINE Mask index_is(const int64_t* p, int64_t i, int64_t n) {
    return _mm256_castsi256_pd(Quad::equal(p, i, n));
  }

  using Lanes = __m256i;  // AVX2 permutes no doubles by a register: lane i as the floats 2i and 2i + 1
  static FC_INLINE Lanes lanes(const int32_t* from) {
    const __m256i twice =
        _mm256_slli_epi64(_mm256_cvtepi32_epi64(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from))), 1);
    return _mm256_or_si256(twice, _mm256_slli_epi64(_mm256_add_epi64(twice, _mm256_set1_epi64x(1)), 32));
  }
  static FC_INLINE Reg permute(Reg v, Lanes from) {
    return _mm256_castps_pd(_mm256_permutevar8x32_ps(_mm256_castpd_ps(v), from));
  }
};

}  // namespace fastconv::FC_ISA

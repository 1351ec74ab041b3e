// AVX-512 F/BW/VL/DQ: 16 floats or 8 doubles a register, 32 registers, masks for tails.
#pragma once

#include <immintrin.h>

#include "dtype.h"

namespace fastconv::FC_ISA {

template <class T>
struct Vec;

template <>
struct Vec<float> {
  using Reg = __m512;
  static constexpr int width = 16;

  static FC_INLINE __mmask16 first(int64_t n) { return __mmask16(_bzhi_u32(0xffffu, uint32_t(n))); }

  static FC_INLINE Reg set1(float x) { return _mm512_set1_ps(x); }
  static FC_INLINE Reg load(const float* p) { return _mm512_loadu_ps(p); }
  static FC_INLINE Reg load(const float* p, int64_t n) { return _mm512_maskz_loadu_ps(first(n), p); }
  static FC_INLINE void store(float* p, Reg v) { _mm512_storeu_ps(p, v); }
  static FC_INLINE void store(float* p, Reg v, int64_t n) { _mm512_mask_storeu_ps(p, first(n), v); }

  static FC_INLINE Reg load(const Half* p) {
    return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  }
  static FC_INLINE Reg load(const Half* p, int64_t n) { return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(first(n), p)); }
  static FC_INLINE void store(Half* p, Reg v) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT));
  }
  static FC_INLINE void store(Half* p, Reg v, int64_t n) {
    _mm256_mask_storeu_epi16(p, first(n), _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT));
  }

  static FC_INLINE Reg widen(__m256i bf16) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bf16), 16));
  }
  static FC_INLINE __m256i narrow(Reg v) {  // as from_compute<BFloat16>
    const __m512i u = _mm512_castps_si512(v);
    const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(u, 16), _mm512_set1_epi32(1));
    const __m512i rounded =
        _mm512_srli_epi32(_mm512_add_epi32(u, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff))), 16);
    const __m512i quiet = _mm512_or_si512(_mm512_srli_epi32(u, 16), _mm512_set1_epi32(0x40));
    const __mmask16 nan = _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q);
    return _mm512_cvtepi32_epi16(_mm512_mask_blend_epi32(nan, rounded, quiet));
  }
  static FC_INLINE Reg load(const BFloat16* p) {
    return widen(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  }
  static FC_INLINE Reg load(const BFloat16* p, int64_t n) { return widen(_mm256_maskz_loadu_epi16(first(n), p)); }
  static FC_INLINE void store(BFloat16* p, Reg v) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), narrow(v)); }
  static FC_INLINE void store(BFloat16* p, Reg v, int64_t n) { _mm256_mask_storeu_epi16(p, first(n), narrow(v)); }

  static FC_INLINE Reg keep(Reg v) {  // v in a register: compilers would rather load it again for every use
    asm("" : "+v"(v));
    return v;
  }
  static FC_INLINE Reg fma(Reg a, Reg b, Reg c) { return _mm512_fmadd_ps(a, b, c); }  // a*b + c
  static FC_INLINE Reg add(Reg a, Reg b) { return _mm512_add_ps(a, b); }
  static FC_INLINE Reg sub(Reg a, Reg b) { return _mm512_sub_ps(a, b); }
  static FC_INLINE Reg mul(Reg a, Reg b) { return _mm512_mul_ps(a, b); }
  static FC_INLINE Reg div(Reg a, Reg b) { return _mm512_div_ps(a, b); }
  static FC_INLINE Reg max(Reg a, Reg b) { return _mm512_max_ps(a, b); }  // b where unordered
  static FC_INLINE Reg min(Reg a, Reg b) { return _mm512_min_ps(a, b); }  // b where unordered
  static FC_INLINE Reg sqrt(Reg a) { return _mm512_sqrt_ps(a); }

  using Mask = __mmask16;
  static FC_INLINE Mask gt(Reg a, Reg b) { return _mm512_cmp_ps_mask(a, b, _CMP_GT_OQ); }
  static FC_INLINE Mask le(Reg a, Reg b) { return _mm512_cmp_ps_mask(a, b, _CMP_LE_OQ); }
  static FC_INLINE Mask is_nan(Reg a) { return _mm512_cmp_ps_mask(a, a, _CMP_UNORD_Q); }
  static FC_INLINE Mask either(Mask a, Mask b) { return a | b; }
  static FC_INLINE Reg blend(Mask take, Reg yes, Reg no) { return _mm512_mask_blend_ps(take, no, yes); }
  static FC_INLINE Reg max_or_nan(Reg m, Reg x) { return blend(is_nan(x), x, max(x, m)); }  // x where x > m or x is NaN

  // Positions of elements, 32 bits a lane without a sign; 64 in memory.
  using Index = __m512i;
  static FC_INLINE Index index(int64_t i) { return _mm512_set1_epi32(int(i)); }
  static FC_INLINE Index blend(Mask take, Index yes, Index no) { return _mm512_mask_blend_epi32(take, no, yes); }
  static FC_INLINE void store_index(int64_t* p, Index v, int64_t n) {
    _mm512_mask_storeu_epi64(p, __mmask8(first(n)), _mm512_cvtepu32_epi64(_mm512_castsi512_si256(v)));
    _mm512_mask_storeu_epi64(p + 8, __mmask8(first(n) >> 8), _mm512_cvtepu32_epi64(_mm512_extracti64x4_epi64(v, 1)));
  }
  static FC_INLINE Mask index_is(const int64_t* p, int64_t i, int64_t n) {  // of the first n lanes
    const __m512i wanted = _mm512_set1_epi64(i);
    const __mmask8 low = __mmask8(first(n)), high = __mmask8(first(n) >> 8);
    const unsigned is_low = _mm512_mask_cmpeq_epi64_mask(low, _mm512_maskz_loadu_epi64(low, p), wanted);
    const unsigned is_high = _mm512_mask_cmpeq_epi64_mask(high, _mm512_maskz_loadu_epi64(high, p + 8), wanted);
    return Mask(is_low | is_high << 8);
  }

  static FC_INLINE Reg round(Reg a) { return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT); }
  static FC_INLINE Reg scale_by_power_of_two(Reg a, Reg n) { return _mm512_scalef_ps(a, n); }  // a * 2^n

  using Lanes = __m512i;  // a lane number for every lane
  static FC_INLINE Lanes lanes(const int32_t* from) { return _mm512_loadu_si512(from); }
  static FC_INLINE Reg permute(Reg v, Lanes from) { return _mm512_permutexvar_ps(from, v); }  // v[from]
};

template <>
struct Vec<double> {
  using Reg = __m512d;
  static constexpr int width = 8;

  static FC_INLINE __mmask8 first(int64_t n) { return __mmask8(_bzhi_u32(0xffu, uint32_t(n))); }

  static FC_INLINE Reg set1(double x) { return _mm512_set1_pd(x); }
  static FC_INLINE Reg load(const double* p) { return _mm512_loadu_pd(p); }
  static FC_INLINE Reg load(const double* p, int64_t n) { return _mm512_maskz_loadu_pd(first(n), p); }
  static FC_INLINE void store(double* p, Reg v) { _mm512_storeu_pd(p, v); }
  static FC_INLINE void store(double* p, Reg v, int64_t n) { _mm512_mask_storeu_pd(p, first(n), v); }
  static FC_INLINE Reg keep(Reg v) {
    asm("" : "+v"(v));
    return v;
  }
  static FC_INLINE Reg fma(Reg a, Reg b, Reg c) { return _mm512_fmadd_pd(a, b, c); }
  static FC_INLINE Reg add(Reg a, Reg b) { return _mm512_add_pd(a, b); }
  static FC_INLINE Reg sub(Reg a, Reg b) { return _mm512_sub_pd(a, b); }
  static FC_INLINE Reg mul(Reg a, Reg b) { return _mm512_mul_pd(a, b); }
  static FC_INLINE Reg div(Reg a, Reg b) { return _mm512_div_pd(a, b); }
  static FC_INLINE Reg max(Reg a, Reg b) { return _mm512_max_pd(a, b); }
  static FC_INLINE Reg min(Reg a, Reg b) { return _mm512_min_pd(a, b); }
  static FC_INLINE Reg sqrt(Reg a) { return _mm512_sqrt_pd(a); }

  using Mask = __mmask8;
  static FC_INLINE Mask gt(Reg a, Reg b) { return _mm512_cmp_pd_mask(a, b, _CMP_GT_OQ); }
  static FC_INLINE Mask le(Reg a, Reg b) { return _mm512_cmp_pd_mask(a, b, _CMP_LE_OQ); }
  static FC_INLINE Mask is_nan(Reg a) { return _mm512_cmp_pd_mask(a, a, _CMP_UNORD_Q); }
  static FC_INLINE Mask either(Mask a, Mask b) { return a | b; }
  static FC_INLINE Reg blend(Mask take, Reg yes, Reg no) { return _mm512_mask_blend_pd(take, no, yes); }
  static FC_INLINE Reg max_or_nan(Reg m, Reg x) { return blend(is_nan(x), x, max(x, m)); }  // x where x > m or x is NaN

  using Index = __m512i;
  static FC_INLINE Index index(int64_t i) { return _mm512_set1_epi64(i); }
  static FC_INLINE Index blend(Mask take, Index yes, Index no) { return _mm512_mask_blend_epi64(take, no, yes); }
  static FC_INLINE void store_index(int64_t* p, Index v, int64_t n) { _mm512_mask_storeu_epi64(p, first(n), v); }
  static FC_INLINE Mask index_is(const int64_t* p, int64_t i, int64_t n) {
    return _mm512_mask_cmpeq_epi64_mask(first(n), _mm512_maskz_loadu_epi64(first(n), p), _mm512_set1_epi64(i));
  }

  using Lanes = __m512i;
  static FC_INLINE Lanes lanes(const int32_t* from) {
    return _mm512_cvtepi32_epi64(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
  }
  static FC_INLINE Reg permute(Reg v, Lanes from) { return _mm512_permutexvar_pd(from, v); }
};

}  // namespace fastconv::FC_ISA

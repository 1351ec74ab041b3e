// One output pixel's window of the image as a vector of k = (r, s, c): the A of the GEMM.
//
// In NHWC a window row is contiguous: without dilation and groups its S*C values are one run of memory,
// clipped at the left and right edge; otherwise each tap's C/G values are a run. Outside the image
// the value is zero, written as zero (never multiplied, so Inf and NaN in memory cannot leak in).
#pragma once

#include "cpu/conv/conv.h"
#include "cpu/simd/vec.h"

namespace fastconv::FC_ISA {

template <class D>
FC_INLINE void clear(D* dst, int64_t n) {
  for (int64_t i = 0; i < n; i++) dst[i] = D{};
}

// Copies and converts k in [k0, k0 + kc) of the windows of `rows` consecutive pixels to dst, `stride`
// elements apart. D is the compute type (GEMM panel) or S itself (explicit column matrix).
template <class S>
struct ImageWindows {
  ConvProblem d;
  const S* x;     // first image, first channel of the group
  int64_t run;    // contiguous values a run
  int64_t runs;   // runs a window: r (merged) or r * s
  int64_t tap_c;  // channels a tap
  bool merged;    // a run is a whole window row

  FC_INLINE ImageWindows(const ConvProblem& problem, const S* images, int64_t group)
      : d(problem), x(images + group * (problem.c / problem.groups)), tap_c(problem.c / problem.groups) {
    merged = d.groups == 1 && d.dilation_w == 1;
    run = merged ? d.s * tap_c : tap_c;
    runs = merged ? d.r : d.r * d.s;
  }

  template <class D>
  FC_INLINE void load(D* dst, int64_t stride, int64_t row, int64_t rows, int64_t k0, int64_t kc) const {
    if (run == 0) return;  // no channels: no values
    int64_t n = row / (d.p * d.q), p = row / d.q % d.p, q = row % d.q;
    const int64_t first_run = k0 / run, begin = k0 % run;  // divided once, not per pixel
    const int64_t first_r = merged ? first_run : first_run / d.s, first_s = merged ? 0 : first_run % d.s;
    for (int64_t i = 0; i < rows; i++, dst += stride) {
      window(dst, x + n * d.h * d.w * d.c, p * d.stride_h - d.pad_top, q * d.stride_w - d.pad_left, first_r, first_s,
             begin, kc);
      if (++q == d.q) {
        q = 0;
        if (++p == d.p) p = 0, n++;
      }
    }
  }

 private:
  // kc values of one window, from value `begin` of run (r, s) on. (h0, w0) is the window's first pixel.
  template <class D>
  FC_INLINE void window(D* dst, const S* image, int64_t h0, int64_t w0, int64_t r, int64_t s, int64_t begin,
                        int64_t kc) const {
    while (kc > 0) {
      const int64_t count = run - begin < kc ? run - begin : kc;
      const int64_t h = h0 + r * d.dilation_h, w = w0 + s * d.dilation_w;
      // Values [first, last) of the run lie inside the image; a run that is one tap is inside or outside whole.
      int64_t first = begin, last = begin;
      if (h >= 0 && h < d.h) {
        if (!merged) {
          last = w >= 0 && w < d.w ? begin + count : begin;
        } else {
          const int64_t left = -w * tap_c, right = (d.w - w) * tap_c;
          first = left > begin ? (left < begin + count ? left : begin + count) : begin;
          last = right < begin + count ? (right > first ? right : first) : begin + count;
        }
      }
      clear(dst, first - begin);
      copy(dst + (first - begin), image + (h * d.w + w) * d.c + first, last - first);
      clear(dst + (last - begin), begin + count - last);
      dst += count;
      kc -= count;
      begin = 0;
      if (merged || ++s == d.s) s = 0, r++;
    }
  }

  template <class D>
  static FC_INLINE void copy(D* dst, const S* src, int64_t n) {
    if constexpr (sizeof(D) == sizeof(Compute<S>)) {
      load_row<S>(dst, src, n);
    } else {
      memcpy(dst, src, size_t(n) * sizeof(S));
    }
  }
};

}  // namespace fastconv::FC_ISA

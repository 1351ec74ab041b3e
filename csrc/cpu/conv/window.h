// One output pixel's window of the image as a vector of k = (r, s, c): the A of the GEMM.
//
// In NHWC a window row is contiguous: without dilation and groups its S*C values are one run of memory,
// clipped at the left and right edge; otherwise each tap's C/G values are a run. Outside the image
// the value is zero, written as zero (never multiplied, so Inf and NaN in memory cannot leak in).
#pragma once

#include "cpu/conv/conv.h"
#include "cpu/gemm/gemm.h"

namespace fastconv::FC_ISA {

template <class D>
FC_INLINE void clear(D* dst, int64_t n) {
  for (int64_t i = 0; i < n; i++) dst[i] = D{};
}

// Copies and converts k in [k0, k0 + kc) of the windows of `rows` consecutive pixels to dst, `stride`
// elements apart. D is the compute type (GEMM panel) or S itself (explicit column matrix).
template <class S>
struct ImageWindows {
  static constexpr int64_t kMinStrip = 64;  // shorter runs: the tile's start and end outweigh the copying saved

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

  // The windows as an A panel for the GEMM. Neighbouring windows of one output row overlap: window i + 1 is the
  // same memory stride_w pixels on. Where a stretch lies inside the image it is read in place; at an edge it is copied
  // once with its zeros, as a strip that all windows share. What neither serves is gathered window by window.
  FC_INLINE int segments(Compute<S>* scratch, int64_t stride, int64_t row, int64_t rows, int64_t k0, int64_t kc,
                         Segment<Compute<S>>* out) const {
    constexpr bool in_place = sizeof(S) == sizeof(Compute<S>);
    const int64_t step = d.stride_w * d.c;  // between the windows of neighbouring pixels
    const int64_t q = row % d.q;
    const bool one_pixel = d.r == 1 && d.s == 1 && d.stride_h == 1 && d.stride_w == 1 && d.p == d.h && d.q == d.w &&
                           d.pad_top == 0 && d.pad_left == 0;
    if constexpr (in_place) {
      if (one_pixel && !rows_collide<S>(d.c)) {  // 1 x 1: the image is the matrix
        out[0] = {x + row * d.c + k0, d.c, kc};
        return 1;
      }
    }
    if (!merged || q + rows > d.q || run < kMinStrip || rows_collide<Compute<S>>(step) || one_pixel) {
      load(scratch, stride, row, rows, k0, kc);
      out[0] = {scratch, stride, kc};
      return 1;
    }
    const int64_t n = row / (d.p * d.q), p = row / d.q % d.p;
    const int64_t w0 = (q * d.stride_w - d.pad_left) * d.c;  // of the first window, in values from the row's start
    int count = 0;
    for (int64_t r = k0 / run, begin = k0 % run; kc > 0; r++, begin = 0) {
      const int64_t length = run - begin < kc ? run - begin : kc;
      const int64_t h = p * d.stride_h - d.pad_top + r * d.dilation_h;
      const S* const line = x + (n * d.h + h) * d.w * d.c;
      const int64_t first = w0 + begin, last = first + (rows - 1) * step + length;
      const bool inside = h >= 0 && h < d.h;
      if (in_place && inside && first >= 0 && last <= d.w * d.c) {
        if constexpr (in_place) out[count++] = {line + first, step, length};
      } else if (step <= length) {
        const int64_t left = inside ? (first < 0 ? (last < 0 ? last : 0) : first) : last;
        const int64_t right = inside ? (last > d.w * d.c ? d.w * d.c : last) : last;
        clear(scratch, left - first);
        if (left < right) load_row<S>(scratch + (left - first), line + left, right - left);
        const int64_t filled = left < right ? right : left;
        clear(scratch + (filled - first), last - filled);
        out[count++] = {scratch, step, length};
        scratch += last - first;  // at most rows * length values: windows would take no less
      } else {
        const int64_t r0 = r;
        for (int64_t i = 0; i < rows; i++)
          window(scratch + i * length, x + n * d.h * d.w * d.c, p * d.stride_h - d.pad_top,
                 (q + i) * d.stride_w - d.pad_left, r0, 0, begin, length);
        out[count++] = {scratch, length, length};
        scratch += rows * length;
      }
      kc -= length;
    }
    return count;
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

// One output pixel's window of the image as a vector of k = (r, s, c): the A of the GEMM.
//
// In NHWC a window row is contiguous: without dilation and groups its S*C values are one run of memory,
// clipped at the left and right edge; otherwise each tap's C/G values are a run. Outside the image the value is a
// zero that is written; memory there is never read, so what lies beside a row (Inf, NaN) cannot leak in.
#pragma once

#include "cpu/conv/conv.h"
#include "cpu/gemm/gemm.h"

namespace fastconv::FC_ISA {

template <class D>
FC_INLINE void clear(D* dst, int64_t n) {
  for (int64_t i = 0; i < n; i++) dst[i] = D{};
}

template <class S>
struct ImageWindows {
  static constexpr int64_t kMinStrip = 3;  // values; below, the tile's loop over segments outweighs the copying saved

  ConvProblem d;
  const S* x;      // first image, first channel of the group
  int64_t run;     // contiguous values a run
  int64_t tap_c;   // channels a tap
  bool merged;     // a run is a whole window row
  bool pointwise;  // 1 x 1, every pixel once: windows are pixels

  static_assert(kMaxKc / kMinStrip + 2 <= kMaxSegments);

  FC_INLINE ImageWindows(const ConvProblem& problem, const S* images, int64_t group)
      : d(problem), x(images + group * (problem.c / problem.groups)), tap_c(problem.c / problem.groups) {
    merged = d.groups == 1 && d.dilation_w == 1;
    run = merged ? d.s * tap_c : tap_c;
    pointwise = d.r == 1 && d.s == 1 && d.p == d.h && d.q == d.w && d.pad_top == 0 && d.pad_left == 0 &&
                d.stride_h == 1 && d.stride_w == 1;
  }

  // The windows as an A panel for the GEMM (gemm.h), in the cheapest form that this panel allows:
  //   1 x 1, stride 1: the image is the matrix, read in place;
  //   pixels of one output row: their windows are one stretch of each image row, `step` values apart (strip());
  //   anything else: gathered window by window (load()).
  FC_INLINE int segments(Compute<S>* scratch, int64_t stride, int64_t row, int64_t rows, int64_t k0, int64_t kc,
                         Segment<Compute<S>>* out) const {
    const int64_t step = d.stride_w * d.c;
    if constexpr (kInPlace) {
      if (pointwise && !rows_collide<S>(d.c)) {
        out[0] = {x + row * d.c + k0, d.c, kc};
        return 1;
      }
    }
    const int64_t q = row % d.q, pieces = run > 0 ? (k0 % run + kc + run - 1) / run : 0;  // of runs in [k0, k0 + kc)
    // All strips together must fit where the windows would: pieces * ((rows - 1) * step) + kc <= rows * kc.
    const bool overlapping = merged && !pointwise && q + rows <= d.q && pieces * step <= kc;
    if (!overlapping || run < kMinStrip || rows_collide<Compute<S>>(step)) {
      load(scratch, stride, row, rows, k0, kc);
      out[0] = {scratch, stride, kc};
      return 1;
    }
    const int64_t n = row / (d.p * d.q), p = row / d.q % d.p;
    const S* const image = x + n * d.h * d.w * d.c;
    const int64_t w0 = (q * d.stride_w - d.pad_left) * d.c;  // of the first window, in values from the row's start
    int count = 0;
    for (int64_t r = k0 / run, begin = k0 % run; kc > 0; r++, begin = 0) {
      const int64_t length = run - begin < kc ? run - begin : kc;
      const int64_t h = p * d.stride_h - d.pad_top + r * d.dilation_h;
      const int64_t first = w0 + begin, values = (rows - 1) * step + length;
      out[count++] = {strip(image, h, first, values, scratch), step, length};
      kc -= length;
    }
    return count;
  }

  // Copies and converts k in [k0, k0 + kc) of the windows of `rows` consecutive pixels to dst, `stride` elements
  // apart. D is the compute type (GEMM panel) or S itself (explicit column matrix).
  template <class D>
  FC_INLINE void load(D* dst, int64_t stride, int64_t row, int64_t rows, int64_t k0, int64_t kc) const {
    if (kc == 0) return;  // no channels, or no taps: no values
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
  static constexpr bool kInPlace = sizeof(S) == sizeof(Compute<S>);

  // Values [first, first + count) of image row h: where they lie, or, at an edge of the image or in 16 bits, copied to
  // scratch with zeros outside. scratch moves on: all strips of a panel live at once.
  FC_INLINE const Compute<S>* strip(const S* image, int64_t h, int64_t first, int64_t count,
                                    Compute<S>*& scratch) const {
    const int64_t width = d.w * d.c, end = first + count;
    const bool inside = h >= 0 && h < d.h && first < width && end > 0;
    if constexpr (kInPlace) {
      if (inside && first >= 0 && end <= width) return image + h * width + first;
    }
    Compute<S>* const copied = scratch;
    scratch += count;
    if (!inside) {
      clear(copied, count);
      return copied;
    }
    const int64_t left = first < 0 ? 0 : first, right = end > width ? width : end;
    clear(copied, left - first);
    load_row<S>(copied + (left - first), image + h * width + left, right - left);
    clear(copied + (right - first), end - right);
    return copied;
  }

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
      if (first < last) copy(dst + (first - begin), image + (h * d.w + w) * d.c + first, last - first);
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

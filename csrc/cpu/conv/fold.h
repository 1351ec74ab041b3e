// A convolution of stride s as one of stride 1 over s x s times the channels: pixels of an s x s square become
// channels,
//
//   x'[n][i][j][(a, b, c)] = x[n][i s + a - pad_top][j s + b - pad_left][c], zero outside
//   w'[k][r][t][(a, b, c)] = w[k][r s + a][t s + b][c], zero beyond the kernel
//
// An 11 x 11 kernel of stride 4 over 3 channels is a 3 x 3 kernel over 48: what Winograd's method takes.
#pragma once

#include "cpu/conv/conv.h"
#include "cpu/conv/weight_view.h"
#include "cpu/simd/vec.h"

namespace fastconv::FC_ISA {

FC_INLINE ConvProblem folded(const ConvProblem& d) {
  const int64_t stride = d.stride_h;
  ConvProblem f = d;
  f.c = d.c * stride * stride;
  f.r = (d.r + stride - 1) / stride, f.s = (d.s + stride - 1) / stride;
  f.h = d.p + f.r - 1, f.w = d.q + f.s - 1;  // exactly what the outputs see
  f.stride_h = f.stride_w = 1;
  f.pad_top = f.pad_left = 0;
  return f;
}

template <class T>
FC_INLINE int64_t folded_bytes(const ConvProblem& d) {
  const ConvProblem f = folded(d);
  return (f.n * f.h * f.w * f.c * int64_t(sizeof(T)) + 4095) / 4096 * 4096;
}

template <class S>
FC_INLINE void fold_image(ThreadPool& pool, const ConvProblem& d, const S* x, Compute<S>* out) {
  const ConvProblem f = folded(d);
  const int64_t stride = d.stride_h, run = stride * d.c;  // pixels (., b = 0 ... s-1) lie side by side in x, too
  parallel_for(pool, f.n * f.h, ThreadPool::kMaxThreads, [&](int64_t item, int) {
    const int64_t n = item / f.h, i = item % f.h;
    for (int64_t a = 0; a < stride; a++) {
      const int64_t h = i * stride + a - d.pad_top;
      const S* const row = x + (n * d.h + h) * d.w * d.c;
      Compute<S>* const to = out + item * f.w * f.c + a * run;
      for (int64_t j = 0; j < f.w; j++) {
        const int64_t w = j * stride - d.pad_left;
        if (h >= 0 && h < d.h && w >= 0 && w + stride <= d.w) {
          load_row(to + j * f.c, row + w * d.c, run);
          continue;
        }
        for (int64_t b = 0; b < stride; b++)
          for (int64_t c = 0; c < d.c; c++) {
            const bool inside = h >= 0 && h < d.h && w + b >= 0 && w + b < d.w;
            to[j * f.c + b * d.c + c] = inside ? to_compute(row[(w + b) * d.c + c]) : Compute<S>(0);
          }
      }
    }
  });
}

// The folded weight: a view (k, r, s, channel) of the one that it folds.
template <class S>
struct FoldedWeight {
  ConvProblem d;
  WeightView<S> weight;

  FC_INLINE Compute<S> operator()(int64_t k, int64_t r, int64_t s, int64_t channel) const {
    const int64_t stride = d.stride_h, a = channel / (stride * d.c), b = channel / d.c % stride;
    const int64_t down = r * stride + a, right = s * stride + b;
    return down < d.r && right < d.s ? weight(k, down, right, channel % d.c) : Compute<S>(0);
  }
};

}  // namespace fastconv::FC_ISA

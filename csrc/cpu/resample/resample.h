// A separable linear map of images, channels-last, vectors along channels:
//
//   y[n,p,q,c] = sum over rows h of row_weight[p][h] (sum over columns w of col_weight[q][w] x[n,h,w,c])
//
// with few rows and columns that are neighbours for each p and q, given as tables (resample_args.h): interpolation of
// every kind is one set of tables, and its gradient is the transposed set. An output gathers, in the order of the
// input's rows and columns, so that threads share nothing and the result is the same every time. What has no weight
// is not read: its NaN goes nowhere.
//
// Registers: 4 sums, 4 of a row and 4 loads, a weight: 13 of AVX2's 16.
#pragma once

#include "cpu/pool/channels.h"
#include "cpu/resample/resample_args.h"

namespace fastconv::FC_ISA {

// One output pixel, of channels c and on: image and y begin there. First terms are products, not sums with 0: a weight
// of 1 alone hands on the bits.
template <class S, int kCount>
FC_INLINE void resample_pixel(const ResampleArgs& d, const S* image, S* y, int64_t p, int64_t q,
                              Vectors<Compute<S>, kCount> vectors) {
  using T = Compute<S>;
  using V = Vec<T>;
  const T* const row_weight = static_cast<const T*>(d.row_weight);
  const T* const col_weight = static_cast<const T*>(d.col_weight);
  const int64_t row_begin = d.row_begin[p], row_end = d.row_begin[p + 1];
  const int64_t col_begin = d.col_begin[q], col_end = d.col_begin[q + 1];
  typename V::Reg sum[kCount];
  for (auto& v : sum) v = V::set1(0);
  for (int64_t i = col_begin < col_end ? row_begin : row_end; i < row_end; i++) {
    const S* tap = image + ((d.row_first[p] + i - row_begin) * d.w + d.col_first[q]) * d.c;
    typename V::Reg row[kCount], weight = V::set1(col_weight[col_begin]);
    for (int v = 0; v < kCount; v++) row[v] = V::mul(vectors.load(tap + v * V::width), weight);
    for (int64_t j = col_begin + 1; j < col_end; j++) {
      tap += d.c;
      weight = V::set1(col_weight[j]);
      for (int v = 0; v < kCount; v++) row[v] = V::fma(vectors.load(tap + v * V::width), weight, row[v]);
    }
    weight = V::set1(row_weight[i]);
    for (int v = 0; v < kCount; v++) sum[v] = i == row_begin ? V::mul(row[v], weight) : V::fma(row[v], weight, sum[v]);
  }
  for (int v = 0; v < kCount; v++) vectors.store(y + v * V::width, sum[v]);
}

template <class S>
void resample(ThreadPool& pool, const ResampleArgs& args) {
  const ResampleArgs& d = args;
  if (d.p == 0 || d.q == 0) return;
  const int64_t loads = (d.row_begin[d.p] / d.p + 1) * (d.col_begin[d.q] + d.q) * d.c;
  for_each_run<Compute<S>>(pool, d.n * d.p, d.c, loads, [&](int64_t row, int64_t begin, int64_t end) {
    const S* const image = static_cast<const S*>(d.x) + row / d.p * d.h * d.w * d.c;
    S* const y = static_cast<S*>(d.y) + row * d.q * d.c;
    for (int64_t q = 0; q < d.q; q++)
      for_each_vectors<Compute<S>>(begin, end, [&](auto vectors, int64_t c) {
        resample_pixel(d, image + c, y + q * d.c + c, row % d.p, q, vectors);
      });
  });
}

}  // namespace fastconv::FC_ISA

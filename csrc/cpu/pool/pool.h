// Pooling over the window tables of PoolProblem (problem.h), channels-last, vectors along channels.
//
//   max  y[n,p,q,c] = max over the window, NaN if the window holds one; indices[...] = h*W + w of the
//        first maximum (or of the last NaN), int64, when asked for
//   avg  y[n,p,q,c] = sum over the window / (row_count[p] * col_count[q]), in the compute type: first along
//        each of the window's rows, then over the rows, so that windows as large as an image stay accurate
#pragma once

#include "cpu/pool/channels.h"
#include "cpu/pool/pool_args.h"

namespace fastconv::FC_ISA {

// One window, of channels c and on: image, y and indices begin there.
template <class S, int kCount>
FC_INLINE void max_window(const PoolProblem& d, const S* image, S* y, int64_t p, int64_t q,
                          Vectors<Compute<S>, kCount> vectors) {
  using V = Vec<Compute<S>>;
  typename V::Reg best[kCount];
  for (auto& v : best) v = V::set1(-Compute<S>(INFINITY));
  for (int64_t h = d.row_start[p]; h < d.row_end[p]; h += d.dilation_h)
    for (int64_t w = d.col_start[q]; w < d.col_end[q]; w += d.dilation_w) {
      const S* const tap = image + (h * d.w + w) * d.c;
      for (int i = 0; i < kCount; i++) best[i] = V::max_or_nan(best[i], vectors.load(tap + i * V::width));
    }
  for (int i = 0; i < kCount; i++) vectors.store(y + i * V::width, best[i]);
}

template <class S, int kCount>
FC_INLINE void max_window_with_indices(const PoolProblem& d, const S* image, S* y, int64_t* indices, int64_t p,
                                       int64_t q, Vectors<Compute<S>, kCount> vectors) {
  using V = Vec<Compute<S>>;
  typename V::Reg best[kCount];
  typename V::Index at[kCount];
  for (auto& v : best) v = V::set1(-Compute<S>(INFINITY));
  for (auto& v : at) v = V::index(int64_t(d.row_start[p]) * d.w + d.col_start[q]);
  for (int64_t h = d.row_start[p]; h < d.row_end[p]; h += d.dilation_h)
    for (int64_t w = d.col_start[q]; w < d.col_end[q]; w += d.dilation_w) {
      const typename V::Index pixel = V::index(h * d.w + w);
      const S* const tap = image + (h * d.w + w) * d.c;
      for (int i = 0; i < kCount; i++) {
        const typename V::Reg x = vectors.load(tap + i * V::width);
        const typename V::Mask take = V::either(V::gt(x, best[i]), V::is_nan(x));
        best[i] = V::blend(take, x, best[i]);
        at[i] = V::blend(take, pixel, at[i]);
      }
    }
  for (int i = 0; i < kCount; i++) {
    vectors.store(y + i * V::width, best[i]);
    V::store_index(indices + i * V::width, at[i], vectors.n);
  }
}

template <class S, int kCount>
FC_INLINE void avg_window(const PoolProblem& d, const S* image, S* y, int64_t p, int64_t q,
                          Vectors<Compute<S>, kCount> vectors) {
  using T = Compute<S>;
  using V = Vec<T>;
  typename V::Reg sum[kCount];
  for (auto& v : sum) v = V::set1(0);
  for (int64_t h = d.row_start[p]; h < d.row_end[p]; h++) {
    typename V::Reg row[kCount];
    for (auto& v : row) v = V::set1(0);
    for (int64_t w = d.col_start[q]; w < d.col_end[q]; w++) {
      const S* const tap = image + (h * d.w + w) * d.c;
      for (int i = 0; i < kCount; i++) row[i] = V::add(row[i], vectors.load(tap + i * V::width));
    }
    for (int i = 0; i < kCount; i++) sum[i] = V::add(sum[i], row[i]);
  }
  const typename V::Reg count = V::set1(T(d.row_count[p]) * T(d.col_count[q]));
  for (int i = 0; i < kCount; i++) vectors.store(y + i * V::width, V::div(sum[i], count));
}

FC_INLINE int64_t count_taps(const int32_t* start, const int32_t* end, int64_t windows, int64_t dilation) {
  int64_t taps = 0;
  for (int64_t i = 0; i < windows; i++) taps += (end[i] - start[i] + dilation - 1) / dilation;
  return taps;
}

// Calls body(vectors, image, at, p, q) for every window and its channels: image + c is where they begin in the image,
// `at` in the output.
template <class S, class F>
FC_INLINE void for_each_window(ThreadPool& pool, const PoolArgs& args, const F& body) {
  using T = Compute<S>;
  const PoolProblem& d = args.problem;
  if (d.p == 0 || d.q == 0) return;
  const int64_t row_taps = count_taps(d.row_start, d.row_end, d.p, d.dilation_h) / d.p + 1;
  const int64_t loads = row_taps * count_taps(d.col_start, d.col_end, d.q, d.dilation_w) * d.c;
  for_each_run<T>(pool, d.n * d.p, d.c, loads, [&](int64_t row, int64_t begin, int64_t end) {
    const S* const image = static_cast<const S*>(args.x) + row / d.p * d.h * d.w * d.c;
    for (int64_t q = 0; q < d.q; q++)
      for_each_vectors<T>(begin, end, [&](auto vectors, int64_t c) {
        body(vectors, image + c, (row * d.q + q) * d.c + c, row % d.p, q);
      });
  });
}

template <class S>
void max_pool(ThreadPool& pool, const PoolArgs& args) {
  S* const y = static_cast<S*>(args.y);
  if (args.indices) {
    for_each_window<S>(pool, args, [&](auto vectors, const S* image, int64_t at, int64_t p, int64_t q) {
      max_window_with_indices(args.problem, image, y + at, args.indices + at, p, q, vectors);
    });
  } else {
    for_each_window<S>(pool, args, [&](auto vectors, const S* image, int64_t at, int64_t p, int64_t q) {
      max_window(args.problem, image, y + at, p, q, vectors);
    });
  }
}

template <class S>
void avg_pool(ThreadPool& pool, const PoolArgs& args) {
  S* const y = static_cast<S*>(args.y);
  for_each_window<S>(pool, args, [&](auto vectors, const S* image, int64_t at, int64_t p, int64_t q) {
    avg_window(args.problem, image, y + at, p, q, vectors);
  });
}

}  // namespace fastconv::FC_ISA

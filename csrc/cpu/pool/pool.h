// Pooling over the window tables of PoolProblem (problem.h), channels-last, vectors along channels.
//
//   max  y[n,p,q,c] = max over the window, NaN if the window holds one; indices[...] = h*W + w of the
//        first maximum (or of the last NaN), int64, when asked for
//   avg  y[n,p,q,c] = sum over the window / (row_count[p] * col_count[q]), summed in the compute type
#pragma once

#include "cpu/pool/pool_args.h"
#include "cpu/simd/vec.h"

namespace fastconv::FC_ISA {

template <class S>
FC_INLINE void max_with_indices(const PoolProblem& d, const S* image, S* y, int64_t* indices, int64_t p, int64_t q) {
  for (int64_t c = 0; c < d.c; c++) {
    Compute<S> best = -Compute<S>(INFINITY);
    int64_t at = int64_t(d.row_start[p]) * d.w + d.col_start[q];
    for (int64_t h = d.row_start[p]; h < d.row_end[p]; h += d.dilation_h)
      for (int64_t w = d.col_start[q]; w < d.col_end[q]; w += d.dilation_w) {
        const Compute<S> v = to_compute(image[(h * d.w + w) * d.c + c]);
        if (v > best || v != v) best = v, at = h * d.w + w;
      }
    y[c] = from_compute<S>(best);
    indices[c] = at;
  }
}

// Calls body(row) for every output row, several rows an item where rows are small.
template <class F>
FC_INLINE void for_each_row(ThreadPool& pool, const PoolProblem& d, const F& body) {
  const int64_t work = d.q * d.c * 8 + 1;  // a row's elements, times some taps
  parallel_ranges(pool, d.n * d.p, kWorthAThread / work + 1, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; row++) body(row);
  });
}

template <class S>
void max_pool(ThreadPool& pool, const PoolArgs& args) {
  using V = Vec<Compute<S>>;
  const PoolProblem& d = args.problem;
  for_each_row(pool, d, [&](int64_t row) {
    const int64_t n = row / d.p, p = row % d.p;
    const S* const image = static_cast<const S*>(args.x) + n * d.h * d.w * d.c;
    for (int64_t q = 0; q < d.q; q++) {
      const int64_t at = (row * d.q + q) * d.c;
      S* const y = static_cast<S*>(args.y) + at;
      if (args.indices) {
        max_with_indices<S>(d, image, y, args.indices + at, p, q);
        continue;
      }
      for (int64_t c = 0; c < d.c; c += V::width) {
        typename V::Reg best = V::set1(-Compute<S>(INFINITY));
        for (int64_t h = d.row_start[p]; h < d.row_end[p]; h += d.dilation_h)
          for (int64_t w = d.col_start[q]; w < d.col_end[q]; w += d.dilation_w)
            best = V::max_or_nan(best, load_up_to<S>(image + (h * d.w + w) * d.c + c, d.c - c));
        store_up_to<S>(y + c, best, d.c - c);
      }
    }
  });
}

template <class S>
void avg_pool(ThreadPool& pool, const PoolArgs& args) {
  using T = Compute<S>;
  using V = Vec<T>;
  const PoolProblem& d = args.problem;
  for_each_row(pool, d, [&](int64_t row) {
    const int64_t n = row / d.p, p = row % d.p;
    const S* const image = static_cast<const S*>(args.x) + n * d.h * d.w * d.c;
    for (int64_t q = 0; q < d.q; q++) {
      S* const y = static_cast<S*>(args.y) + (row * d.q + q) * d.c;
      const typename V::Reg count = V::set1(T(d.row_count[p]) * T(d.col_count[q]));
      for (int64_t c = 0; c < d.c; c += V::width) {
        typename V::Reg sum = V::set1(0);
        for (int64_t h = d.row_start[p]; h < d.row_end[p]; h++)
          for (int64_t w = d.col_start[q]; w < d.col_end[q]; w++)
            sum = V::add(sum, load_up_to<S>(image + (h * d.w + w) * d.c + c, d.c - c));
        store_up_to<S>(y + c, V::div(sum, count), d.c - c);
      }
    }
  });
}

}  // namespace fastconv::FC_ISA

// The gradients of pooling, channels-last, as gathers: each input element adds up what the windows that hold it give,
// in the order of the windows, so that threads share nothing and the result is the same every time.
//
//   max  gx[n,h,w,c] = sum of grad[n,p,q,c] over the windows with indices[n,p,q,c] = h W + w
//   avg  gx[n,h,w,c] = sum of grad[n,p,q,c] (1 / (row_count[p] col_count[q])) over the windows that hold (h, w): the
//        reciprocal is rounded, as a division for every window and element would take longer than its memory
//
// Which windows can hold a row or a column is in tables (pool_args.h).
#pragma once

#include "cpu/pool/channels.h"
#include "cpu/pool/pool_args.h"

namespace fastconv::FC_ISA {

// One pixel, of channels c and on: grad, indices and gx begin there.
template <class S, int kCount>
FC_INLINE void max_pixel(const PoolGradArgs& d, const S* grad, const int64_t* indices, S* gx, int64_t h, int64_t w,
                         Vectors<Compute<S>, kCount> vectors) {
  using V = Vec<Compute<S>>;
  typename V::Reg sum[kCount];
  for (auto& v : sum) v = V::set1(0);
  for (int64_t p = d.row_first[h]; p < d.row_last[h]; p++)
    for (int64_t q = d.col_first[w]; q < d.col_last[w]; q++) {
      const int64_t window = (p * d.q + q) * d.c;
      for (int i = 0; i < kCount; i++) {
        const typename V::Mask is_here = V::index_is(indices + window + i * V::width, h * d.w + w, vectors.n);
        const typename V::Reg given = vectors.load(grad + window + i * V::width);
        sum[i] = V::add(sum[i], V::blend(is_here, given, V::set1(0)));
      }
    }
  for (int i = 0; i < kCount; i++) vectors.store(gx + i * V::width, sum[i]);
}

template <class S, int kCount>
FC_INLINE void avg_pixel(const PoolGradArgs& d, const S* grad, S* gx, int64_t h, int64_t w,
                         Vectors<Compute<S>, kCount> vectors) {
  using T = Compute<S>;
  using V = Vec<T>;
  typename V::Reg sum[kCount];
  for (auto& v : sum) v = V::set1(0);
  for (int64_t p = d.row_first[h]; p < d.row_last[h]; p++)
    for (int64_t q = d.col_first[w]; q < d.col_last[w]; q++) {
      const typename V::Reg inverse = V::set1(T(1) / (T(d.row_count[p]) * T(d.col_count[q])));
      const S* const given = grad + (p * d.q + q) * d.c;
      for (int i = 0; i < kCount; i++) sum[i] = V::fma(vectors.load(given + i * V::width), inverse, sum[i]);
    }
  for (int i = 0; i < kCount; i++) vectors.store(gx + i * V::width, sum[i]);
}

FC_INLINE int64_t count_holders(const int32_t* first, const int32_t* last, int64_t extent) {
  int64_t holders = 0;
  for (int64_t i = 0; i < extent; i++) holders += last[i] - first[i];
  return holders;
}

// Calls body(vectors, from, at, h, w) for every pixel and its channels: `from` is where they begin in the image's
// gradients, `at` in gx.
template <class T, class F>
FC_INLINE void for_each_pixel(ThreadPool& pool, const PoolGradArgs& d, const F& body) {
  if (d.h == 0 || d.w == 0) return;
  const int64_t row_holders = count_holders(d.row_first, d.row_last, d.h) / d.h + 1;
  const int64_t loads = row_holders * (count_holders(d.col_first, d.col_last, d.w) + d.w) * d.c;
  for_each_run<T>(pool, d.n * d.h, d.c, loads, [&](int64_t row, int64_t begin, int64_t end) {
    const int64_t image = row / d.h * d.p * d.q * d.c;
    for (int64_t w = 0; w < d.w; w++)
      for_each_vectors<T>(begin, end, [&](auto vectors, int64_t c) {
        body(vectors, image + c, (row * d.w + w) * d.c + c, row % d.h, w);
      });
  });
}

template <class S>
void max_pool_grad(ThreadPool& pool, const PoolGradArgs& args) {
  const S* const grad = static_cast<const S*>(args.grad);
  for_each_pixel<Compute<S>>(pool, args, [&](auto vectors, int64_t from, int64_t at, int64_t h, int64_t w) {
    max_pixel(args, grad + from, args.indices + from, static_cast<S*>(args.gx) + at, h, w, vectors);
  });
}

template <class S>
void avg_pool_grad(ThreadPool& pool, const PoolGradArgs& args) {
  const S* const grad = static_cast<const S*>(args.grad);
  for_each_pixel<Compute<S>>(pool, args, [&](auto vectors, int64_t from, int64_t at, int64_t h, int64_t w) {
    avg_pixel(args, grad + from, static_cast<S*>(args.gx) + at, h, w, vectors);
  });
}

}  // namespace fastconv::FC_ISA

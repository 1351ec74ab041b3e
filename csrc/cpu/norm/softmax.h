// Softmax over the rows of a dense (rows, n) matrix, and its gradient.
//
//   softmax        y = e^(x - m) / sum e^(x - m), or x - m - log sum e^(x - m); m the row's maximum
//   softmax_grad   dx = y (g - sum g y), or g - e^y sum g
//
// Sums run lane by lane, then over the lanes: an order that the row alone decides. m is NaN if the row has one. A row
// of -Inf alone, and one with +Inf, come out as NaN, as arithmetic says.
#pragma once

#include "cpu/norm/rows.h"

namespace fastconv::FC_ISA {

// The largest of n numbers, NaN if there is one; four chains, as each has the latency of three instructions.
template <class S>
FC_INLINE Compute<S> row_max(const S* x, int64_t n) {
  using T = Compute<S>;
  using V = Vec<T>;
  typename V::Reg best[4];
  for (auto& chain : best) chain = V::set1(-T(INFINITY));
  int64_t i = 0;
  for (; i + 4 * V::width <= n; i += 4 * V::width)
    for (int j = 0; j < 4; j++) best[j] = V::max_or_nan(best[j], V::load(x + i + j * V::width));
  for (; i < n; i += V::width) best[0] = V::max_or_nan(best[0], load_or(x + i, n - i, -T(INFINITY)));
  for (int j = 1; j < 4; j++) best[0] = V::max_or_nan(best[0], best[j]);
  return max_lane<T>(best[0]);
}

// sum e^(x - most). `keep`, where not null and of the compute type, gets each e^(x - most): exp_at need not compute it
// again. A tail's dead lanes are e^-Inf = 0.
template <class S>
FC_INLINE Compute<S> sum_exp(const S* x, int64_t n, Compute<S> most, S* keep) {
  using T = Compute<S>;
  using V = Vec<T>;
  typename V::Reg sum = V::set1(0);
  for (int64_t i = 0; i < n; i += V::width) {
    const typename V::Reg e = exp(V::sub(load_or(x + i, n - i, -T(INFINITY)), V::set1(most)));
    if constexpr (sizeof(S) == sizeof(T))
      if (keep) store_up_to(keep + i, e, n - i);
    sum = V::add(sum, e);
  }
  return add_lanes<T>(sum);
}

// e^(x - most) of element i and those after it, once sum_exp has kept them.
template <class S>
FC_INLINE typename Vec<Compute<S>>::Reg exp_at(const S* x, const S* kept, int64_t i, int64_t n, Compute<S> most) {
  using V = Vec<Compute<S>>;
  if constexpr (sizeof(S) == sizeof(Compute<S>)) return load_up_to(kept + i, n - i);
  return exp(V::sub(load_up_to(x + i, n - i), V::set1(most)));
}

template <class S, bool kLog>
void softmax(ThreadPool& pool, const NormArgs& args) {
  using T = Compute<S>;
  using V = Vec<T>;
  const int64_t n = args.channels;
  for_each_row(pool, args.rows, n, [&](int64_t row) {
    const S* const x = static_cast<const S*>(args.x) + row * n;
    S* const y = static_cast<S*>(args.y) + row * n;
    const T most = row_max(x, n);
    if constexpr (kLog) {
      const typename V::Reg log_sum = V::set1(T(::log(double(sum_exp<S>(x, n, most, nullptr)))));
      for (int64_t i = 0; i < n; i += V::width)
        store_up_to(y + i, V::sub(V::sub(load_up_to(x + i, n - i), V::set1(most)), log_sum), n - i);
    } else {
      const typename V::Reg sum = V::set1(sum_exp(x, n, most, y));
      for (int64_t i = 0; i < n; i += V::width) store_up_to(y + i, V::div(exp_at(x, y, i, n, most), sum), n - i);
    }
  });
}

template <class S, bool kLog>
void softmax_grad(ThreadPool& pool, const SoftmaxGradArgs& args) {
  using T = Compute<S>;
  using V = Vec<T>;
  const int64_t n = args.channels;
  for_each_row(pool, args.rows, n, [&](int64_t row) {
    const S* const y = static_cast<const S*>(args.y) + row * n;
    const S* const grad = static_cast<const S*>(args.grad) + row * n;
    S* const dx = static_cast<S*>(args.dx) + row * n;
    typename V::Reg lanes = V::set1(0);
    for (int64_t i = 0; i < n; i += V::width) {
      const typename V::Reg g = load_up_to(grad + i, n - i);
      lanes = kLog ? V::add(lanes, g) : V::fma(g, load_up_to(y + i, n - i), lanes);
    }
    const typename V::Reg sum = V::set1(add_lanes<T>(lanes)), minus_sum = V::sub(V::set1(0), sum);
    for (int64_t i = 0; i < n; i += V::width) {
      const typename V::Reg out = load_up_to(y + i, n - i), g = load_up_to(grad + i, n - i);
      store_up_to(dx + i, kLog ? V::fma(exp(out), minus_sum, g) : V::mul(out, V::sub(g, sum)), n - i);
    }
  });
}

}  // namespace fastconv::FC_ISA

// Cross-entropy from the logits of (rows, n), and its gradient.
//
//   loss  log sum e^(x - m) - (1 - s) (x[t] - m) - s / n sum (x - m), m the row's maximum, t the target's class, s the
//         label smoothing; 0 where t is ignore_index; NaN where t is no class. A loss a row, or their sum, or their
//         mean over the targets that are not ignored (0 / 0 = NaN if there are none, as in PyTorch)
//   dx    (e^(x - m) / sum e^(x - m) - (1 - s) [i = t] - s / n) g, g / the targets that are not ignored for a mean
//
// A row's sums are softmax's. Losses are added in the order of the rows, in double.
#pragma once

#include "cpu/norm/softmax.h"

namespace fastconv::FC_ISA {

FC_INLINE int64_t counted_targets(const CrossEntropyArgs& args) {
  int64_t count = 0;
  for (int64_t row = 0; row < args.rows; row++) count += args.target[row] != args.ignore_index;
  return count;
}

// sum (x - most).
template <class S>
FC_INLINE Compute<S> sum_shifted(const S* x, int64_t n, Compute<S> most) {
  using T = Compute<S>;
  using V = Vec<T>;
  typename V::Reg sum = V::set1(0);
  for (int64_t i = 0; i < n; i += V::width) sum = V::add(sum, V::sub(load_or(x + i, n - i, most), V::set1(most)));
  return add_lanes<T>(sum);
}

template <class S>
FC_INLINE Compute<S> row_loss(const S* x, int64_t n, int64_t target, Compute<S> smoothing) {
  using T = Compute<S>;
  if (target < 0 || target >= n) return T(NAN);
  const T most = row_max(x, n);
  T loss = T(::log(double(sum_exp<S>(x, n, most, nullptr))));
  // Without smoothing a logit of -Inf must not make the loss NaN: 0 x Inf.
  if (smoothing != T(0)) loss -= smoothing / T(n) * sum_shifted(x, n, most);
  return loss - (T(1) - smoothing) * (T(to_compute(x[target])) - most);
}

template <class S>
void cross_entropy(ThreadPool& pool, const CrossEntropyArgs& args) {
  using T = Compute<S>;
  const int64_t n = args.channels;
  T* const losses = static_cast<T*>(args.workspace);
  for_each_row(pool, args.rows, n, [&](int64_t row) {
    const int64_t target = args.target[row];
    const S* const x = static_cast<const S*>(args.x) + row * n;
    const T loss = target == args.ignore_index ? T(0) : row_loss(x, n, target, T(args.smoothing));
    if (args.reduction == LossReduction::kNone) {
      static_cast<S*>(args.y)[row] = from_compute<S>(loss);
    } else {
      losses[row] = loss;
    }
  });
  if (args.reduction == LossReduction::kNone) return;
  double sum = 0;
  for (int64_t row = 0; row < args.rows; row++) sum += double(losses[row]);
  if (args.reduction == LossReduction::kMean) sum /= double(counted_targets(args));
  *static_cast<S*>(args.y) = from_compute<S>(sum);
}

template <class S>
void cross_entropy_grad(ThreadPool& pool, const CrossEntropyArgs& args) {
  using T = Compute<S>;
  using V = Vec<T>;
  const int64_t n = args.channels;
  const bool reduced = args.reduction != LossReduction::kNone;
  const T counted = args.reduction == LossReduction::kMean ? T(counted_targets(args)) : T(1);
  const T smoothing = T(args.smoothing), others = smoothing / T(n);
  for_each_row(pool, args.rows, n, [&](int64_t row) {
    const int64_t target = args.target[row];
    const S* const x = static_cast<const S*>(args.x) + row * n;
    S* const dx = static_cast<S*>(args.dx) + row * n;
    if (target == args.ignore_index) {
      for (int64_t i = 0; i < n; i += V::width) store_up_to(dx + i, V::set1(0), n - i);
      return;
    }
    const bool is_class = target >= 0 && target < n;
    const T given = T(to_compute(static_cast<const S*>(args.grad)[reduced ? 0 : row])) / counted;
    const typename V::Reg g = V::set1(is_class ? given : T(NAN));
    const T most = row_max(x, n);
    const typename V::Reg sum = V::set1(sum_exp(x, n, most, dx));
    for (int64_t i = 0; i < n; i += V::width) {
      const typename V::Reg probability = V::div(exp_at(x, dx, i, n, most), sum);
      store_up_to(dx + i, V::mul(V::sub(probability, V::set1(others)), g), n - i);
    }
    if (is_class) {  // once more, with the target's own share
      const typename V::Reg e = exp(V::sub(V::set1(T(to_compute(x[target]))), V::set1(most)));
      const typename V::Reg share = V::set1(T(1) - smoothing + others);
      V::store(dx + target, V::mul(V::sub(V::div(e, sum), share), g), 1);
    }
  });
}

}  // namespace fastconv::FC_ISA

// Cross-entropy from the logits of (rows, n), and its gradient.
//
//   loss  a log sum e^(x - m) - (1 - s) w[t] (x[t] - m) - s / n sum w (x - m),  a = (1 - s) w[t] + s / n sum w,
//         m the row's maximum, t the target's class, s the label smoothing, w the classes' weights, 1 where missing
//         (a is 1 then); 0 where t is ignore_index; NaN where t is no class. A loss a row, or their sum, or their
//         mean: the sum over that of w[t] of the targets that are not ignored (0 / 0 = NaN if there are none, as in
//         PyTorch)
//   dx    (a e^(x - m) / sum e^(x - m) - (1 - s) w[t] [i = t] - s / n w) g, g / the sum of w[t] for a mean
//
// A row's sums are softmax's. Losses and w[t] are added in the order of the rows, in double.
#pragma once

#include "cpu/norm/softmax.h"

namespace fastconv::FC_ISA {

// What a mean divides by: the targets that are not ignored, each as its class's weight.
template <class T>
FC_INLINE double counted_targets(const CrossEntropyArgs& args) {
  const T* const weight = static_cast<const T*>(args.weight);
  double count = 0;
  for (int64_t row = 0; row < args.rows; row++) {
    const int64_t target = args.target[row];
    if (target == args.ignore_index) continue;
    count += weight && target >= 0 && target < args.channels ? double(weight[target]) : 1;
  }
  return count;
}

// The weights of classes: of the target's own in the loss, of each one by smoothing, and of them all.
template <class T>
struct ClassWeights {
  FC_INLINE ClassWeights(const CrossEntropyArgs& args)
      : weight(static_cast<const T*>(args.weight)), own(T(1 - args.smoothing)), each(T(args.smoothing)) {
    double sum = 0;
    if (weight)
      for (int64_t i = 0; i < args.channels; i++) sum += double(weight[i]);
    all = weight ? T(args.smoothing * sum / double(args.channels)) : each;
    each /= T(args.channels);
  }
  FC_INLINE T of_target(int64_t target) const { return weight ? own * weight[target] : own; }
  FC_INLINE typename Vec<T>::Reg of_class(int64_t i, int64_t n) const {
    const typename Vec<T>::Reg share = Vec<T>::set1(each);
    return weight ? Vec<T>::mul(share, load_up_to(weight + i, n - i)) : share;
  }
  const T* weight;
  T own, each, all;
};

// sum w (x - most), w the classes' shares by smoothing.
template <class S>
FC_INLINE Compute<S> sum_shifted(const S* x, int64_t n, Compute<S> most, const ClassWeights<Compute<S>>& weights) {
  using T = Compute<S>;
  using V = Vec<T>;
  typename V::Reg sum = V::set1(0);
  for (int64_t i = 0; i < n; i += V::width)
    sum = V::fma(V::sub(load_or(x + i, n - i, most), V::set1(most)), weights.of_class(i, n), sum);
  return add_lanes<T>(sum);
}

template <class S>
FC_INLINE Compute<S> row_loss(const S* x, int64_t n, int64_t target, const ClassWeights<Compute<S>>& weights) {
  using T = Compute<S>;
  if (target < 0 || target >= n) return T(NAN);
  const T most = row_max(x, n), own = weights.of_target(target);
  T loss = (own + weights.all) * T(::log(double(sum_exp<S>(x, n, most, nullptr))));
  // Without smoothing a logit of -Inf must not make the loss NaN: 0 x Inf.
  if (weights.each != T(0)) loss -= sum_shifted(x, n, most, weights);
  return loss - own * (T(to_compute(x[target])) - most);
}

template <class S>
void cross_entropy(ThreadPool& pool, const CrossEntropyArgs& args) {
  using T = Compute<S>;
  const int64_t n = args.channels;
  T* const losses = static_cast<T*>(args.workspace);
  const ClassWeights<T> weights(args);
  for_each_row(pool, args.rows, n, [&](int64_t row) {
    const int64_t target = args.target[row];
    const S* const x = static_cast<const S*>(args.x) + row * n;
    const T loss = target == args.ignore_index ? T(0) : row_loss(x, n, target, weights);
    if (args.reduction == LossReduction::kNone) {
      static_cast<S*>(args.y)[row] = from_compute<S>(loss);
    } else {
      losses[row] = loss;
    }
  });
  if (args.reduction == LossReduction::kNone) return;
  double sum = 0;
  for (int64_t row = 0; row < args.rows; row++) sum += double(losses[row]);
  if (args.reduction == LossReduction::kMean) sum /= counted_targets<T>(args);
  *static_cast<S*>(args.y) = from_compute<S>(sum);
}

template <class S>
void cross_entropy_grad(ThreadPool& pool, const CrossEntropyArgs& args) {
  using T = Compute<S>;
  using V = Vec<T>;
  const int64_t n = args.channels;
  const bool reduced = args.reduction != LossReduction::kNone;
  const T counted = args.reduction == LossReduction::kMean ? T(counted_targets<T>(args)) : T(1);
  const ClassWeights<T> weights(args);
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
    const T own = is_class ? weights.of_target(target) : T(0);
    const typename V::Reg all = V::set1(own + weights.all);
    for (int64_t i = 0; i < n; i += V::width) {
      const typename V::Reg probability = V::div(exp_at(x, dx, i, n, most), sum);
      store_up_to(dx + i, V::mul(V::sub(V::mul(all, probability), weights.of_class(i, n)), g), n - i);
    }
    if (is_class) {  // once more, with the target's own share
      const typename V::Reg e = exp(V::sub(V::set1(T(to_compute(x[target]))), V::set1(most)));
      const typename V::Reg share = V::add(V::set1(own), weights.of_class(target, target + 1));
      V::store(dx + target, V::mul(V::sub(V::mul(all, V::div(e, sum)), share), g), 1);
    }
  });
}

}  // namespace fastconv::FC_ISA

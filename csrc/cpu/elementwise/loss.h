// Losses an element, and their gradients to x, over contiguous memory.
//
//   squared       (x - t)^2                                                     dx = 2 (x - t) g
//   binary cross  -w (t max(log x, -100) + (1 - t) max(log (1 - x), -100))      dx = w (x - t) / max(x (1 - x), 1e-12)
//   g with logits   w ((1 - t) x + (1 + (v - 1) t) (log (1 + e^-|x|) + max(-x, 0)))
//                                                                      dx = w ((v t + 1 - t) sigmoid(x) - v t) g
//
// w: weight, v: positive_weight, 1 where missing. The losses, their sum, or their mean (g then the gradient of that,
// over the count). PyTorch's formulas, clamps included. x outside [0, 1] has a NaN for its binary cross-entropy.
//
// A sum runs lane by lane through each part of kLossPart elements, over its lanes, then over the parts in double.
#pragma once

#include "cpu/elementwise/elementwise_args.h"
#include "cpu/simd/vec.h"

namespace fastconv::FC_ISA {

FC_INLINE float log_of(float x) { return ::logf(x); }
FC_INLINE double log_of(double x) { return ::log(x); }
FC_INLINE float log1p_of(float x) { return ::log1pf(x); }
FC_INLINE double log1p_of(double x) { return ::log1p(x); }

// log x, or log (1 + x), lane by lane.
template <class T, bool kPlusOne>
FC_INLINE typename Vec<T>::Reg logarithm(typename Vec<T>::Reg x) {
  using V = Vec<T>;
  T lanes[V::width];
  V::store(lanes, x);
  for (T& lane : lanes) lane = kPlusOne ? log1p_of(lane) : log_of(lane);
  return V::load(lanes);
}

// The operands of n elements from i on; a tail's dead lanes are 0.
template <class S>
struct LossLanes {
  using V = Vec<Compute<S>>;
  using Reg = typename V::Reg;
  Reg x, t, weight, positive;

  FC_INLINE LossLanes(const LossArgs& args, int64_t i, int64_t n)
      : x(load(args.x, i, n)),
        t(load(args.target, i, n)),
        weight(args.weight ? load(args.weight, i, n) : V::set1(1)),
        positive(args.positive_weight ? load(args.positive_weight, i, n) : V::set1(1)) {}
  static FC_INLINE Reg load(const void* p, int64_t i, int64_t n) { return load_up_to(static_cast<const S*>(p) + i, n); }
};

template <class S>
FC_INLINE typename Vec<Compute<S>>::Reg loss_of(Loss loss, const LossLanes<S>& at) {
  using T = Compute<S>;
  using V = Vec<T>;
  using Reg = typename V::Reg;
  const Reg zero = V::set1(0), one = V::set1(1), rest = V::sub(one, at.t), minus_x = V::sub(zero, at.x);
  switch (loss) {
    case Loss::kSquared: {
      const Reg difference = V::sub(at.x, at.t);
      return V::mul(difference, difference);
    }
    case Loss::kBinaryCrossEntropy: {  // NaN, the second operand of max, stays
      const Reg least = V::set1(-100);
      const Reg yes = V::max(least, logarithm<T, false>(at.x)), no = V::max(least, logarithm<T, true>(minus_x));
      return V::mul(at.weight, V::sub(zero, V::fma(at.t, yes, V::mul(rest, no))));
    }
    case Loss::kBinaryCrossEntropyWithLogits: {
      const Reg soft = V::add(logarithm<T, true>(exp(V::min(minus_x, at.x))), V::max(zero, minus_x));
      const Reg scale = V::fma(V::sub(at.positive, one), at.t, one);
      return V::mul(at.weight, V::fma(rest, at.x, V::mul(scale, soft)));
    }
  }
  return zero;
}

template <class S>
FC_INLINE typename Vec<Compute<S>>::Reg loss_slope(Loss loss, const LossLanes<S>& at) {
  using T = Compute<S>;
  using V = Vec<T>;
  using Reg = typename V::Reg;
  const Reg one = V::set1(1), difference = V::sub(at.x, at.t);
  switch (loss) {
    case Loss::kSquared: return V::add(difference, difference);
    case Loss::kBinaryCrossEntropy: {
      const Reg spread = V::max(V::set1(T(1e-12)), V::mul(at.x, V::sub(one, at.x)));
      return V::div(V::mul(at.weight, difference), spread);
    }
    case Loss::kBinaryCrossEntropyWithLogits: {
      const Reg yes = V::mul(at.positive, at.t), all = V::sub(V::add(yes, one), at.t);
      return V::mul(at.weight, V::sub(V::mul(all, sigmoid<T>(at.x)), yes));
    }
  }
  return difference;
}

template <class S>
void loss(ThreadPool& pool, const LossArgs& args) {
  using T = Compute<S>;
  using V = Vec<T>;
  const int64_t parts = (args.count + kLossPart - 1) / kLossPart;
  S* const y = static_cast<S*>(args.y);
  parallel_ranges(pool, parts, kElementwiseGrain / kLossPart, [&](int64_t first, int64_t last) {
    for (int64_t part = first; part < last; part++) {
      const int64_t end = (part + 1) * kLossPart < args.count ? (part + 1) * kLossPart : args.count;
      typename V::Reg lanes = V::set1(0);
      for (int64_t i = part * kLossPart; i < end; i += V::width) {
        const int64_t n = end - i;
        const typename V::Reg value = loss_of<S>(args.loss, LossLanes<S>(args, i, n));
        if (args.reduction == LossReduction::kNone) {
          store_up_to(y + i, value, n);
        } else if (n >= V::width) {
          lanes = V::add(lanes, value);
        } else {  // a dead lane's loss need not be 0
          T tail[V::width] = {};
          V::store(tail, value, n);
          lanes = V::add(lanes, V::load(tail));
        }
      }
      if (args.reduction != LossReduction::kNone) args.parts[part] = double(add_lanes<T>(lanes));
    }
  });
  if (args.reduction == LossReduction::kNone) return;
  double sum = 0;
  for (int64_t part = 0; part < parts; part++) sum += args.parts[part];
  if (args.reduction == LossReduction::kMean) sum /= double(args.count);
  *y = from_compute<S>(sum);
}

template <class S>
void loss_grad(ThreadPool& pool, const LossArgs& args) {
  using T = Compute<S>;
  using V = Vec<T>;
  const S* const grad = static_cast<const S*>(args.grad);
  const bool reduced = args.reduction != LossReduction::kNone;
  const T count = args.reduction == LossReduction::kMean ? T(args.count) : T(1);
  const typename V::Reg all = V::set1(reduced && args.count ? T(to_compute(*grad)) / count : T(0));
  parallel_ranges(pool, args.count, kElementwiseGrain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i += V::width) {
      const int64_t n = end - i;
      const typename V::Reg given = reduced ? all : load_up_to(grad + i, n);
      store_up_to(static_cast<S*>(args.dx) + i, V::mul(loss_slope<S>(args.loss, LossLanes<S>(args, i, n)), given), n);
    }
  });
}

}  // namespace fastconv::FC_ISA

// Losses an element, their sums, and their gradients to x, over dense memory.
//
//   squared       (x - t)^2                                                     dx = 2 (x - t) g
//   binary cross  -w (t max(log x, -100) + (1 - t) max(log (1 - x), -100))      dx = w (x - t) / max(x (1 - x), 1e-12)
//   g with logits   w ((1 - t) x + (1 + (v - 1) t) (log (1 + e^-|x|) + max(-x, 0)))
//                                                                      dx = w ((v t + 1 - t) sigmoid(x) - v t) g
//
// w: weight, v: positive_weight, 1 where null. PyTorch's formulas, clamps included. x outside [0, 1] has a NaN for its
// binary cross-entropy.
//
// A sum is cut into parts of kLossPart elements, a block each: thread i adds elements i, i + 256, ... of a part, then a
// tree; merge_losses adds the parts in the same way, in double. The order depends on the number of elements alone.
#pragma once

#include "cuda/conv/epilogue.cuh"
#include "cuda/ptx/dtype.cuh"

namespace fastconv {

inline constexpr int kLossThreads = 256;
inline constexpr int kLossPart = 2048;

// csrc/cpu/elementwise/elementwise_args.h
enum class Loss : int { kSquared, kBinaryCrossEntropy, kBinaryCrossEntropyWithLogits };

template <class T>
struct LossOperands {
  const T *x, *target, *weight, *positive_weight;  // the last two may be null
};

FC_DEVICE float logarithm_plus_one(float x) { return log1pf(x); }
FC_DEVICE double logarithm_plus_one(double x) { return log1p(x); }

template <class T>
FC_DEVICE Compute<T> loss_of(int loss, const LossOperands<T>& a, int64_t i) {
  using C = Compute<T>;
  const C x = to_compute(a.x[i]), t = to_compute(a.target[i]);
  const C weight = a.weight ? C(to_compute(a.weight[i])) : C(1);
  switch (Loss(loss)) {
    case Loss::kSquared: return (x - t) * (x - t);
    case Loss::kBinaryCrossEntropy:
      return weight *
             -multiply_add(t, larger(C(-100), logarithm(x)), (C(1) - t) * larger(C(-100), logarithm_plus_one(-x)));
    case Loss::kBinaryCrossEntropyWithLogits: {
      const C soft = logarithm_plus_one(exponential(x < C(0) ? x : -x)) + larger(C(0), -x);
      const C positive = a.positive_weight ? C(to_compute(a.positive_weight[i])) : C(1);
      return weight * multiply_add(C(1) - t, x, multiply_add(positive - C(1), t, C(1)) * soft);
    }
  }
  return C(0);
}

template <class T>
FC_DEVICE Compute<T> loss_slope(int loss, const LossOperands<T>& a, int64_t i) {
  using C = Compute<T>;
  const C x = to_compute(a.x[i]), t = to_compute(a.target[i]);
  const C weight = a.weight ? C(to_compute(a.weight[i])) : C(1);
  switch (Loss(loss)) {
    case Loss::kSquared: return (x - t) + (x - t);
    case Loss::kBinaryCrossEntropy: return weight * (x - t) / larger(C(1e-12), x * (C(1) - x));
    case Loss::kBinaryCrossEntropyWithLogits: {
      const C yes = (a.positive_weight ? C(to_compute(a.positive_weight[i])) : C(1)) * t;
      return weight * (((yes + C(1)) - t) * activate(int(Activation::kSigmoid), x) - yes);
    }
  }
  return C(0);
}

// The sum of all threads' values, in thread 0.
template <class C>
FC_DEVICE C sum_of_block(C value, C* sums) {
  const int thread = int(threadIdx.x);
  sums[thread] = value;
  __syncthreads();
  for (int half = kLossThreads / 2; half > 0; half /= 2) {
    if (thread < half) sums[thread] += sums[thread + half];
    __syncthreads();
  }
  return sums[0];
}

template <class T>
__global__ void __launch_bounds__(kLossThreads)
    losses(const T* x, const T* target, const T* weight, const T* positive_weight, T* y, int64_t count, int loss) {
  const LossOperands<T> operands = {x, target, weight, positive_weight};
  const int64_t step = int64_t(gridDim.x) * blockDim.x;
  for (int64_t i = int64_t(blockIdx.x) * blockDim.x + threadIdx.x; i < count; i += step)
    y[i] = from_compute<T>(loss_of(loss, operands, i));
}

template <class T>
__global__ void __launch_bounds__(kLossThreads)
    loss_sums(const T* x, const T* target, const T* weight, const T* positive_weight, Compute<T>* parts, int64_t count,
              int loss) {
  const LossOperands<T> operands = {x, target, weight, positive_weight};
  using C = Compute<T>;
  FC_SHARED(C, sums, [kLossThreads]);
  const int64_t begin = int64_t(blockIdx.x) * kLossPart;
  const int64_t end = begin + kLossPart < count ? begin + kLossPart : count;
  C sum = 0;
  for (int64_t i = begin + int(threadIdx.x); i < end; i += kLossThreads) sum += loss_of(loss, operands, i);
  sum = sum_of_block(sum, sums);
  if (threadIdx.x == 0) parts[blockIdx.x] = sum;
}

// y = sum of the parts / divisor. One block.
template <class T>
__global__ void __launch_bounds__(kLossThreads)
    merge_losses(const Compute<T>* parts, T* y, int64_t count, double divisor) {
  FC_SHARED(double, sums, [kLossThreads]);
  double sum = 0;
  for (int64_t i = threadIdx.x; i < count; i += kLossThreads) sum += double(parts[i]);
  sum = sum_of_block(sum, sums);
  if (threadIdx.x == 0) *y = from_compute<T>(Compute<T>(sum / divisor));
}

// grad: of each loss, or of the one result where `reduced`, which is divided by `divisor`.
template <class T>
__global__ void __launch_bounds__(kLossThreads)
    loss_gradient(const T* grad, const T* x, const T* target, const T* weight, const T* positive_weight, T* dx,
                  int64_t count, int loss, int reduced, Compute<T> divisor) {
  const LossOperands<T> operands = {x, target, weight, positive_weight};
  const int64_t step = int64_t(gridDim.x) * blockDim.x;
  for (int64_t i = int64_t(blockIdx.x) * blockDim.x + threadIdx.x; i < count; i += step) {
    const Compute<T> given = reduced ? to_compute(*grad) / divisor : to_compute(grad[i]);
    dx[i] = from_compute<T>(loss_slope(loss, operands, i) * given);
  }
}

}  // namespace fastconv

// Softmax over the rows of a dense (rows, n) matrix, its gradient, and cross-entropy from logits.
//
//   softmax_rows            y = e^(x - m) / sum e^(x - m), or x - m - log sum e^(x - m); m the row's maximum
//   softmax_rows_gradient   dx = y (g - sum g y), or g - e^y sum g
//   cross_entropy_rows      loss = a log sum e^(x - m) - (1 - s) w[t] (x[t] - m) - s / n sum w (x - m), t the target's
//                           class, s the label smoothing, w the classes' weights, 1 where null, and
//                           a = (1 - s) w[t] + s / n sum w; 0 where t is ignore_index; NaN where t is no class
//   cross_entropy_gradient  dx = (a e^(x - m) / sum e^(x - m) - (1 - s) w[t] [i = t] - s / n w) g
//   reduce_losses           the sum of losses or their mean, which divides by the sum of w[t] over the targets that are
//                           not ignored, and that sum
//
// A row has kThreads threads, a warp's or a block's, chosen by n alone; lane i takes elements i, i + kThreads, ... of
// it, and lanes are added in a tree: the order of additions does not depend on the number of rows. The row is read
// again for each pass: a row of 1000 classes is 4 KB and stays in L1. Loads are of single elements; a warp's are one
// line. m is NaN if the row has one. A row of -Inf alone, and one with +Inf, come out as NaN, as arithmetic says.
#pragma once

#include "cuda/math.cuh"
#include "cuda/ptx/dtype.cuh"

namespace fastconv {

inline constexpr int kSoftmaxThreads = 256;
// Launch bounds of 4 blocks a multiprocessor: left to itself, ptxas aims at 8 and spills around the division of
// doubles.

// What all threads of a row hold after combining each one's value: in a warp by exchanges at distances 16, 8, ... 1,
// and for a row of a whole block the warps' results in order of the warps. kMaximum: the larger; else the sum. Every
// lane of an exchange adds the same two numbers, so all lanes get the same bits.
template <int kThreads, bool kMaximum, class C>
FC_DEVICE C combine_row(C value, C* of_warps) {
#pragma unroll
  for (int distance = 16; distance > 0; distance /= 2) {
    const C other = __shfl_xor_sync(~0u, value, distance);
    value = kMaximum ? larger(value, other) : value + other;
  }
  if constexpr (kThreads > 32) {
    if (threadIdx.x % 32 == 0) of_warps[threadIdx.x / 32] = value;
    __syncthreads();
    value = of_warps[0];
#pragma unroll
    for (int warp = 1; warp < kThreads / 32; ++warp)
      value = kMaximum ? larger(value, of_warps[warp]) : value + of_warps[warp];
    __syncthreads();
  }
  return value;
}

// The row of a thread's group; uniform in a warp, and in the block where a row takes the block.
template <int kThreads>
FC_DEVICE int64_t row_of_group() {
  return int64_t(blockIdx.x) * (kSoftmaxThreads / kThreads) + int(threadIdx.x) / kThreads;
}

template <class T, int kThreads, bool kLog>
__global__ void __launch_bounds__(kSoftmaxThreads, 4) softmax_rows(const T* x, T* y, int64_t rows, int64_t n) {
  using C = Compute<T>;
  FC_SHARED(C, of_warps, [kSoftmaxThreads / 32]);
  const int64_t row = row_of_group<kThreads>();
  if (row >= rows) return;
  const int lane = int(threadIdx.x) % kThreads;
  x += row * n;
  y += row * n;

  C most = -infinity<C>();
  for (int64_t i = lane; i < n; i += kThreads) most = larger(most, to_compute(x[i]));
  most = combine_row<kThreads, true>(most, of_warps);
  C sum = 0;
  for (int64_t i = lane; i < n; i += kThreads) sum += exponential(to_compute(x[i]) - most);
  sum = combine_row<kThreads, false>(sum, of_warps);
  if constexpr (kLog) sum = logarithm(sum);
  for (int64_t i = lane; i < n; i += kThreads) {
    const C shifted = to_compute(x[i]) - most;
    y[i] = from_compute<T>(kLog ? shifted - sum : exponential(shifted) / sum);
  }
}

template <class T, int kThreads, bool kLog>
__global__ void __launch_bounds__(kSoftmaxThreads, 4)
    softmax_rows_gradient(const T* y, const T* grad, T* dx, int64_t rows, int64_t n) {
  using C = Compute<T>;
  FC_SHARED(C, of_warps, [kSoftmaxThreads / 32]);
  const int64_t row = row_of_group<kThreads>();
  if (row >= rows) return;
  const int lane = int(threadIdx.x) % kThreads;
  y += row * n;
  grad += row * n;
  dx += row * n;

  C sum = 0;
  for (int64_t i = lane; i < n; i += kThreads)
    sum = kLog ? sum + to_compute(grad[i]) : multiply_add(to_compute(grad[i]), to_compute(y[i]), sum);
  sum = combine_row<kThreads, false>(sum, of_warps);
  for (int64_t i = lane; i < n; i += kThreads) {
    const C out = to_compute(y[i]), g = to_compute(grad[i]);
    dx[i] = from_compute<T>(kLog ? multiply_add(-exponential(out), sum, g) : out * (g - sum));
  }
}

// Loss: T where each row's loss is the result, the compute type where they are still to be added.
template <class T, class Loss, int kThreads>
__global__ void __launch_bounds__(kSoftmaxThreads, 4)
    cross_entropy_rows(const T* x, const int64_t* target, const Compute<T>* weight, Loss* losses, int64_t rows,
                       int64_t n, int64_t ignore_index, Compute<T> smoothing) {
  using C = Compute<T>;
  FC_SHARED(C, of_warps, [kSoftmaxThreads / 32]);
  const int64_t row = row_of_group<kThreads>();
  if (row >= rows) return;
  const int lane = int(threadIdx.x) % kThreads;
  const int64_t t = target[row];
  if (t == ignore_index) {
    if (lane == 0) losses[row] = from_compute<Loss>(C(0));
    return;
  }
  x += row * n;

  C most = -infinity<C>();
  for (int64_t i = lane; i < n; i += kThreads) most = larger(most, to_compute(x[i]));
  most = combine_row<kThreads, true>(most, of_warps);
  C sum = 0, shifted_sum = 0, all = 0;
  for (int64_t i = lane; i < n; i += kThreads) {
    const C shifted = to_compute(x[i]) - most, share = weight && smoothing != C(0) ? weight[i] : C(1);
    sum += exponential(shifted);
    shifted_sum = multiply_add(share, shifted, shifted_sum);
    all += share;
  }
  sum = combine_row<kThreads, false>(sum, of_warps);
  const bool is_class = t >= 0 && t < n;
  const C own = (C(1) - smoothing) * (weight && is_class ? weight[t] : C(1));
  C loss = own * logarithm(sum);
  if (smoothing != C(0)) {  // else a logit of -Inf would make the loss NaN: 0 x Inf
    const C each = smoothing / C(n);
    const C rest = combine_row<kThreads, false>(all, of_warps) * logarithm(sum);
    loss = multiply_add(each, rest - combine_row<kThreads, false>(shifted_sum, of_warps), loss);
  }
  if (lane == 0) {
    const C of_target = is_class ? to_compute(x[t]) - most : infinity<C>() - infinity<C>();
    losses[row] = from_compute<Loss>(multiply_add(-own, of_target, loss));
  }
}

// grad: the gradient of each row's loss, or of the one loss where kReduced; then counted, where not null, is what the
// mean divided by.
template <class T, int kThreads, bool kReduced>
__global__ void __launch_bounds__(kSoftmaxThreads, 4)
    cross_entropy_gradient(const T* grad, const T* x, const int64_t* target, const Compute<T>* weight,
                           const Compute<T>* counted, T* dx, int64_t rows, int64_t n, int64_t ignore_index,
                           Compute<T> smoothing) {
  using C = Compute<T>;
  FC_SHARED(C, of_warps, [kSoftmaxThreads / 32]);
  const int64_t row = row_of_group<kThreads>();
  if (row >= rows) return;
  const int lane = int(threadIdx.x) % kThreads;
  const int64_t t = target[row];
  x += row * n;
  dx += row * n;
  if (t == ignore_index) {
    for (int64_t i = lane; i < n; i += kThreads) dx[i] = from_compute<T>(C(0));
    return;
  }

  C most = -infinity<C>();
  for (int64_t i = lane; i < n; i += kThreads) most = larger(most, to_compute(x[i]));
  most = combine_row<kThreads, true>(most, of_warps);
  C sum = 0, all = 0;
  for (int64_t i = lane; i < n; i += kThreads) {
    sum += exponential(to_compute(x[i]) - most);
    all += weight && smoothing != C(0) ? weight[i] : C(1);
  }
  sum = combine_row<kThreads, false>(sum, of_warps);
  all = combine_row<kThreads, false>(all, of_warps);
  C g = to_compute(grad[kReduced ? 0 : row]);
  if (kReduced && counted) g /= *counted;
  const bool is_class = t >= 0 && t < n;
  if (!is_class) g = infinity<C>() - infinity<C>();
  const C own = (C(1) - smoothing) * (weight && is_class ? weight[t] : C(1)), each = smoothing / C(n);
  all = multiply_add(each, all, own);
  for (int64_t i = lane; i < n; i += kThreads) {
    const C probability = exponential(to_compute(x[i]) - most) / sum, share = each * (weight ? weight[i] : C(1));
    dx[i] = from_compute<T>((all * probability - (i == t ? own + share : share)) * g);
  }
}

// result = sum of losses, where kMean over `counted`, the targets that are not ignored, each as its class's weight
// (0 / 0 = NaN if there are none, as in PyTorch); counted, where not null, receives that. losses may be null for it
// alone. One block: thread i adds elements i, i + 256, ..., then a tree, and counts in double.
template <class T, bool kMean>
__global__ void __launch_bounds__(kSoftmaxThreads, 4)
    reduce_losses(const Compute<T>* losses, const int64_t* target, const Compute<T>* weight, T* result,
                  Compute<T>* counted, int64_t rows, int64_t n, int64_t ignore_index) {
  using C = Compute<T>;
  FC_SHARED(C, sums, [kSoftmaxThreads]);
  FC_SHARED(double, counts, [kSoftmaxThreads]);
  const int thread = int(threadIdx.x);
  C sum = 0;
  double count = 0;
  for (int64_t row = thread; row < rows; row += kSoftmaxThreads) {
    if (losses) sum += losses[row];
    const int64_t t = target[row];
    if (t != ignore_index) count += weight && t >= 0 && t < n ? double(weight[t]) : 1.0;
  }
  sums[thread] = sum;
  counts[thread] = count;
  __syncthreads();
  for (int half = kSoftmaxThreads / 2; half > 0; half /= 2) {
    if (thread < half) {
      sums[thread] += sums[thread + half];
      counts[thread] += counts[thread + half];
    }
    __syncthreads();
  }
  if (thread == 0) {
    if (result) *result = from_compute<T>(kMean ? sums[0] / C(counts[0]) : sums[0]);
    if (counted) *counted = C(counts[0]);
  }
}

}  // namespace fastconv

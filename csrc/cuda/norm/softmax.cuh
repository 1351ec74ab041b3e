// Softmax over the rows of a dense (rows, n) matrix, its gradient, and cross-entropy from logits.
//
//   softmax_rows            y = e^(x - m) / sum e^(x - m), or x - m - log sum e^(x - m); m the row's maximum
//   softmax_rows_gradient   dx = y (g - sum g y), or g - e^y sum g
//   cross_entropy_rows      loss = log sum e^(x - m) - (1 - s) (x[t] - m) - s / n sum (x - m), t the target's class,
//                           s the label smoothing; 0 where t is ignore_index; NaN where t is no class
//   cross_entropy_gradient  dx = (e^(x - m) / sum e^(x - m) - (1 - s) [i = t] - s / n) g
//   reduce_losses           the sum of losses or their mean over the targets that are not ignored, and how many those
//   are
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
    cross_entropy_rows(const T* x, const int64_t* target, Loss* losses, int64_t rows, int64_t n, int64_t ignore_index,
                       Compute<T> smoothing) {
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
  C sum = 0, shifted_sum = 0;
  for (int64_t i = lane; i < n; i += kThreads) {
    const C shifted = to_compute(x[i]) - most;
    sum += exponential(shifted);
    shifted_sum += shifted;
  }
  sum = combine_row<kThreads, false>(sum, of_warps);
  C loss = logarithm(sum);
  if (smoothing != C(0))  // else a logit of -Inf would make the loss NaN: 0 x Inf
    loss = multiply_add(-smoothing / C(n), combine_row<kThreads, false>(shifted_sum, of_warps), loss);
  if (lane == 0) {
    const bool is_class = t >= 0 && t < n;
    const C of_target = is_class ? to_compute(x[t]) - most : infinity<C>() - infinity<C>();
    losses[row] = from_compute<Loss>(multiply_add(-(C(1) - smoothing), of_target, loss));
  }
}

// grad: the gradient of each row's loss, or of the one loss where kReduced; then counted, where not null, is the number
// of targets that the mean was taken over.
template <class T, int kThreads, bool kReduced>
__global__ void __launch_bounds__(kSoftmaxThreads, 4)
    cross_entropy_gradient(const T* grad, const T* x, const int64_t* target, const Compute<T>* counted, T* dx,
                           int64_t rows, int64_t n, int64_t ignore_index, Compute<T> smoothing) {
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
  C sum = 0;
  for (int64_t i = lane; i < n; i += kThreads) sum += exponential(to_compute(x[i]) - most);
  sum = combine_row<kThreads, false>(sum, of_warps);
  C g = to_compute(grad[kReduced ? 0 : row]);
  if (kReduced && counted) g /= *counted;
  if (!(t >= 0 && t < n)) g = infinity<C>() - infinity<C>();
  const C others = smoothing / C(n);
  for (int64_t i = lane; i < n; i += kThreads) {
    const C probability = exponential(to_compute(x[i]) - most) / sum;
    dx[i] = from_compute<T>((probability - (i == t ? C(1) - smoothing + others : others)) * g);
  }
}

// result = sum of losses, over `counted` targets that are not ignored where kMean (0 / 0 = NaN if there are none, as in
// PyTorch); counted, where not null, receives their number. losses may be null for the number alone. One block: thread
// i adds elements i, i + 256, ..., then a tree.
template <class T, bool kMean>
__global__ void __launch_bounds__(kSoftmaxThreads, 4)
    reduce_losses(const Compute<T>* losses, const int64_t* target, T* result, Compute<T>* counted, int64_t rows,
                  int64_t ignore_index) {
  using C = Compute<T>;
  FC_SHARED(C, sums, [kSoftmaxThreads]);
  FC_SHARED(int64_t, counts, [kSoftmaxThreads]);
  const int thread = int(threadIdx.x);
  C sum = 0;
  int64_t count = 0;
  for (int64_t row = thread; row < rows; row += kSoftmaxThreads) {
    if (losses) sum += losses[row];
    count += target[row] != ignore_index;
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

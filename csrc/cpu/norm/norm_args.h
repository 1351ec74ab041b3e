// Arguments of the normalisation kernels; their contracts are at the heads of batch_norm.h, local_response_norm.h,
// softmax.h and cross_entropy.h. All work on rows of contiguous channels.
#pragma once

#include "cpu/elementwise/elementwise_args.h"
#include "cpu/runtime/thread_pool.h"
#include "dtype.h"
#include "problem.h"

namespace fastconv {

struct NormArgs {
  int64_t rows, channels;
  const void* x;
  void* y;
  const void *scale, *shift;  // batch_norm: [channels] in the compute type
};
using NormKernel = void (*)(ThreadPool& pool, const NormArgs& args);

// What belongs to a channel is in the compute type.
struct BatchNormTrainArgs {
  int64_t rows, channels;
  const void* x;
  const void *weight, *bias;  // or null
  double eps;
  void* y;
  void *mean, *inverse_std;
  void* workspace;  // batch_norm_workspace elements of the compute type
};
using BatchNormTrainKernel = void (*)(ThreadPool& pool, const BatchNormTrainArgs& args);

struct BatchNormGradArgs {
  int64_t rows, channels;
  const void *grad, *x;
  const void* weight;  // or null
  const void *mean, *inverse_std;
  void* dx;
  void *dweight, *dbias;
  void* workspace;  // as above
};
using BatchNormGradKernel = void (*)(ThreadPool& pool, const BatchNormGradArgs& args);

// A sum over rows is cut into parts of 16 batches of 8 rows, whatever the threads: each part's in the compute type,
// that of the parts in double. What is kept of a part is 1/64 of its elements.
inline constexpr int64_t kNormBatch = 8, kNormPartRows = 16 * kNormBatch;
FC_INLINE int64_t norm_parts(int64_t rows) { return (rows + kNormPartRows - 1) / kNormPartRows; }
// Two sums a part and channel, and three more vectors of channels.
FC_INLINE int64_t batch_norm_workspace(int64_t rows, int64_t channels) { return (2 * norm_parts(rows) + 3) * channels; }

struct ResponseNormArgs {
  int64_t rows, channels;
  const void* x;
  const void* grad;       // of the gradient
  void* y;                // or dx
  int64_t before, after;  // channels of the window on either side; at most `channels` each
  double scale, beta, k;  // scale = alpha / size
  void* workspace;        // response_norm_workspace elements of the compute type for each of `threads`
  int threads;
};
using ResponseNormKernel = void (*)(ThreadPool& pool, const ResponseNormArgs& args);

// Squares and quotients of a row, each with its window's reach on both sides and a vector's tail.
FC_INLINE int64_t response_norm_row(int64_t channels, int64_t before, int64_t after) {
  return (channels + before + after + 31) / 16 * 16;
}
FC_INLINE int64_t response_norm_workspace(int64_t channels, int64_t before, int64_t after) {
  return 3 * response_norm_row(channels, before, after);
}

struct SoftmaxGradArgs {
  int64_t rows, channels;
  const void *y, *grad;
  void* dx;
};
using SoftmaxGradKernel = void (*)(ThreadPool& pool, const SoftmaxGradArgs& args);

struct CrossEntropyArgs {
  int64_t rows, channels;
  const void* x;
  const int64_t* target;  // [rows]
  const void* weight;     // [channels] in the compute type, or null
  int64_t ignore_index;
  double smoothing;
  LossReduction reduction;
  void* y;           // forward: a loss a row for kNone, else one
  void* workspace;   // forward: [rows] of the compute type, unless kNone
  const void* grad;  // gradient: of y
  void* dx;
};
using CrossEntropyKernel = void (*)(ThreadPool& pool, const CrossEntropyArgs& args);

// Of one storage type.
struct NormKernels {
  NormKernel batch_norm;
  BatchNormTrainKernel batch_norm_train;
  BatchNormGradKernel batch_norm_grad;
  ResponseNormKernel local_response_norm, local_response_norm_grad;
  NormKernel softmax, log_softmax;
  SoftmaxGradKernel softmax_grad, log_softmax_grad;
  CrossEntropyKernel cross_entropy, cross_entropy_grad;
};

}  // namespace fastconv

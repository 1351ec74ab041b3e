// Arguments of the elementwise kernels; their contracts are at the heads of unary.h, activation_grad.h,
// bias_activation.h, dropout.h, cast.h, optimizer.h and copy.h.
#pragma once

#include "cpu/runtime/thread_pool.h"
#include "problem.h"

namespace fastconv {

inline constexpr int64_t kElementwiseGrain = 32768;  // elements an item

enum class Unary : int { kReLU = 0, kReLU6 = 1, kSiLU = 2, kSigmoid = 3, kLeakyReLU = 4, kTanh = 5 };

struct UnaryArgs {
  int64_t count;
  const void* x;
  void* y;
  Unary function;
  double slope;  // of leaky ReLU for x < 0
};
using UnaryKernel = void (*)(ThreadPool& pool, const UnaryArgs& args);

struct ActivationGradArgs {
  int64_t count;
  const void *x, *grad;
  void* gx;
  Unary function;
  double slope;
};
using ActivationGradKernel = void (*)(ThreadPool& pool, const ActivationGradArgs& args);

struct BiasActivationArgs {
  int64_t rows, channels;
  const void* x;
  const void* bias;      // [channels] in the compute type, or null
  const void* residual;  // [rows][channels], or null
  void* y;
  Activation activation;
};
using BiasActivationKernel = void (*)(ThreadPool& pool, const BiasActivationArgs& args);

struct DropoutArgs {
  int64_t count;
  const void* x;
  void* y;
  uint64_t threshold;  // p 2^32
  double scale;
  uint64_t seed, stream;
};
using DropoutKernel = void (*)(ThreadPool& pool, const DropoutArgs& args);

struct CastArgs {
  int64_t count;
  const void* from;
  void* to;
};
using CastKernel = void (*)(ThreadPool& pool, const CastArgs& args);

struct SgdArgs {
  int64_t count;
  void* param;       // compute type
  const void* grad;  // storage type
  void* velocity;    // compute type; null without momentum
  void* low;         // storage type, or null
  double lr, momentum, undamped, weight_decay;
  bool nesterov, first;
};
using SgdKernel = void (*)(ThreadPool& pool, const SgdArgs& args);

struct AdamArgs {
  int64_t count;
  void* param;          // compute type
  const void* grad;     // storage type
  void *mean, *square;  // compute type
  void* low;            // storage type, or null
  double step, beta1_rest, beta2, beta2_rest, inverse_root, eps, weight_decay, shrink;
};
using AdamKernel = void (*)(ThreadPool& pool, const AdamArgs& args);

// Of one storage type.
struct ElementwiseKernels {
  UnaryKernel unary;
  ActivationGradKernel activation_grad;
  BiasActivationKernel bias_activation;
  DropoutKernel dropout;
  CastKernel cast[kDTypeCount];  // to each storage type
  SgdKernel sgd;
  AdamKernel adam;
};

struct CopyArgs {
  int64_t extent[4];
  int64_t src_stride[4], dst_stride[4];
  const char* src;
  char* dst;
  int64_t element_size;  // 1, 2, 4 or 8
};
using CopyKernel = void (*)(ThreadPool& pool, const CopyArgs& args);

}  // namespace fastconv

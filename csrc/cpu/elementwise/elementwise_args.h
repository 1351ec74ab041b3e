// Arguments of the elementwise kernels; their contracts are at the heads of unary.h, activation_grad.h,
// bias_activation.h, dropout.h, cast.h, optimizer.h, loss.h, scale_channels.h and copy.h.
#pragma once

#include "cpu/runtime/thread_pool.h"
#include "problem.h"

namespace fastconv {

inline constexpr int64_t kElementwiseGrain = 32768;  // elements an item

enum class Unary : int {
  kReLU = 0,
  kReLU6 = 1,
  kSiLU = 2,
  kSigmoid = 3,
  kLeakyReLU = 4,
  kTanh = 5,
  kHardSigmoid = 6,
  kHardSwish = 7
};

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

// What every step of an optimizer has.
struct StepArgs {
  int64_t count;
  void* param;       // compute type
  const void* grad;  // storage type
  void* low;         // storage type, or null
  double weight_decay, l1;
};

// State is in the compute type.
struct SgdArgs : StepArgs {
  void* velocity;  // null without momentum
  double lr, momentum, undamped;
  bool nesterov, first;
};
using SgdKernel = void (*)(ThreadPool& pool, const SgdArgs& args);

struct AdamArgs : StepArgs {
  void *mean, *square;
  double step, beta1_rest, beta2, beta2_rest, inverse_root, eps, shrink;
};
using AdamKernel = void (*)(ThreadPool& pool, const AdamArgs& args);

struct AdagradArgs : StepArgs {
  void* square;
  double step, eps;
};
using AdagradKernel = void (*)(ThreadPool& pool, const AdagradArgs& args);

struct AdadeltaArgs : StepArgs {
  void *square, *change;
  double lr, rho, rho_rest, eps;
};
using AdadeltaKernel = void (*)(ThreadPool& pool, const AdadeltaArgs& args);

struct RmspropArgs : StepArgs {
  void* square;
  void* mean;      // null unless centered
  void* velocity;  // null without momentum
  double lr, alpha, alpha_rest, eps, momentum;
};
using RmspropKernel = void (*)(ThreadPool& pool, const RmspropArgs& args);

enum class Loss : int { kSquared = 0, kBinaryCrossEntropy = 1, kBinaryCrossEntropyWithLogits = 2 };
enum class LossReduction : int { kNone = 0, kSum = 1, kMean = 2 };

// A sum of losses is cut into parts of so many, whatever the threads: each part's in the compute type, that of the
// parts in double.
inline constexpr int64_t kLossPart = 2048;

struct LossArgs {
  int64_t count;
  Loss loss;
  LossReduction reduction;
  const void *x, *target;
  const void *weight, *positive_weight;  // as many as x, or null
  void* y;                               // forward: a loss an element for kNone, else one
  double* parts;                         // forward: a sum a part, unless kNone
  const void* grad;                      // gradient: of y
  void* dx;
};
using LossKernel = void (*)(ThreadPool& pool, const LossArgs& args);

// x, y and the gradients: [n][pixels][channels]; scale: [n][channels].
struct ScaleArgs {
  int64_t n, pixels, channels;
  const void *x, *scale;
  void* y;
  const void* grad;  // gradient: of y
  void *dx, *dscale;
};
using ScaleKernel = void (*)(ThreadPool& pool, const ScaleArgs& args);

// Of one storage type.
struct ElementwiseKernels {
  UnaryKernel unary;
  ActivationGradKernel activation_grad;
  BiasActivationKernel bias_activation;
  DropoutKernel dropout;
  CastKernel cast[kDTypeCount];  // to each storage type
  SgdKernel sgd;
  AdamKernel adam;
  AdagradKernel adagrad;
  AdadeltaKernel adadelta;
  RmspropKernel rmsprop;
  LossKernel loss, loss_grad;
  ScaleKernel scale_channels, scale_channels_grad;
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

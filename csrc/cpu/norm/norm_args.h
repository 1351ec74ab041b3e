// Arguments of the normalisation kernels; their contract is at the head of norm.h.
#pragma once

#include "cpu/runtime/thread_pool.h"
#include "problem.h"

namespace fastconv {

struct NormArgs {
  int64_t rows, channels;
  const void* x;
  void* y;
  const void *scale, *shift;  // batch_norm: [channels] in the compute type
  int64_t size;               // local_response_norm
  double alpha, beta, bias;   // local_response_norm
};
using NormKernel = void (*)(ThreadPool& pool, const NormArgs& args);

// Of one storage type.
struct NormKernels {
  NormKernel batch_norm, local_response_norm, softmax, log_softmax;
};

}  // namespace fastconv

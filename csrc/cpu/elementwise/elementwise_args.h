// Arguments of the elementwise kernels; their contracts are at the heads of unary.h and copy.h.
#pragma once

#include "cpu/runtime/thread_pool.h"
#include "problem.h"

namespace fastconv {

enum class Unary : int { kReLU = 0, kReLU6 = 1, kSiLU = 2, kSigmoid = 3, kLeakyReLU = 4, kTanh = 5 };

struct UnaryArgs {
  int64_t count;
  const void* x;
  void* y;
  Unary function;
  double slope;  // of leaky ReLU for x < 0
};
using UnaryKernel = void (*)(ThreadPool& pool, const UnaryArgs& args);

// Of one storage type.
struct ElementwiseKernels {
  UnaryKernel unary;
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

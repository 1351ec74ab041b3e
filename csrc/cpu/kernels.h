// What one ISA offers: the table that dispatch, tests and benches go through. A kernel that is not in
// this table does not exist; one that is, is tested on every ISA.
#pragma once

#include "cpu/conv/conv.h"
#include "cpu/elementwise/elementwise_args.h"
#include "cpu/gemm/linear_args.h"
#include "cpu/norm/norm_args.h"
#include "cpu/pool/pool_args.h"

namespace fastconv {

using PackKernel = void (*)(ThreadPool& pool, const void* rows, int64_t n, int64_t k, void* panels);

struct ConvAlgorithm {
  ConvKernel run;
  ConvWorkspace workspace;
};

// One column of the table: everything for one storage type.
struct DTypeKernels {
  ConvAlgorithm implicit_gemm, im2col_gemm;
  PackKernel pack_weight;
  int64_t (*packed_size)(int64_t n, int64_t k);  // elements in the compute type
  LinearKernel linear;
  PoolKernel max_pool, avg_pool;
  NormKernel batch_norm, local_response_norm, softmax, log_softmax;
  UnaryKernel unary;
};

struct Kernels {
  const char* isa;
  DTypeKernels dtype[kDTypeCount];
  CopyKernel copy;
  double (*fma_burst)(ThreadPool& pool, int threads, int64_t rounds);
  double (*read_burst)(ThreadPool& pool, int threads, const float* data, int64_t count);
};

namespace portable {
extern const Kernels kernels;
}
namespace avx2 {
extern const Kernels kernels;
}
namespace avx512 {
extern const Kernels kernels;
}

}  // namespace fastconv

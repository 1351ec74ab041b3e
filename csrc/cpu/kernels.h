// What one ISA offers: the table that dispatch, tests and benches go through. A kernel that is not in
// this table does not exist; one that is, is tested on every ISA.
#pragma once

#include "cpu/conv/conv.h"
#include "cpu/elementwise/elementwise_args.h"
#include "cpu/gemm/linear_args.h"
#include "cpu/norm/norm_args.h"
#include "cpu/pool/pool_args.h"
#include "cpu/resample/resample_args.h"

namespace fastconv {

struct Kernels {
  const char* isa;
  const ConvAlgorithm* const* conv;  // ends with null
  // One entry a storage type, in the order of DType; each family fills its own in its kernels.cc.
  const LinearKernel* linear;
  const PoolKernels* pool;
  const ResampleKernel* resample;
  const NormKernels* norm;
  const ElementwiseKernels* elementwise;
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

#if defined(FC_ISA)
namespace FC_ISA {
extern const LinearKernel linear_kernels[kDTypeCount];
extern const PoolKernels pool_kernels[kDTypeCount];
extern const ResampleKernel resample_kernels[kDTypeCount];
extern const NormKernels norm_kernels[kDTypeCount];
extern const ElementwiseKernels elementwise_kernels[kDTypeCount];
}  // namespace FC_ISA
#endif

}  // namespace fastconv

// Compiled once per ISA: instantiates every family for every storage type and fills that ISA's table.
#include "cpu/kernels.h"

#include "cpu/conv/im2col_gemm.h"
#include "cpu/conv/implicit_gemm.h"
#include "cpu/elementwise/copy.h"
#include "cpu/elementwise/unary.h"
#include "cpu/gemm/dot.h"
#include "cpu/norm/norm.h"
#include "cpu/pool/pool.h"
#include "cpu/probe/probe.h"

#define FC_STRING_OF(x) #x
#define FC_STRING(x) FC_STRING_OF(x)

namespace fastconv::FC_ISA {
namespace {

template <class S>
void pack_weight(ThreadPool& pool, const void* rows, int64_t n, int64_t k, void* panels) {
  pack_transposed<S>(pool, static_cast<const S*>(rows), n, k, static_cast<Compute<S>*>(panels));
}

template <class S>
int64_t packed_elements(int64_t n, int64_t k) {
  return packed_size<Compute<S>>(n, k);
}

template <class S>
constexpr DTypeKernels kernels_of() {
  return {
      {implicit_gemm<S>, implicit_gemm_workspace<S>},
      {im2col_gemm<S>, im2col_gemm_workspace<S>},
      pack_weight<S>,
      packed_elements<S>,
      linear_dot<S>,
      max_pool<S>,
      avg_pool<S>,
      batch_norm<S>,
      local_response_norm<S>,
      softmax<S, false>,
      softmax<S, true>,
      unary<S>,
  };
}

}  // namespace

// In the order of DType.
extern const Kernels kernels = {
    FC_STRING(FC_ISA), {kernels_of<float>(), kernels_of<Half>(), kernels_of<BFloat16>(), kernels_of<double>()},
    copy_strided,      fma_burst,
    read_burst,
};

}  // namespace fastconv::FC_ISA

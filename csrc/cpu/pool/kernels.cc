#include "cpu/kernels.h"
#include "cpu/pool/pool.h"
#include "cpu/pool/pool_grad.h"
#include "cpu/pool/unpool.h"

namespace fastconv::FC_ISA {

template <class S>
constexpr PoolKernels kernels_of() {
  return {max_pool<S>, avg_pool<S>, max_pool_grad<S>, avg_pool_grad<S>, max_unpool<S>, max_unpool_grad<S>};
}
extern const PoolKernels pool_kernels[kDTypeCount] = {kernels_of<float>(), kernels_of<Half>(), kernels_of<BFloat16>(),
                                                      kernels_of<double>()};

}  // namespace fastconv::FC_ISA

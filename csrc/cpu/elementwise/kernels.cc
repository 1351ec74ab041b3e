#include "cpu/kernels.h"
#include "cpu/elementwise/unary.h"

namespace fastconv::FC_ISA {

template <class S>
constexpr ElementwiseKernels kernels_of() {
  return {unary<S>};
}
extern const ElementwiseKernels elementwise_kernels[kDTypeCount] = {kernels_of<float>(), kernels_of<Half>(),
                                                                    kernels_of<BFloat16>(), kernels_of<double>()};

}  // namespace fastconv::FC_ISA

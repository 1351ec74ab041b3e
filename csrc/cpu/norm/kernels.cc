#include "cpu/kernels.h"
#include "cpu/norm/norm.h"

namespace fastconv::FC_ISA {

template <class S>
constexpr NormKernels kernels_of() {
  return {batch_norm<S>, local_response_norm<S>, softmax<S, false>, softmax<S, true>};
}
extern const NormKernels norm_kernels[kDTypeCount] = {kernels_of<float>(), kernels_of<Half>(), kernels_of<BFloat16>(),
                                                      kernels_of<double>()};

}  // namespace fastconv::FC_ISA

#include "cpu/kernels.h"
#include "cpu/norm/batch_norm.h"
#include "cpu/norm/cross_entropy.h"
#include "cpu/norm/local_response_norm.h"
#include "cpu/norm/softmax.h"

namespace fastconv::FC_ISA {

template <class S>
constexpr NormKernels kernels_of() {
  return {batch_norm<S>,          batch_norm_train<S>,         batch_norm_grad<S>,
          local_response_norm<S>, local_response_norm_grad<S>, softmax<S, false>,
          softmax<S, true>,       softmax_grad<S, false>,      softmax_grad<S, true>,
          cross_entropy<S>,       cross_entropy_grad<S>};
}
extern const NormKernels norm_kernels[kDTypeCount] = {kernels_of<float>(), kernels_of<Half>(), kernels_of<BFloat16>(),
                                                      kernels_of<double>()};

}  // namespace fastconv::FC_ISA

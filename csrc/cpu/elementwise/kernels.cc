#include "cpu/kernels.h"
#include "cpu/elementwise/activation_grad.h"
#include "cpu/elementwise/bias_activation.h"
#include "cpu/elementwise/cast.h"
#include "cpu/elementwise/dropout.h"
#include "cpu/elementwise/loss.h"
#include "cpu/elementwise/optimizer.h"
#include "cpu/elementwise/scale_channels.h"
#include "cpu/elementwise/unary.h"

namespace fastconv::FC_ISA {

template <class S>
constexpr ElementwiseKernels kernels_of() {
  return {unary<S>,
          activation_grad<S>,
          bias_activation<S>,
          dropout<S>,
          {cast<S, float>, cast<S, Half>, cast<S, BFloat16>, cast<S, double>},
          sgd<S>,
          adam<S>,
          adagrad<S>,
          adadelta<S>,
          rmsprop<S>,
          loss<S>,
          loss_grad<S>,
          scale_channels<S>,
          scale_channels_grad<S>};
}
extern const ElementwiseKernels elementwise_kernels[kDTypeCount] = {kernels_of<float>(), kernels_of<Half>(),
                                                                    kernels_of<BFloat16>(), kernels_of<double>()};

}  // namespace fastconv::FC_ISA

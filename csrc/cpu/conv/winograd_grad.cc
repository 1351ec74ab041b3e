#include "cpu/conv/kernels.h"
#include "cpu/conv/winograd_wgrad.h"

namespace fastconv::FC_ISA {
namespace {

const char* refuses(const ConvProblem& d) {
  if (d.r != 3 || d.s != 3) return "takes 3 x 3 kernels";
  if (d.stride_h != 1 || d.stride_w != 1) return "takes stride 1";
  if (d.dilation_h != 1 || d.dilation_w != 1) return "takes dilation 1";
  if (d.groups != 1) return "takes one group";
  if (d.n * d.p * d.q == 0) return "takes a result of at least one pixel";
  return nullptr;
}

template <class S>
constexpr ConvRow row() {
  return {winograd_wgrad<S>, refuses, winograd_wgrad_workspace<S>, {}};
}

}  // namespace

extern const ConvAlgorithm winograd_weight_grad = {
    ConvOp::kWeightGrad, "winograd", {row<float>(), row<Half>(), row<BFloat16>(), {}}};

}  // namespace fastconv::FC_ISA

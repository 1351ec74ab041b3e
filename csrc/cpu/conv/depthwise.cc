#include "cpu/conv/depthwise_weight_grad.h"
#include "cpu/conv/gather.h"
#include "cpu/conv/kernels.h"

namespace fastconv::FC_ISA {
namespace {

const char* depthwise_refuses(const ConvProblem& d) {
  if (d.c != d.groups) return "several channels a group: takes one";
  if (d.k != d.groups) return "several filters a channel: takes one";
  return nullptr;
}

template <class S>
constexpr ConvRow row() {
  return {accumulate_weight_grad<S>, depthwise_refuses, weight_grad_workspace<S>, {}};
}

}  // namespace

extern const ConvAlgorithm depthwise_forward =
    gather_algorithm<OwnChannel, false>("depthwise", "depthwise", depthwise_refuses);
extern const ConvAlgorithm depthwise_input_grad =
    gather_algorithm<OwnChannel, true>("depthwise", "depthwise mirrored", depthwise_refuses);
extern const ConvAlgorithm depthwise_weight_grad = {
    ConvOp::kWeightGrad, "depthwise", {row<float>(), row<Half>(), row<BFloat16>(), row<double>()}};

}  // namespace fastconv::FC_ISA

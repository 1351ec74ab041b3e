#include "cpu/conv/implicit_dgrad.h"
#include "cpu/conv/implicit_wgrad.h"
#include "cpu/conv/kernels.h"

namespace fastconv::FC_ISA {
namespace {

template <class S>
constexpr ConvRow dgrad_row() {
  return {implicit_dgrad<S>,
          nullptr,
          implicit_dgrad_workspace<S>,
          {"panels mirrored", dgrad_elements<Compute<S>>, pack_dgrad<S>}};
}

template <class S>
constexpr ConvRow wgrad_row() {
  return {implicit_wgrad<S>, nullptr, implicit_wgrad_workspace<S>, {}};
}

}  // namespace

extern const ConvAlgorithm implicit_gemm_input_grad = {
    ConvOp::kInputGrad,
    "implicit_gemm",
    {dgrad_row<float>(), dgrad_row<Half>(), dgrad_row<BFloat16>(), dgrad_row<double>()}};
extern const ConvAlgorithm implicit_gemm_weight_grad = {
    ConvOp::kWeightGrad,
    "implicit_gemm",
    {wgrad_row<float>(), wgrad_row<Half>(), wgrad_row<BFloat16>(), wgrad_row<double>()}};

}  // namespace fastconv::FC_ISA

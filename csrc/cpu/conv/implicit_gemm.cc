#include "cpu/conv/implicit_gemm.h"

#include "cpu/conv/kernels.h"

namespace fastconv::FC_ISA {

namespace {

template <class S>
constexpr ConvRow row() {
  return {implicit_gemm<S>, nullptr, implicit_gemm_workspace<S>, panels<S>()};
}
}  // namespace

extern const ConvAlgorithm implicit_gemm_forward = {
    ConvOp::kForward, "implicit_gemm", {row<float>(), row<Half>(), row<BFloat16>(), row<double>()}};

}  // namespace fastconv::FC_ISA

#include "cpu/conv/im2col_gemm.h"

#include "cpu/conv/kernels.h"

namespace fastconv::FC_ISA {

namespace {

template <class S>
constexpr ConvRow row() {
  return {im2col_gemm<S>, nullptr, im2col_gemm_workspace<S>, panels<S>()};
}
}  // namespace

extern const ConvAlgorithm im2col_gemm_forward = {
    ConvOp::kForward, "im2col_gemm", {row<float>(), row<Half>(), row<BFloat16>(), row<double>()}};

}  // namespace fastconv::FC_ISA

// The convolution algorithms of one ISA. Each is instantiated in a file of its own, <algorithm>.cc, and listed in
// cpu/kernels.cc: one that is not listed there does not exist.
#pragma once

#include "cpu/conv/conv.h"

namespace fastconv::FC_ISA {

extern const ConvAlgorithm implicit_gemm_forward, im2col_gemm_forward;
extern const ConvAlgorithm implicit_gemm_input_grad, implicit_gemm_weight_grad;
extern const ConvAlgorithm winograd_forward, winograd_input_grad, winograd_weight_grad;
extern const ConvAlgorithm depthwise_forward, depthwise_input_grad, depthwise_weight_grad;
extern const ConvAlgorithm grouped_forward, grouped_input_grad;

}  // namespace fastconv::FC_ISA

// Compiled once per ISA: that ISA's table, from what each family has instantiated.
#include "cpu/kernels.h"

#include "cpu/conv/kernels.h"
#include "cpu/elementwise/copy.h"
#include "cpu/probe/probe.h"

#define FC_STRING_OF(x) #x
#define FC_STRING(x) FC_STRING_OF(x)

namespace fastconv::FC_ISA {
namespace {

const ConvAlgorithm* const conv_algorithms[] = {
    &winograd_forward,          &implicit_gemm_forward,
    &im2col_gemm_forward,       &depthwise_forward,
    &grouped_forward,           &reference,
    &winograd_input_grad,       &implicit_gemm_input_grad,
    &depthwise_input_grad,      &grouped_input_grad,
    &reference_input_grad,      &winograd_weight_grad,
    &implicit_gemm_weight_grad, &depthwise_weight_grad,
    &reference_weight_grad,     nullptr,
};

}  // namespace

extern const Kernels kernels = {
    FC_STRING(FC_ISA), conv_algorithms,     linear_kernels, pool_kernels, resample_kernels,
    norm_kernels,      elementwise_kernels, copy_strided,   fma_burst,    read_burst,
};

}  // namespace fastconv::FC_ISA

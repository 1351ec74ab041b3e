#include "cpu/kernels.h"
#include "cpu/gemm/dot.h"

namespace fastconv::FC_ISA {

extern const LinearKernel linear_kernels[kDTypeCount] = {linear_dot<float>, linear_dot<Half>, linear_dot<BFloat16>,
                                                         linear_dot<double>};

}  // namespace fastconv::FC_ISA

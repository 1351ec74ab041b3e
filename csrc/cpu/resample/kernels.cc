#include "cpu/kernels.h"
#include "cpu/resample/resample.h"

namespace fastconv::FC_ISA {

extern const ResampleKernel resample_kernels[kDTypeCount] = {resample<float>, resample<Half>, resample<BFloat16>,
                                                             resample<double>};

}  // namespace fastconv::FC_ISA

// Conversions between storage types and the types they are computed in, one thread an element.
#pragma once

#include "cuda/ptx/dtype.cuh"

namespace fastconv::golden {

template <class From, class To>
__global__ void round_to(const From* x, To* y, int count) {
  const int i = int(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < count) y[i] = from_compute<To>(x[i]);
}

template <class From, class To>
__global__ void widen(const From* x, To* y, int count) {
  const int i = int(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < count) y[i] = to_compute(x[i]);
}

__global__ void round_to_tf32(const float* x, uint32_t* y, int count) {
  const int i = int(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < count) y[i] = to_tf32(x[i]);
}

}  // namespace fastconv::golden

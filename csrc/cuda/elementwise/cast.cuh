// to[i] = from[i] in another storage type, rounded once, over dense memory. One thread `width` elements of every so
// many: as many as make 16 bytes of the larger type.
#pragma once

#include "cuda/elementwise/vector.cuh"

namespace fastconv {

template <class To, class From>
FC_DEVICE To convert(From x) {
  if constexpr (sizeof(To) == sizeof(double)) {
    return To(to_compute(x));
  } else {
    return from_compute<To>(to_compute(x));
  }
}

template <class From, class To, int width>
__global__ void __launch_bounds__(256) cast(const From* from, To* to, int64_t count) {
  const int64_t step = int64_t(gridDim.x) * blockDim.x * width;
  for (int64_t i = (int64_t(blockIdx.x) * blockDim.x + threadIdx.x) * width; i < count; i += step) {
    const Pack<From, width> source = load_up_to<width>(from + i, count - i);
    Pack<To, width> target;
#pragma unroll
    for (int j = 0; j < width; ++j) target.at[j] = convert<To>(source.at[j]);
    store_up_to(to + i, target, count - i);
  }
}

}  // namespace fastconv

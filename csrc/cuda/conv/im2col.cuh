// The column matrix of a convolution, built in memory:
//
//   columns[m, g, (r S + s) C/G + c] = x[pixel(m, r, s), g C/G + c], zeros past R S C/G up to `length`
//
// with m over the output pixels of the images given. One thread moves kVector elements, neighbours along the channels
// where kVector > 1 (then C/G and `length` are multiples of it), in the order of the columns' memory.
#pragma once

#include "cuda/ptx/dtype.cuh"
#include "problem.h"

namespace fastconv {

template <class T, int kVector>
__global__ void __launch_bounds__(256) im2col(const T* x, T* columns, const ConvProblem d, int length) {
  const int group_c = int(d.c / d.groups), groups = int(d.groups);
  const int taps = int(d.r * d.s) * group_c;
  const int64_t count = d.n * d.p * d.q * groups * (length / kVector);
  const int64_t stride = int64_t(gridDim.x) * blockDim.x;
  for (int64_t i = int64_t(blockIdx.x) * blockDim.x + threadIdx.x; i < count; i += stride) {
    const int j = int(i % (length / kVector)) * kVector;  // within the group's share of the row
    const int64_t row = i / (length / kVector);
    const int group = int(row % groups);
    const int64_t m = row / groups;
    const int q = int(m % d.q), p = int(m / d.q % d.p);
    const int64_t n = m / (d.p * d.q);
    const int tap = j / group_c, c = j % group_c;
    const int h = p * int(d.stride_h) - int(d.pad_top) + tap / int(d.s) * int(d.dilation_h);
    const int w = q * int(d.stride_w) - int(d.pad_left) + tap % int(d.s) * int(d.dilation_w);
    Pack<T, kVector> pack = {};
    if (j < taps && unsigned(h) < unsigned(d.h) && unsigned(w) < unsigned(d.w))
      pack = load_pack<kVector>(x + ((n * d.h + h) * d.w + w) * d.c + int64_t(group) * group_c + c);
    store_pack(columns + i * kVector, pack);
  }
}

}  // namespace fastconv

// Unpooling, channels-last: elements of an image of `small` pixels go to positions that are given, and back.
//
//   claim_places     winners[n,pixel,c] = the last i with indices[n,i,c] = pixel, plus 1; 0 where there is none
//   max_unpool       y[n,pixel,c] = x[n,i,c] for i = winners[n,pixel,c] - 1, else 0
//   max_unpool_grad  gx[n,i,c] = grad[n,indices[n,i,c],c]
//
// Indices outside the image write nothing, and give 0. The largest i is the same in whatever order it is found, so that
// an atomic maximum of integers is deterministic. winners are zero before. One thread an element, every so many.
#pragma once

#include "cuda/platform.cuh"

namespace fastconv {

struct UnpoolShape {
  int64_t n, small, large, c;
};

__global__ void __launch_bounds__(256) claim_places(const int64_t* indices, int32_t* winners, UnpoolShape d) {
  const int64_t count = d.n * d.small * d.c, step = int64_t(gridDim.x) * blockDim.x;
  for (int64_t i = int64_t(blockIdx.x) * blockDim.x + threadIdx.x; i < count; i += step) {
    const int64_t pixel = i / d.c, image = pixel / d.small, at = indices[i];
    if (at >= 0 && at < d.large)
      atomicMax(winners + (image * d.large + at) * d.c + i % d.c, int32_t(pixel % d.small) + 1);
  }
}

template <class Word>
__global__ void __launch_bounds__(256) max_unpool(const Word* x, const int32_t* winners, Word* y, UnpoolShape d) {
  const int64_t count = d.n * d.large * d.c, step = int64_t(gridDim.x) * blockDim.x;
  for (int64_t i = int64_t(blockIdx.x) * blockDim.x + threadIdx.x; i < count; i += step) {
    const int32_t winner = winners[i];
    const int64_t image = i / (d.large * d.c);
    y[i] = winner > 0 ? x[(image * d.small + winner - 1) * d.c + i % d.c] : Word(0);
  }
}

template <class Word>
__global__ void __launch_bounds__(256)
    max_unpool_grad(const Word* grad, const int64_t* indices, Word* gx, UnpoolShape d) {
  const int64_t count = d.n * d.small * d.c, step = int64_t(gridDim.x) * blockDim.x;
  for (int64_t i = int64_t(blockIdx.x) * blockDim.x + threadIdx.x; i < count; i += step) {
    const int64_t image = i / (d.small * d.c), at = indices[i];
    gx[i] = at >= 0 && at < d.large ? grad[(image * d.large + at) * d.c + i % d.c] : Word(0);
  }
}

}  // namespace fastconv

// y[i] = x[i] scale where word(i) >= threshold, else 0: word(i) is number i % 4 of Philox's at (seed, stream, i / 4).
// threshold = p 2^32 lets 1 - p of the elements through; it has 33 bits, so that p = 1 lets none.
//
// The same kernel with the same numbers is the gradient. One thread 4 elements or 16 bytes, whichever is more: whole
// blocks of random words.
#pragma once

#include "cuda/elementwise/philox.cuh"
#include "cuda/elementwise/vector.cuh"

namespace fastconv {

template <class T, int width>
__global__ void __launch_bounds__(256)
    dropout(const T* x, T* y, int64_t count, uint64_t threshold, Compute<T> scale, uint64_t seed, uint64_t stream) {
  constexpr int each = kPerVector<T> > 4 ? kPerVector<T> : 4;
  const int64_t step = int64_t(gridDim.x) * blockDim.x * each;
  for (int64_t i = (int64_t(blockIdx.x) * blockDim.x + threadIdx.x) * each; i < count; i += step) {
    RandomWords words[each / 4];
#pragma unroll
    for (int j = 0; j < each / 4; ++j) words[j] = philox(seed, stream, uint64_t(i / 4 + j));
#pragma unroll
    for (int j = 0; j < each; j += width) {
      const int64_t left = count - i - j;
      if (left <= 0) break;
      Pack<T, width> pack = load_up_to<width>(x + i + j, left);
#pragma unroll
      for (int k = 0; k < width; ++k) {
        const bool kept = uint64_t(words[(j + k) / 4].at[(j + k) % 4]) >= threshold;
        pack.at[k] = from_compute<T>(kept ? to_compute(pack.at[k]) * scale : Compute<T>(0));
      }
      store_up_to(y + i + j, pack, left);
    }
  }
}

}  // namespace fastconv

// Vectors at the ragged end of an array.
#pragma once

#include "cuda/ptx/dtype.cuh"

namespace fastconv {

// The first min(n, width) elements at p, the rest zero; and back.
template <int width, class T>
FC_DEVICE Pack<T, width> load_up_to(const T* p, int64_t n) {
  if (n >= width) return load_pack<width>(p);
  Pack<T, width> pack = {};
#pragma unroll
  for (int i = 0; i < width; ++i)
    if (i < n) pack.at[i] = p[i];
  return pack;
}
template <int width, class T>
FC_DEVICE void store_up_to(T* p, const Pack<T, width>& pack, int64_t n) {
  if (n >= width) {
    store_pack(p, pack);
    return;
  }
#pragma unroll
  for (int i = 0; i < width; ++i)
    if (i < n) p[i] = pack.at[i];
}

}  // namespace fastconv

// The register tile: C[rows][cols] (+)= A[rows][kc] * B[kc][cols], cols = NV vectors.
//
//   A   row-major rows, `lda` apart: a row is one pixel's window, contiguous in k; each element is
//       broadcast. Rows need no interleaving: MR streams of k fit L1 and its prefetchers.
//   B   packed, kc x NV vectors, contiguous: two loads a step of k
//   C   row-major scratch in the compute type; loaded first when `accumulate`
//
// On AVX-512 14 x 2: 28 FMAs, 14 broadcasts, 2 loads a step; measured 96-99 % of the FMA peak, no
// spills (gcc 12). Every instantiation adds in the same order, so an element's bits do not depend on
// the tile that it falls into.
#pragma once

#include "cpu/gemm/blocking.h"

namespace fastconv::FC_ISA {

template <class T>
using TileKernel = void (*)(const T* a, int64_t lda, const T* b, int64_t kc, T* c, int64_t ldc, bool accumulate);

template <class T, int MR>
void gemm_tile(const T* a, int64_t lda, const T* b, int64_t kc, T* c, int64_t ldc, bool accumulate) {
  using V = Vec<T>;
  constexpr int NV = Tile<T>::nv;
  typename V::Reg acc[MR][NV];
#pragma GCC unroll 16
  for (int i = 0; i < MR; i++)
#pragma GCC unroll 4
    for (int j = 0; j < NV; j++) acc[i][j] = accumulate ? V::load(c + i * ldc + j * V::width) : V::set1(0);

  for (int64_t k = 0; k < kc; k++) {
    typename V::Reg bv[NV];
#pragma GCC unroll 4
    for (int j = 0; j < NV; j++) bv[j] = V::load(b + (k * NV + j) * V::width);
#pragma GCC unroll 16
    for (int i = 0; i < MR; i++) {
      const typename V::Reg av = V::set1(a[i * lda + k]);
#pragma GCC unroll 4
      for (int j = 0; j < NV; j++) acc[i][j] = V::fma(av, bv[j], acc[i][j]);
    }
  }

#pragma GCC unroll 16
  for (int i = 0; i < MR; i++)
#pragma GCC unroll 4
    for (int j = 0; j < NV; j++) V::store(c + i * ldc + j * V::width, acc[i][j]);
}

// The instantiation for `rows` rows, 1 <= rows <= Tile<T>::mr.
template <class T>
FC_INLINE TileKernel<T> gemm_tile_for(int64_t rows) {
#if defined(__AVX512F__)
  static constexpr TileKernel<T> table[] = {gemm_tile<T, 1>,  gemm_tile<T, 2>,  gemm_tile<T, 3>,  gemm_tile<T, 4>,
                                            gemm_tile<T, 5>,  gemm_tile<T, 6>,  gemm_tile<T, 7>,  gemm_tile<T, 8>,
                                            gemm_tile<T, 9>,  gemm_tile<T, 10>, gemm_tile<T, 11>, gemm_tile<T, 12>,
                                            gemm_tile<T, 13>, gemm_tile<T, 14>};
#else
  static constexpr TileKernel<T> table[] = {gemm_tile<T, 1>, gemm_tile<T, 2>, gemm_tile<T, 3>,
                                            gemm_tile<T, 4>, gemm_tile<T, 5>, gemm_tile<T, 6>};
#endif
  static_assert(sizeof(table) / sizeof(table[0]) == Tile<T>::mr);
  return table[rows - 1];
}

}  // namespace fastconv::FC_ISA

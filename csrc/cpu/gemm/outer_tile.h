// The register tile of a sum of outer products: C[i][j] += sum over p of A[p][i] B[p][j].
//
//   A   row-major, `lda` apart: MR neighbours of a row are broadcast
//   B   row-major, `ldb` apart: NV vectors of a row are loaded
//   C   row-major; what p's of this call add up to is added once, so that a long sum is a sum of short ones
//
// On AVX-512 14 x 2: 28 FMAs, 14 broadcasts, 2 loads a step, as in tile.h.
#pragma once

#include "cpu/gemm/blocking.h"

namespace fastconv::FC_ISA {

template <class T>
using OuterTile = void (*)(const T* a, int64_t lda, const T* b, int64_t ldb, int64_t count, T* c, int64_t ldc);

template <class T, int MR, int NV>
void outer_tile(const T* a, int64_t lda, const T* b, int64_t ldb, int64_t count, T* c, int64_t ldc) {
  using V = Vec<T>;
  typename V::Reg acc[MR][NV];
#pragma GCC unroll 16
  for (int i = 0; i < MR; i++)
#pragma GCC unroll 4
    for (int j = 0; j < NV; j++) acc[i][j] = V::set1(0);
  for (int64_t p = 0; p < count; p++, a += lda, b += ldb) {
    typename V::Reg bv[NV];
#pragma GCC unroll 4
    for (int j = 0; j < NV; j++) bv[j] = V::load(b + j * V::width);
#pragma GCC unroll 16
    for (int i = 0; i < MR; i++) {
      const typename V::Reg av = V::set1(a[i]);
#pragma GCC unroll 4
      for (int j = 0; j < NV; j++) acc[i][j] = V::fma(av, bv[j], acc[i][j]);
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < MR; i++)
#pragma GCC unroll 4
    for (int j = 0; j < NV; j++) {
      T* const sum = c + i * ldc + j * V::width;
      V::store(sum, V::add(V::load(sum), acc[i][j]));
    }
}

// Instantiated in gemm/tile.cc.
template <class T>
struct OuterTileTable {
  static const OuterTile<T> kernels[Tile<T>::mr][Tile<T>::nv];
};

// The tile for `rows` rows of C and `cols` columns, 1 <= rows <= Tile<T>::mr, 1 <= cols <= Tile<T>::nr.
template <class T>
FC_INLINE OuterTile<T> outer_tile_for(int64_t rows, int64_t cols) {
  return OuterTileTable<T>::kernels[rows - 1][cols > Vec<T>::width];
}

}  // namespace fastconv::FC_ISA

// The register tile: C[rows][cols] (+)= A[rows][k] * B[k][cols], cols = NV vectors.
//
//   A   consecutive stretches of k, each a row-major matrix of its own (Segment): a row is one pixel's window; each
//       element is broadcast. Rows need no interleaving: MR streams of k fit L1 and its prefetchers.
//   B   packed, rows of nr columns, contiguous: NV loads a step of k
//   C   goes out through `finish` where there is one; otherwise to row-major scratch, loaded first when `accumulate`
//
// On AVX-512 14 x 2: 28 FMAs, 14 broadcasts, 2 loads a step; measured 96-99 % of the FMA peak, no
// spills (gcc 12). NV = 1 serves a last panel that is half empty. Every instantiation adds in the same order, so an
// element's bits do not depend on the tile that it falls into.
#pragma once

#include "cpu/gemm/finish.h"

namespace fastconv::FC_ISA {

// A stretch of k of an A panel: element (row, k) is a[row * lda + k].
template <class T>
struct Segment {
  const T* a;
  int64_t lda, kc;
};

template <class S>
struct TileOutput {
  using T = Compute<S>;
  T* c;  // scratch
  int64_t ldc;
  bool accumulate;
  const Finish<S>* finish;  // or null; its activation is a clamp
  int64_t col, cols;        // in y
};

template <class S>
using TileKernel = void (*)(const Segment<Compute<S>>* segments, int count, const Compute<S>* b,
                            const TileOutput<S>& out);

template <class S, int MR, int NV>
void gemm_tile(const Segment<Compute<S>>* segments, int count, const Compute<S>* b, const TileOutput<S>& out) {
  using T = Compute<S>;
  using V = Vec<T>;
  typename V::Reg acc[MR][NV];
  const T* const old = out.c;
  const int64_t ldc = out.ldc;
#pragma GCC unroll 16
  for (int i = 0; i < MR; i++)
#pragma GCC unroll 4
    for (int j = 0; j < NV; j++) acc[i][j] = out.accumulate ? V::load(old + i * ldc + j * V::width) : V::set1(0);

  for (int s = 0; s < count; s++) {
    const T* const a = segments[s].a;
    const int64_t lda = segments[s].lda, kc = segments[s].kc;
    for (int64_t k = 0; k < kc; k++, b += Tile<T>::nr) {
      typename V::Reg bv[NV];
#pragma GCC unroll 4
      for (int j = 0; j < NV; j++) bv[j] = V::load(b + j * V::width);
#pragma GCC unroll 16
      for (int i = 0; i < MR; i++) {
        const typename V::Reg av = V::set1(a[i * lda + k]);
#pragma GCC unroll 4
        for (int j = 0; j < NV; j++) acc[i][j] = V::fma(av, bv[j], acc[i][j]);
      }
    }
  }

  if (!out.finish) {
    T* const c = out.c;
#pragma GCC unroll 16
    for (int i = 0; i < MR; i++)
#pragma GCC unroll 4
      for (int j = 0; j < NV; j++) V::store(c + i * ldc + j * V::width, acc[i][j]);
    return;
  }
  const Finish<S>& finish = *out.finish;
  const T lower = finish.lower, upper = finish.upper;
#pragma GCC unroll 4
  for (int j = 0; j < NV; j++) {
    const int64_t col = out.col + j * V::width, n = out.cols - j * V::width;
    if (finish.bias) {
      const typename V::Reg bias = load_up_to(finish.bias + col, n);
#pragma GCC unroll 16
      for (int i = 0; i < MR; i++) acc[i][j] = V::add(acc[i][j], bias);
    }
    if (finish.residual) {
#pragma GCC unroll 16
      for (int i = 0; i < MR; i++)
        acc[i][j] = V::add(acc[i][j], load_up_to(finish.residual + finish.offset[i] + col, n));
    }
#pragma GCC unroll 16
    for (int i = 0; i < MR; i++)
      store_up_to(finish.y + finish.offset[i] + col, V::min(V::set1(upper), V::max(V::set1(lower), acc[i][j])), n);
  }
}

// Instantiated in gemm/tile.cc, once for all that multiply.
template <class S>
struct TileTable {
  static const TileKernel<S> kernels[Tile<Compute<S>>::mr][Tile<Compute<S>>::nv];
};

// The tile for `rows` rows and `cols` columns, 1 <= rows <= Tile<T>::mr, 1 <= cols <= Tile<T>::nr.
template <class S>
FC_INLINE TileKernel<S> gemm_tile_for(int64_t rows, int64_t cols) {
  return TileTable<S>::kernels[rows - 1][cols > Vec<Compute<S>>::width];
}

}  // namespace fastconv::FC_ISA

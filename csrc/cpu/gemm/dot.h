// linear: y[m][n] = bias[n] + sum_k x[m][k] * w[n][k], both operands row by row as they are stored.
//
// Nothing is packed: at small m this reads each weight once, which is all that a matrix-vector product can
// do; 16-bit weights are widened on the way. The tile is MX rows of x by NW rows of w, a vector of
// partial sums each, lanes along k; the lanes are added at the end in one fixed order, so an
// element's bits do not depend on the tile or the batch that it is computed in.
#pragma once

#include "cpu/gemm/linear_args.h"
#include "cpu/runtime/float_state.h"
#include "cpu/simd/vec.h"

namespace fastconv::FC_ISA {

#if defined(__AVX512F__)
inline constexpr int kDotX = 6, kDotW = 4;  // 24 sums + 4 of w + 1 of x = 29 of 32 registers
#else
inline constexpr int kDotX = 3, kDotW = 3;  // 9 sums + 3 of w + 1 of x = 13 of 16 registers
#endif

template <class S, int MX, int NW>
void dot_tile(const S* x, const S* w, int64_t k_count, Compute<S>* sums) {
  using V = Vec<Compute<S>>;
  typename V::Reg acc[MX][NW];
  for (int i = 0; i < MX; i++)
    for (int j = 0; j < NW; j++) acc[i][j] = V::set1(0);
  int64_t k = 0;
  for (; k + V::width <= k_count; k += V::width) {
    typename V::Reg wv[NW];
    for (int j = 0; j < NW; j++) wv[j] = V::load(w + j * k_count + k);
    for (int i = 0; i < MX; i++) {
      const typename V::Reg xv = V::load(x + i * k_count + k);
      for (int j = 0; j < NW; j++) acc[i][j] = V::fma(xv, wv[j], acc[i][j]);
    }
  }
  if (k < k_count) {
    const int64_t rest = k_count - k;
    for (int i = 0; i < MX; i++) {
      const typename V::Reg xv = V::load(x + i * k_count + k, rest);
      for (int j = 0; j < NW; j++) acc[i][j] = V::fma(xv, V::load(w + j * k_count + k, rest), acc[i][j]);
    }
  }
  for (int i = 0; i < MX; i++)
    for (int j = 0; j < NW; j++) sums[i * NW + j] = add_lanes<Compute<S>>(acc[i][j]);
}

template <class S, int MX, int NW>
FC_INLINE void dot_step(const LinearArgs& args, int64_t m, int64_t n) {
  using T = Compute<S>;
  const T* const bias = static_cast<const T*>(args.bias);
  T sums[MX * NW];
  dot_tile<S, MX, NW>(static_cast<const S*>(args.x) + m * args.k, static_cast<const S*>(args.weight) + n * args.k,
                      args.k, sums);
  for (int i = 0; i < MX; i++)
    for (int j = 0; j < NW; j++)
      static_cast<S*>(args.y)[(m + i) * args.n + n + j] =
          from_compute<S>(bias ? sums[i * NW + j] + bias[n + j] : sums[i * NW + j]);
}

template <class S, int NW>
FC_INLINE void dot_columns(const LinearArgs& args, int64_t n) {
  int64_t m = 0;
  for (; m + kDotX <= args.m; m += kDotX) dot_step<S, kDotX, NW>(args, m, n);
  for (; m < args.m; m++) dot_step<S, 1, NW>(args, m, n);
}

template <class S>
void linear_dot(ThreadPool& pool, const LinearArgs& args) {
  const int64_t work = args.m * args.k > 0 ? args.m * args.k : 1;  // of a column
  const int64_t columns = (kWorthAThread / work / kDotW + 4) * kDotW;
  parallel_ranges(pool, args.n, columns, [&](int64_t begin, int64_t end) {
    const FlushDenormals flush;
    int64_t n = begin;
    for (; n + kDotW <= end; n += kDotW) dot_columns<S, kDotW>(args, n);
    for (; n < end; n++) dot_columns<S, 1>(args, n);
  });
}

}  // namespace fastconv::FC_ISA

// acc (kM x kN) += A (kM x kK) B^T (kN x kK) from shared memory, by fused multiply-adds: float and double, IEEE.
//
// 16 x 16 threads; a thread owns (kM / 16) x (kN / 16) of the tile. A 16-byte load brings kPerVector values: of one row
// along k where the operand is K-major, of neighbouring rows where it is transposed. The rows of a thread are laid out
// so that the loads of a warp fall into different banks (SharedTile's swizzle): 16 apart in the first case, vectors 16
// apart in the second. Registers of a float 8 x 8 thread tile: 64 accumulators, 32 + 32 of A and B.
#pragma once

#include "cuda/gemm/shared_tile.cuh"
#include "cuda/math.cuh"

namespace fastconv {

template <class T, int kM_, int kN_, int kK_>
struct FmaTile {
  using Element = T;
  using Accumulator = T;
  static constexpr int kM = kM_, kN = kN_, kK = kK_;
  static constexpr int kThreads = 256;
  static constexpr int kStep = kPerVector<T>;
  static constexpr int kRowsA = kM / 16, kRowsB = kN / 16;
  static_assert(kM % (16 * kStep) == 0 && kN % (16 * kStep) == 0 && kK % kStep == 0, "whole vectors");

  T acc[kRowsA][kRowsB] = {};

  template <bool kTransposedA, bool kTransposedB>
  FC_DEVICE void multiply(const T* a, const T* b) {
    const int ty = int(threadIdx.x) / 16, tx = int(threadIdx.x) % 16;
#pragma unroll 2
    for (int k = 0; k < kK; k += kStep) {
      T fa[kStep][kRowsA], fb[kStep][kRowsB];
      load<kM, kTransposedA>(fa, a, ty, k);
      load<kN, kTransposedB>(fb, b, tx, k);
#pragma unroll
      for (int step = 0; step < kStep; ++step)
#pragma unroll
        for (int i = 0; i < kRowsA; ++i)
#pragma unroll
          for (int j = 0; j < kRowsB; ++j) acc[i][j] = multiply_add(fa[step][i], fb[step][j], acc[i][j]);
    }
  }

  // visit(row, column, value) for every accumulator of this thread.
  template <bool kTransposedA, bool kTransposedB, class Visit>
  FC_DEVICE void for_each(Visit visit) const {
    const int ty = int(threadIdx.x) / 16, tx = int(threadIdx.x) % 16;
#pragma unroll
    for (int i = 0; i < kRowsA; ++i)
#pragma unroll
      for (int j = 0; j < kRowsB; ++j) visit(row_of<kTransposedA>(i, ty), row_of<kTransposedB>(j, tx), acc[i][j]);
  }

 private:
  template <bool kTransposed>
  FC_DEVICE static int row_of(int i, int thread) {
    return kTransposed ? (i / kStep * 16 + thread) * kStep + i % kStep : thread + 16 * i;
  }

  template <int kRows, bool kTransposed>
  FC_DEVICE static void load(T (&f)[kStep][kRows / 16], const T* tile, int thread, int k) {
    if constexpr (kTransposed) {
#pragma unroll
      for (int step = 0; step < kStep; ++step)
#pragma unroll
        for (int v = 0; v < kRows / 16 / kStep; ++v) {
          const auto pack = load_pack<kStep>(tile + SharedTile<T, kK, kRows>::at(k + step, v * 16 + thread));
#pragma unroll
          for (int e = 0; e < kStep; ++e) f[step][v * kStep + e] = pack.at[e];
        }
    } else {
#pragma unroll
      for (int i = 0; i < kRows / 16; ++i) {
        const auto pack = load_pack<kStep>(tile + SharedTile<T, kRows, kK>::at(thread + 16 * i, k / kStep));
#pragma unroll
        for (int step = 0; step < kStep; ++step) f[step][i] = pack.at[step];
      }
    }
  }
};

}  // namespace fastconv

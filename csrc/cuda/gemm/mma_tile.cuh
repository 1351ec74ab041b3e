// acc (kM x kN, float32) += A (kM x kK) B^T (kN x kK) from shared memory, by mma.sync: float16, bfloat16, and float as
// tf32.
//
// kWarpsM x kWarpsN warps share the tile; a warp owns (kM / kWarpsM) x (kN / kWarpsN) of it, in steps of 16 x 8.
// Registers of a 64 x 32 warp tile: 64 accumulators, 16 of A and 8 of B fragments.
// An operand lies in shared memory K-major (rows of kK elements: one row a pixel or filter) or, transposed, with rows
// of kM or kN elements, one row a k: ldmatrix turns it on the way, for 32-bit elements plain loads do.
#pragma once

#include "cuda/gemm/shared_tile.cuh"
#include "cuda/ptx/matrix.cuh"

namespace fastconv {

template <class T, int kM_, int kN_, int kK_, int kWarpsM, int kWarpsN>
struct MmaTile {
  using Element = T;
  using Accumulator = float;
  static constexpr int kM = kM_, kN = kN_, kK = kK_;
  static constexpr int kThreads = 32 * kWarpsM * kWarpsN;
  static constexpr int kStep = sizeof(T) == 2 ? 16 : 8;  // k of one mma
  static constexpr int kTilesM = kM / kWarpsM / 16, kTilesN = kN / kWarpsN / 8;
  static_assert(kM % (16 * kWarpsM) == 0 && kN % (16 * kWarpsN) == 0 && kK % kStep == 0, "whole fragments");

  float acc[kTilesM][kTilesN][4] = {};

  template <bool kTransposedA, bool kTransposedB>
  FC_DEVICE void multiply(const T* a, const T* b) {
    const int warp = int(threadIdx.x) / 32, lane = int(threadIdx.x) % 32;
    const int m0 = warp / kWarpsN * (kM / kWarpsM), n0 = warp % kWarpsN * (kN / kWarpsN);
#pragma unroll
    for (int k = 0; k < kK; k += kStep) {
      uint32_t fa[kTilesM][4], fb[kTilesN][2];
#pragma unroll
      for (int i = 0; i < kTilesM; ++i) load_fragment<kM, kTransposedA, false>(fa[i], a, m0 + 16 * i, k, lane);
#pragma unroll
      for (int j = 0; j < kTilesN; j += 2) {
        uint32_t both[4];
        load_fragment<kN, kTransposedB, true>(both, b, n0 + 8 * j, k, lane);
        fb[j][0] = both[0], fb[j][1] = both[1], fb[j + 1][0] = both[2], fb[j + 1][1] = both[3];
      }
#pragma unroll
      for (int i = 0; i < kTilesM; ++i)
#pragma unroll
        for (int j = 0; j < kTilesN; ++j) {
          if constexpr (sizeof(T) == 2)
            ptx::mma_m16n8k16<T>(acc[i][j], fa[i], fb[j]);
          else
            ptx::mma_m16n8k8_tf32(acc[i][j], fa[i], fb[j]);
        }
    }
  }

  // visit(row, column, value) for every accumulator of this thread.
  template <bool kTransposedA, bool kTransposedB, class Visit>
  FC_DEVICE void for_each(Visit visit) const {
    const int warp = int(threadIdx.x) / 32, lane = int(threadIdx.x) % 32;
    const int m0 = warp / kWarpsN * (kM / kWarpsM) + lane / 4, n0 = warp % kWarpsN * (kN / kWarpsN) + lane % 4 * 2;
#pragma unroll
    for (int i = 0; i < kTilesM; ++i)
#pragma unroll
      for (int j = 0; j < kTilesN; ++j)
#pragma unroll
        for (int e = 0; e < 4; ++e) visit(m0 + 16 * i + e / 2 * 8, n0 + 8 * j + e % 2, acc[i][j][e]);
  }

 private:
  // Rows r ... r+15 and k ... k+kStep-1 of an operand as four 8 x 8 matrices of 16-bit (8 x 4 of 32-bit) elements. Of A
  // the second matrix is the lower half; of B (two column blocks of 8) the third is.
  template <int kRows, bool kTransposed, bool kColumnsFirst>
  FC_DEVICE static void load_fragment(uint32_t (&f)[4], const T* tile, int r, int k, int lane) {
    constexpr int kWide = kPerVector<T>;  // elements a matrix is wide
    const int half = lane / 8 % 2, quarter = lane / 16;
    const int down = kColumnsFirst ? quarter : half, right = kColumnsFirst ? half : quarter;
    if constexpr (!kTransposed) {
      ptx::load_matrix_x4(f, tile + SharedTile<T, kRows, kK>::at(r + lane % 8 + 8 * down, k / kWide + right));
    } else if constexpr (sizeof(T) == 2) {
      ptx::load_matrix_x4_transposed(f, tile + SharedTile<T, kK, kRows>::at(k + lane % 8 + 8 * right, r / 8 + down));
    } else {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int row = r + lane / 4 + 8 * (kColumnsFirst ? i / 2 : i % 2);
        const int at = k + lane % 4 + 4 * (kColumnsFirst ? i % 2 : i / 2);
        f[i] = __float_as_uint(tile[SharedTile<T, kK, kRows>::at(at, row / kWide) + row % kWide]);
      }
    }
    if constexpr (sizeof(T) == 4) {
#pragma unroll
      for (int i = 0; i < 4; ++i) f[i] = to_tf32(__uint_as_float(f[i]));
    }
  }
};

}  // namespace fastconv

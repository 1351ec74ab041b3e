// ldmatrix and mma.sync on one warp. Registers are taken from memory and put there as they are.
#pragma once

#include "cuda/ptx/matrix.cuh"

namespace fastconv::golden {

// x: 32 rows of 16 bytes; y: four registers a lane. Lane l gives the address of row 7 l mod 32.
template <bool transposed>
__global__ void load_matrices(const uint4* x, uint32_t* y) {
  FC_SHARED(uint4, rows, [32]);
  const int lane = int(threadIdx.x);
  rows[lane] = x[lane];
  __syncthreads();
  uint32_t r[4];
  if (transposed)
    ptx::load_matrix_x4_transposed(r, &rows[7 * lane % 32]);
  else
    ptx::load_matrix_x4(r, &rows[7 * lane % 32]);
  for (int i = 0; i < 4; ++i) y[4 * lane + i] = r[i];
}

struct F16 {
  FC_DEVICE static void apply(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
    ptx::mma_m16n8k16<Half>(d, a, b);
  }
};
struct BF16 {
  FC_DEVICE static void apply(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
    ptx::mma_m16n8k16<BFloat16>(d, a, b);
  }
};
struct TF32 {
  FC_DEVICE static void apply(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
    ptx::mma_m16n8k8_tf32(d, a, b);
  }
};

// One product a block: a (count, 32, 4), b (count, 32, 2), c and d (count, 32, 4): registers by lane.
template <class Instruction>
__global__ void multiply(const uint32_t* a, const uint32_t* b, const float* c, float* d) {
  const int at = int(blockIdx.x) * 32 + int(threadIdx.x);
  float sum[4];
  for (int i = 0; i < 4; ++i) sum[i] = c[4 * at + i];
  const uint32_t fa[4] = {a[4 * at], a[4 * at + 1], a[4 * at + 2], a[4 * at + 3]};
  const uint32_t fb[2] = {b[2 * at], b[2 * at + 1]};
  Instruction::apply(sum, fa, fb);
  for (int i = 0; i < 4; ++i) d[4 * at + i] = sum[i];
}

}  // namespace fastconv::golden

"""Running kernels of sm_90's instructions: a warp-specialised matrix product to be right, or wrong in one way."""

from __future__ import annotations

import numpy as np

from fastconv import _core
from fastconv.backends import simt
from fastconv.backends.cpu import DTYPE_CODE
from fastconv.backends.gpu import KernelSource

PRELUDE = """
#include "cuda/ptx/bulk_copy.cuh"
#include "cuda/ptx/cluster.cuh"
#include "cuda/ptx/matrix.cuh"
#include "cuda/ptx/barrier.cuh"
#include "cuda/ptx/warpgroup.cuh"
using namespace fastconv;
"""


def rows_map(array, box_rows, box_columns, swizzle=128):
    """A tiled map over a 2-D array."""
    rows, columns = array.shape
    described = _core.tensor_map_rows(
        DTYPE_CODE[array.dtype.name], rows, columns, array.strides[0] // array.itemsize, box_rows, box_columns, swizzle
    )
    return simt.encode(described, array)


def launch(folder, body, args, *, block=128, grid=1, cluster=1, shared=0, expression="kernel", **options):
    """Writes the source to a file, and runs its `kernel`."""
    path = folder / "kernel.cu"
    path.write_text(PRELUDE + body)
    with simt.options(**options):
        kernel = KernelSource(str(path), expression)
        simt.launch(kernel, (grid, 1, 1), (block, 1, 1), args, shared, cluster=(cluster, 1, 1))


def integers(shape, seed=0, dtype=np.float16):
    """Small integers: their products and sums are exact in float32."""
    return np.random.default_rng(seed).integers(-3, 4, shape).astype(dtype)


# One warpgroup multiplies what one warp has fetched: y (64 x N, float32) = A (64 x K) B^T (N x K).
PRODUCT = """
constexpr int kStages = 2, kK = 64, kN = N_COLUMNS;
constexpr int kStage = (64 + kN) * kK * 2;
__global__ void kernel(const __grid_constant__ ptx::TensorMap a, const __grid_constant__ ptx::TensorMap b, float* y,
                       int steps) {
  FC_DYNAMIC_SHARED(shared);
  FC_SHARED(uint64_t, full, [kStages]);
  FC_SHARED(uint64_t, empty, [kStages]);
  const int t = threadIdx.x;
  if (t == 0) {
    for (int i = 0; i < kStages; ++i) {
      ptx::mbarrier_init(&full[i], 1);
      ptx::mbarrier_init(&empty[i], 128);
    }
    ptx::fence_mbarrier_init();
  }
  __syncthreads();
  if (t >= 128) {
    if (t == 128)
      for (int i = 0; i < steps; ++i) {
        char* const stage = shared + i % kStages * kStage;
        ptx::mbarrier_wait(&empty[i % kStages], (i / kStages + 1) % 2);
        ptx::mbarrier_arrive_expect(&full[i % kStages], kStage);
        ptx::load_2d(stage, a, &full[i % kStages], i * kK, 0);
        ptx::load_2d(stage + 64 * kK * 2, b, &full[i % kStages], i * kK, 0);
      }
    return;
  }
  float d[kN / 2];
  for (int i = 0; i < steps; ++i) {
    const char* const stage = shared + i % kStages * kStage;
    ptx::mbarrier_wait(&full[i % kStages], i / kStages % 2);
    ptx::wgmma_fence();
    const uint64_t da = ptx::matrix_descriptor(stage), db = ptx::matrix_descriptor(stage + 64 * kK * 2);
    for (int k = 0; k < kK / 16; ++k)
      ptx::wgmma<Half, kN>(d, ptx::advance(da, 32 * k), ptx::advance(db, 32 * k), i + k > 0);
    ptx::wgmma_commit();
    ptx::wgmma_wait<0>();
    ptx::mbarrier_arrive(&empty[i % kStages]);
  }
  const int row = t / 32 * 16 + t % 32 / 4, column = t % 4 * 2;
  for (int i = 0; i < kN / 2; ++i) y[(row + i % 4 / 2 * 8) * kN + i / 4 * 8 + column + i % 2] = d[i];
}"""


def product(n):
    """PRODUCT for n columns."""
    return PRODUCT.replace("N_COLUMNS", str(n))


# Each of two blocks fetches half of B for both; a stage is free when the consumers of both have left it.
CLUSTER = """
constexpr int kStages = 2, kN = 32, kHalf = kN / 2 * 128, kStage = 64 * 128 + kN * 128;
__global__ void kernel(const __grid_constant__ ptx::TensorMap a, const __grid_constant__ ptx::TensorMap b, float* y,
                       int steps) {
  FC_DYNAMIC_SHARED(shared);
  FC_SHARED(uint64_t, full, [kStages]);
  FC_SHARED(uint64_t, empty, [kStages]);
  const int t = threadIdx.x, rank = int(ptx::cluster_rank());
  if (t == 0) {
    for (int i = 0; i < kStages; ++i) {
      ptx::mbarrier_init(&full[i], 1);
      ptx::mbarrier_init(&empty[i], 2);
    }
    ptx::fence_mbarrier_init();
  }
  ptx::cluster_arrive();
  ptx::cluster_wait();
  if (t >= 128) {
    if (t == 128)
      for (int i = 0; i < steps; ++i) {
        char* const stage = shared + i % kStages * kStage;
        uint64_t* const bar = &full[i % kStages];
        ptx::mbarrier_wait(&empty[i % kStages], (i / kStages + 1) % 2);
        ptx::mbarrier_arrive_expect(bar, kStage);
        ptx::load_2d(stage, a, bar, 64 * i, 64 * int(blockIdx.x));
        ptx::load_2d_multicast(stage + 64 * 128 + rank * kHalf, b, bar, 64 * i, rank * kN / 2, 3);
      }
  } else {
    float d[kN / 2];
    for (int i = 0; i < steps; ++i) {
      const char* const stage = shared + i % kStages * kStage;
      ptx::mbarrier_wait(&full[i % kStages], i / kStages % 2);
      ptx::wgmma_fence();
      for (int k = 0; k < 4; ++k)
        ptx::wgmma<Half, kN>(d, ptx::advance(ptx::matrix_descriptor(stage), 32 * k),
                             ptx::advance(ptx::matrix_descriptor(stage + 64 * 128), 32 * k), i + k > 0);
      ptx::wgmma_commit();
      ptx::wgmma_wait<0>();
      ptx::barrier_sync(1, 128);
      if (t < 2) ptx::mbarrier_arrive_at(&empty[i % kStages], t);
    }
    const int row = blockIdx.x * 64 + t / 32 * 16 + t % 32 / 4, column = t % 4 * 2;
    for (int i = 0; i < kN / 2; ++i) y[(row + i % 4 / 2 * 8) * kN + i / 4 * 8 + column + i % 2] = d[i];
  }
  ptx::cluster_arrive();
  ptx::cluster_wait();
}"""

# A swizzled tile written by stmatrix leaves by a bulk store, twice: the second time it is added.
STORE = """
__global__ void kernel(const __grid_constant__ ptx::TensorMap y, const Half* x) {
  FC_DYNAMIC_SHARED(shared);
  const int t = threadIdx.x, warp = t / 32, lane = t % 32;
  for (int j = 0; j < 4; ++j) {  // 16 rows and 16 columns at a time: matrices (0, 0), (8, 0), (0, 8), (8, 8)
    uint32_t r[4];
    for (int i = 0; i < 4; ++i) {
      const int row = 16 * warp + lane / 4 + i % 2 * 8, column = 16 * j + lane % 4 * 2 + i / 2 * 8;
      r[i] = *reinterpret_cast<const uint32_t*>(x + row * 64 + column);
    }
    const int row = 16 * warp + lane % 16, chunk = 2 * j + lane / 16;
    ptx::store_matrix_x4(shared + row * 128 + (chunk ^ row % 8) * 16, r);
  }
  ptx::fence_proxy_async();
  __syncthreads();
  if (t == 0) {
    ptx::store_2d(y, shared, 8, -3);
    ptx::store_commit();
    ptx::store_wait<0>();
    ptx::add_2d(y, shared, 8, -3);
    ptx::store_commit();
    ptx::store_wait_read<0>();
  }
}"""

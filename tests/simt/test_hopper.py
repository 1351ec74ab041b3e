"""Right kernels of sm_90's instructions: no report, and the right result, in every order of threads and copies."""

from __future__ import annotations

import numpy as np
import pytest

from fastconv.backends import simt

from .hopper import integers, launch, rows_map
from .running import VARIANTS

pytestmark = [
    pytest.mark.skipif(simt.available() is not None, reason=str(simt.available())),
    pytest.mark.parametrize(("order", "copies"), VARIANTS),
]


@pytest.fixture
def run(order, copies, tmp_path):
    """Runs a kernel in the order and with the copies of the test."""

    def run(body, args, **launched):
        launch(tmp_path, body, args, order=order, copies=copies, seed=11, **launched)

    return run


# One warpgroup multiplies what one warp has fetched: y (64 x N, float32) = A (64 x K) B^T (N x K).
PRODUCT = """
constexpr int kStages = 2, kK = 64, kN = %(n)d;
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
        char* const stage = shared + i %% kStages * kStage;
        ptx::mbarrier_wait(&empty[i %% kStages], (i / kStages + 1) %% 2);
        ptx::mbarrier_arrive_expect(&full[i %% kStages], kStage);
        ptx::load_2d(stage, a, &full[i %% kStages], i * kK, 0);
        ptx::load_2d(stage + 64 * kK * 2, b, &full[i %% kStages], i * kK, 0);
      }
    return;
  }
  float d[kN / 2];
  for (int i = 0; i < steps; ++i) {
    const char* const stage = shared + i %% kStages * kStage;
    ptx::mbarrier_wait(&full[i %% kStages], i / kStages %% 2);
    ptx::wgmma_fence();
    const uint64_t da = ptx::matrix_descriptor(stage), db = ptx::matrix_descriptor(stage + 64 * kK * 2);
    for (int k = 0; k < kK / 16; ++k)
      ptx::wgmma<%(type)s, kN>(d, ptx::advance(da, 32 * k), ptx::advance(db, 32 * k), i + k > 0);
    ptx::wgmma_commit();
    ptx::wgmma_wait<0>();
    ptx::mbarrier_arrive(&empty[i %% kStages]);
  }
  const int row = t / 32 * 16 + t %% 32 / 4, column = t %% 4 * 2;
  for (int i = 0; i < kN / 2; ++i) y[(row + i %% 4 / 2 * 8) * kN + i / 4 * 8 + column + i %% 2] = d[i];
}"""


@pytest.mark.parametrize("n", [8, 72])
def test_a_pipeline_of_bulk_copies_feeds_wgmma(run, n):
    a, b = integers((64, 192), 1), integers((n, 192), 2)
    y = np.zeros((64, n), np.float32)
    args = (rows_map(a, 64, 64), rows_map(b, n, 64), y, np.int32(3))
    run(PRODUCT % {"n": n, "type": "Half"}, args, block=160, shared=2 * (64 + n) * 128)
    np.testing.assert_array_equal(y, a.astype(np.float32) @ b.astype(np.float32).T)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_operands_with_rows_of_k(run, dtype):
    """MN-major: A as (K, 64), B as (K, N); each k16 step lies 16 rows of 128 bytes further on."""
    import ml_dtypes

    body = """
constexpr int kK = 32, kN = 128;
__global__ void kernel(const __grid_constant__ ptx::TensorMap a, const __grid_constant__ ptx::TensorMap b, float* y) {
  FC_DYNAMIC_SHARED(shared);
  FC_SHARED(uint64_t, full, [1]);
  const int t = threadIdx.x;
  if (t == 0) {
    ptx::mbarrier_init(full, 1);
    ptx::fence_mbarrier_init();
  }
  __syncthreads();
  if (t == 0) {
    ptx::mbarrier_arrive_expect(full, 3 * kK * 128);
    ptx::load_2d(shared, a, full, 0, 0);
    for (int i = 0; i < 2; ++i) ptx::load_2d(shared + (i + 1) * kK * 128, b, full, 64 * i, 0);
  }
  ptx::mbarrier_wait(full, 0);
  float d[kN / 2];
  ptx::wgmma_fence();
  for (int k = 0; k < kK / 16; ++k)
    ptx::wgmma<TYPE, kN, true, true>(d, ptx::matrix_descriptor(shared + k * 2048, kK * 128),
                                     ptx::matrix_descriptor(shared + kK * 128 + k * 2048, kK * 128), k > 0);
  ptx::wgmma_commit();
  ptx::wgmma_wait<0>();
  const int row = t / 32 * 16 + t % 32 / 4, column = t % 4 * 2;
  for (int i = 0; i < kN / 2; ++i) y[(row + i % 4 / 2 * 8) * kN + i / 4 * 8 + column + i % 2] = d[i];
}""".replace("TYPE", "Half" if dtype == "float16" else "BFloat16")
    storage = np.float16 if dtype == "float16" else ml_dtypes.bfloat16
    a, b = integers((32, 64), 1, storage), integers((32, 128), 2, storage)
    y = np.zeros((64, 128), np.float32)
    run(body, (rows_map(a, 32, 64), rows_map(b, 32, 64), y), shared=3 * 32 * 128)
    np.testing.assert_array_equal(y, a.astype(np.float32).T @ b.astype(np.float32))


def test_a_from_registers(run):
    body = """
__global__ void kernel(const __grid_constant__ ptx::TensorMap b, const Half* a, float* y) {
  FC_DYNAMIC_SHARED(shared);
  FC_SHARED(uint64_t, full, [1]);
  const int t = threadIdx.x, row = t / 32 * 16 + t % 32 / 4, column = t % 4 * 2;
  if (t == 0) {
    ptx::mbarrier_init(full, 1);
    ptx::fence_mbarrier_init();
    ptx::mbarrier_arrive_expect(full, 24 * 128);
    ptx::load_2d(shared, b, full, 0, 0);
  }
  __syncthreads();
  uint32_t r[4];
  for (int i = 0; i < 4; ++i) r[i] = *reinterpret_cast<const uint32_t*>(a + (row + i % 2 * 8) * 16 + column + i / 2 * 8);
  ptx::mbarrier_wait(full, 0);
  float d[12];
  for (int i = 0; i < 12; ++i) d[i] = 100;
  ptx::wgmma_fence();
  ptx::wgmma<Half, 24>(d, r, ptx::matrix_descriptor(shared), true);
  ptx::wgmma_commit();
  ptx::wgmma_wait<0>();
  for (int i = 0; i < 12; ++i) y[(row + i % 4 / 2 * 8) * 24 + i / 4 * 8 + column + i % 2] = d[i];
}"""
    a, b = integers((64, 16), 1), integers((24, 64), 2)
    y = np.zeros((64, 24), np.float32)
    run(body, (rows_map(b, 24, 64), a, y), shared=24 * 128)
    np.testing.assert_array_equal(y, a.astype(np.float32) @ b[:, :16].astype(np.float32).T + 100)


def test_stores_of_boxes_clip_and_add(run):
    """A swizzled tile written by stmatrix leaves by a bulk store; what lies outside the tensor is not written."""
    body = """
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
    x, y = integers((64, 64), 3), np.full((50, 64), 9, np.float16)
    run(body, (rows_map(y, 64, 64), x), shared=64 * 128)
    expected = np.full((50, 64), 9, np.float16)
    expected[:, 8:] = 2 * x[3:53, :56]
    np.testing.assert_array_equal(y, expected)


def test_a_cluster_multicasts_and_frees_stages_together(run):
    """Each of two blocks fetches half of B for both; a stage is free when the consumers of both have left it."""
    body = """
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
    a, b = integers((256, 192), 1), integers((32, 192), 2)
    y = np.zeros((256, 32), np.float32)
    args = (rows_map(a, 64, 64), rows_map(b, 16, 64), y, np.int32(3))
    run(body, args, block=160, grid=4, cluster=2, shared=2 * (64 + 32) * 128)
    np.testing.assert_array_equal(y, a.astype(np.float32) @ b.astype(np.float32).T)


def test_blocks_add_up_through_distributed_shared_memory(run):
    body = """
__global__ void kernel(const float* x, float* y) {
  FC_SHARED(float, s, [64]);
  s[threadIdx.x] = x[blockIdx.x * 64 + threadIdx.x];
  ptx::cluster_arrive();
  ptx::cluster_wait();
  if (ptx::cluster_rank() == 0) {
    float sum = 0;
    for (uint32_t rank = 0; rank < ptx::cluster_blocks(); ++rank) sum += ptx::map_shared(s, rank)[threadIdx.x];
    y[blockIdx.x / 4 * 64 + threadIdx.x] = sum;
  }
  ptx::cluster_arrive();
  ptx::cluster_wait();
}"""
    x, y = np.arange(512, dtype=np.float32), np.zeros((2, 64), np.float32)
    run(body, (x, y), block=64, grid=8, cluster=4)
    np.testing.assert_array_equal(y, x.reshape(2, 4, 64).sum(1))


def test_warps_share_registers_out(run):
    body = """
__global__ void kernel(float* y) {
  if (threadIdx.x < 128) {
    ptx::give_registers_back<40>();
  } else {
    ptx::take_registers<232>();
    y[threadIdx.x - 128] = 1;
  }
  if (ptx::elect()) y[256 + threadIdx.x / 32] = 2;
}"""
    y = np.zeros(268, np.float32)
    run(body, (y,), block=384)
    np.testing.assert_array_equal(y, [1] * 256 + [2] * 12)

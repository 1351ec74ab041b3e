"""Right kernels of sm_90's instructions: no report, and the right result, in every order of threads and copies."""

from __future__ import annotations

import numpy as np
import pytest

from fastconv.backends import simt

from .hopper import CLUSTER, STORE, integers, launch, product, rows_map
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


@pytest.mark.parametrize("n", [8, 72])
def test_a_pipeline_of_bulk_copies_feeds_wgmma(run, n):
    a, b = integers((64, 192), 1), integers((n, 192), 2)
    y = np.zeros((64, n), np.float32)
    args = (rows_map(a, 64, 64), rows_map(b, n, 64), y, np.int32(3))
    run(product(n), args, block=160, shared=2 * (64 + n) * 128)
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
    x, y = integers((64, 64), 3), np.full((50, 64), 9, np.float16)
    run(STORE, (rows_map(y, 64, 64), x), shared=64 * 128)
    expected = np.full((50, 64), 9, np.float16)
    expected[:, 8:] = 2 * x[3:53, :56]
    np.testing.assert_array_equal(y, expected)


def test_a_cluster_multicasts_and_frees_stages_together(run):
    """Each of two blocks fetches half of B for both; a stage is free when the consumers of both have left it."""
    a, b = integers((256, 192), 1), integers((32, 192), 2)
    y = np.zeros((256, 32), np.float32)
    args = (rows_map(a, 64, 64), rows_map(b, 16, 64), y, np.int32(3))
    run(CLUSTER, args, block=160, grid=4, cluster=2, shared=2 * (64 + 32) * 128)
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

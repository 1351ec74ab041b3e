"""Right kernels: no report, and the right result, in every order of threads and copies."""

from __future__ import annotations

import numpy as np
import pytest

from fastconv.backends import simt

from .running import VARIANTS, launch, numbers

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


def test_a_block_sums_by_halving(run):
    body = """__global__ void kernel(const float* x, float* y) {
  FC_SHARED(float, s, [256]);
  const int t = threadIdx.x;
  s[t] = x[blockIdx.x * 256 + t];
  for (int half = 128; half > 0; half /= 2) {
    __syncthreads();
    if (t < half) s[t] += s[t + half];
  }
  if (t == 0) y[blockIdx.x] = s[0];
}"""
    x, y = numbers(768), np.zeros(3, np.float32)
    run(body, (x, y), block=256, grid=3)
    np.testing.assert_array_equal(y, x.reshape(3, 256).sum(1))


def test_a_warp_sums_by_shuffles(run):
    body = """__global__ void kernel(const float* x, float* y) {
  float v = x[threadIdx.x];
  for (int lanes = 16; lanes > 0; lanes /= 2) v += __shfl_xor_sync(~0u, v, lanes);
  y[threadIdx.x] = v;
}"""
    x, y = numbers(96), np.zeros(96, np.float32)
    run(body, (x, y), block=96)
    np.testing.assert_array_equal(y, x.reshape(3, 32).sum(1).repeat(32))


def test_shuffles_votes_and_reductions_are_those_of_the_manual(run):
    body = """__global__ void kernel(int* y) {
  const int t = threadIdx.x;
  int* out = y + 10 * t;
  out[0] = __shfl_up_sync(~0u, t, 3);
  out[1] = __shfl_down_sync(~0u, t, 3);
  out[2] = __shfl_sync(~0u, t, 5, 8);
  out[3] = __shfl_up_sync(~0u, t, 3, 8);
  out[4] = int(__ballot_sync(~0u, t % 3 == 0));
  out[5] = __any_sync(~0u, t == 31) + 2 * __all_sync(~0u, t < 31);
  out[6] = __reduce_add_sync(~0u, t);
  out[7] = __reduce_min_sync(~0u, t - 20);
  out[8] = t < 16 ? __shfl_xor_sync(0xffffu, t, 1) : __shfl_xor_sync(0xffff0000u, t, 2);
  out[9] = int(__reduce_max_sync(~0u, unsigned(t)));
}"""
    y = np.zeros((32, 10), np.int32)
    run(body, (y,), block=32)
    t = np.arange(32)
    ballot = np.int32(np.uint32(sum(1 << int(i) for i in t if i % 3 == 0)))
    expected = [
        np.where(t >= 3, t - 3, t),
        np.where(t <= 28, t + 3, t),
        t // 8 * 8 + 5,
        np.where(t % 8 >= 3, t - 3, t),
        np.full(32, ballot),
        np.full(32, 1),
        np.full(32, t.sum()),
        np.full(32, -20),
        np.where(t < 16, t ^ 1, t ^ 2),
        np.full(32, 31),
    ]
    np.testing.assert_array_equal(y.T, expected)


def test_lanes_exchange_through_shared_memory_with_syncwarp(run):
    body = """__global__ void kernel(const float* x, float* y) {
  FC_SHARED(float, s, [64]);
  const int t = threadIdx.x;
  for (int i = 0; i < 3; ++i) {
    s[t] = x[t] + i;
    __syncwarp();
    y[64 * i + t] = s[t ^ 7];
    __syncwarp();
  }
}"""
    x, y = numbers(), np.zeros((3, 64), np.float32)
    run(body, (x, y))
    np.testing.assert_array_equal(y, x[np.arange(64) ^ 7] + np.arange(3, dtype=np.float32)[:, None])


def test_one_warp_produces_what_another_consumes(run):
    body = """__global__ void kernel(const float* x, float* y) {
  FC_SHARED(float, s, [32]);
  const int lane = threadIdx.x % 32;
  for (int i = 0; i < 4; ++i) {
    if (threadIdx.x < 32) {
      ptx::barrier_sync(2, 64);  // the slot is free
      s[lane] = x[32 * i + lane];
      ptx::barrier_arrive(1, 64);  // and now full
    } else {
      ptx::barrier_arrive(2, 64);
      ptx::barrier_sync(1, 64);
      y[32 * i + lane] = 2 * s[31 - lane];
    }
  }
}"""
    x, y = numbers(128), np.zeros(128, np.float32)
    run(body, (x, y))
    np.testing.assert_array_equal(y.reshape(4, 32), 2 * x.reshape(4, 32)[:, ::-1])


def test_stages_of_asynchronous_copies(run):
    """Three stages under way; the copy of a tail fills up with zeros."""
    body = """__global__ void kernel(const float* x, float* y, int n) {
  FC_SHARED(float, s, [3][64]);
  const int t = threadIdx.x, steps = (n + 63) / 64;
  float sum = 0;
  for (int i = 0; i < steps + 2; ++i) {
    if (i >= 2) {
      ptx::copy_async_wait<1>();
      __syncthreads();
      sum += s[i % 3 == 2 ? 0 : i % 3 + 1][63 - t];
    }
    if (i < steps && t < 16) {
      const int left = min(max(n - 64 * i - 4 * t, 0), 4);
      ptx::copy_async_16(&s[i % 3][4 * t], left ? x + 64 * i + 4 * t : x, 4 * left);
    }
    ptx::copy_async_commit();
  }
  y[t] = sum;
}"""
    x, y = numbers(250), np.zeros(64, np.float32)
    run(body, (x, y, np.int32(250)))
    np.testing.assert_array_equal(y, np.pad(x, (0, 6)).reshape(4, 64)[:, ::-1].sum(0))


def test_atomics_of_all_blocks_add_up(run):
    body = """__global__ void kernel(const int* x, int* y) {
  FC_SHARED(int, count, [4]);
  if (threadIdx.x < 4) count[threadIdx.x] = 0;
  __syncthreads();
  atomicAdd(&count[x[blockIdx.x * 64 + threadIdx.x]], 1);
  __syncthreads();
  if (threadIdx.x < 4) atomicAdd(y + threadIdx.x, count[threadIdx.x]);
  atomicMax(y + 4, int(threadIdx.x));
  if (threadIdx.x == 0) atomicCAS(y + 5, 0, 7);
}"""
    x = np.random.default_rng(0).integers(0, 4, 256).astype(np.int32)
    y = np.zeros(6, np.int32)
    run(body, (x, y), grid=4)
    np.testing.assert_array_equal(y, [*np.bincount(x, minlength=4), 63, 7])


def test_block_wide_votes(run):
    body = """__global__ void kernel(int* y) {
  const int t = threadIdx.x;
  const int count = __syncthreads_count(t % 3 == 0);
  const int any = __syncthreads_or(t == 63), all = __syncthreads_and(t < 63);
  y[t] = count + 100 * any + 1000 * all;
}"""
    y = np.zeros(64, np.int32)
    run(body, (y,))
    np.testing.assert_array_equal(y, 122)


def test_dynamic_and_static_shared_memory_together(run):
    body = """template <int kRows>
__global__ void kernel(const float* x, float* y) {
  FC_DYNAMIC_SHARED(raw);
  FC_SHARED(float, rows, [kRows][16]);
  float* all = reinterpret_cast<float*>(raw);
  const int t = threadIdx.x;
  all[t] = x[t];
  rows[t / 16][t % 16] = 2 * x[t];
  __syncthreads();
  y[t] = all[63 - t] + rows[t % 4][t / 4];
}"""
    x, y = numbers(), np.zeros(64, np.float32)
    run(body, (x, y), shared=256, expression="kernel<4>")
    t = np.arange(64)
    np.testing.assert_array_equal(y, x[63 - t] + 2 * x[t % 4 * 16 + t // 4])


# ------------------------------------------------------------------------------------------------ matrices

PRODUCT = """
// y (16 x 8) = a (16 x 16) b^T (8 x 16), or with both operands transposed in memory.
template <class T, bool kTransposed>
__global__ void kernel(const T* a, const T* b, float* y) {
  FC_SHARED(T, sa, [16 * 16]);
  FC_SHARED(T, sb, [16 * 16]);
  const int lane = threadIdx.x;
  for (int i = lane; i < 256; i += 32) {
    const int row = i / 16, k = i % 16, at = kTransposed ? k * 16 + row : i;
    sa[at] = a[i];
    sb[at] = row < 8 ? b[i] : T{};
  }
  __syncwarp();
  uint32_t fa[4], both[4];
  const int down = lane % 8, half = lane / 8 % 2, quarter = lane / 16;
  if (kTransposed) {
    ptx::load_matrix_x4_transposed(fa, sa + (down + 8 * quarter) * 16 + 8 * half);
    ptx::load_matrix_x4_transposed(both, sb + (down + 8 * half) * 16 + 8 * quarter);
  } else {
    ptx::load_matrix_x4(fa, sa + (down + 8 * half) * 16 + 8 * quarter);
    ptx::load_matrix_x4(both, sb + (down + 8 * quarter) * 16 + 8 * half);
  }
  const uint32_t fb[2] = {both[0], both[1]};
  float d[4] = {};
  ptx::mma_m16n8k16<T>(d, fa, fb);
  for (int i = 0; i < 4; ++i) y[(lane / 4 + 8 * (i / 2)) * 8 + lane % 4 * 2 + i % 2] = d[i];
}
"""


@pytest.mark.parametrize("transposed", ["false", "true"])
def test_a_matrix_product_of_one_warp(run, transposed):
    rng = np.random.default_rng(3)
    a, b = (rng.integers(-8, 9, (rows, 16)).astype(np.float16) for rows in (16, 8))
    y = np.zeros((16, 8), np.float32)
    run(PRODUCT, (a, b, y), block=32, expression=f"kernel<Half, {transposed}>")
    np.testing.assert_array_equal(y, a.astype(np.float32) @ b.astype(np.float32).T)

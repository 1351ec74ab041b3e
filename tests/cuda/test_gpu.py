"""Compiling, loading and launching on a GPU: what the fake driver cannot know."""

from __future__ import annotations

import numpy as np
import pytest

import fastconv as fc
from fastconv import _core
from fastconv.backends import cuda
from fastconv.backends.gpu.source import KernelSource

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(cuda.available() is not None, reason=f"CUDA cannot be used: {cuda.available()}"),
]

SOURCE = """
#include "integers.h"
struct Three { int a, b, c; };
struct alignas(64) Map { char bytes[128]; };

__global__ void arguments(double* out, const float* x, int n, double scale, Three three) {
  extern __shared__ double staged[];
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  staged[threadIdx.x] = i < n ? (x ? x[i] : 0) * scale + three.a + 10 * three.b + 100 * three.c : 0;
  __syncthreads();
  if (i < n) out[i] = staged[threadIdx.x];
}
__global__ void ranks(int* out) {
  unsigned rank, size;
  asm("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
  asm("mov.u32 %0, %%cluster_nctarank;" : "=r"(size));
  if (threadIdx.x == 0) out[blockIdx.x] = int(10 * size + rank);
}
__global__ void wait_then_add(int* x) {
  asm volatile("griddepcontrol.wait;" ::: "memory");
  atomicAdd(x, 1);
  asm volatile("griddepcontrol.launch_dependents;");
}
__global__ void tiled(float* out, const __grid_constant__ Map map, int column, int row, int bytes) {
  extern __shared__ __align__(1024) float box[];
  __shared__ uint64_t barrier;
  unsigned to = unsigned(__cvta_generic_to_shared(box)), bar = unsigned(__cvta_generic_to_shared(&barrier));
  if (threadIdx.x == 0) {
    asm volatile("mbarrier.init.shared::cta.b64 [%0], 1;" ::"r"(bar));
    asm volatile("fence.proxy.async.shared::cta;");
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(bar), "r"(bytes));
    asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4}], [%2];"
      ::"r"(to), "l"(&map), "r"(bar), "r"(column), "r"(row) : "memory");
  }
  __syncthreads();
  asm volatile("{ .reg .pred p; again: mbarrier.try_wait.parity.shared::cta.b64 p, [%0], 0; @!p bra again; }" ::"r"(bar) : "memory");
  for (int i = threadIdx.x; i < bytes / 4; i += blockDim.x) out[i] = box[i];
}
__global__ void im2col(float* out, const __grid_constant__ Map map, int w, int h, int n, int offset_w, int offset_h, int bytes) {
  extern __shared__ __align__(1024) float box[];
  __shared__ uint64_t barrier;
  unsigned to = unsigned(__cvta_generic_to_shared(box)), bar = unsigned(__cvta_generic_to_shared(&barrier));
  if (threadIdx.x == 0) {
    asm volatile("mbarrier.init.shared::cta.b64 [%0], 1;" ::"r"(bar));
    asm volatile("fence.proxy.async.shared::cta;");
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(bar), "r"(bytes));
    asm volatile("cp.async.bulk.tensor.4d.shared::cluster.global.im2col.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4, %5, %6}], [%2], {%7, %8};"
      ::"r"(to), "l"(&map), "r"(bar), "r"(0), "r"(w), "r"(h), "r"(n), "h"(short(offset_w)), "h"(short(offset_h)) : "memory");
  }
  __syncthreads();
  asm volatile("{ .reg .pred p; again: mbarrier.try_wait.parity.shared::cta.b64 p, [%0], 0; @!p bra again; }" ::"r"(bar) : "memory");
  for (int i = threadIdx.x; i < bytes / 4; i += blockDim.x) out[i] = box[i];
}
"""


@pytest.fixture(scope="module")
def cupy():
    return pytest.importorskip("cupy")


@pytest.fixture
def kernel(cupy, tmp_path, monkeypatch):
    """Makes a kernel of SOURCE; before Hopper only the first is compiled."""
    monkeypatch.setenv("FASTCONV_CACHE_DIR", str(tmp_path))
    hopper = int(cupy.cuda.Device().compute_capability) >= 90
    probe = tmp_path / "probe.cuh"
    probe.write_text(SOURCE if hopper else SOURCE[: SOURCE.index("__global__ void ranks")])

    def make(name, needs_hopper=False):
        if needs_hopper and not hopper:
            pytest.skip("needs compute capability 9.0")
        cuda.load.cache_clear()
        return KernelSource(str(probe), name)

    yield make
    cuda.load.cache_clear()


THREE = np.array([1, 2, 3], np.int32).tobytes()


def test_arguments_arrive(cupy, kernel):
    probe = kernel("arguments")
    x, out = cupy.arange(1000, dtype="float32"), cuda.empty((1000,), "float64")
    arguments = (out, x, np.int32(1000), np.float64(0.5), THREE)
    cuda.launch(probe, (8, 1, 1), (128, 1, 1), arguments, shared_bytes=1024)
    assert (out.get() == np.arange(1000) * 0.5 + 321).all()
    cuda.launch(probe, (8, 1, 1), (128, 1, 1), (out, None, *arguments[2:]), shared_bytes=1024)
    assert (out.get() == 321).all()


def test_the_function_knows_its_resources(kernel):
    function = cuda.load(kernel("arguments"), 0)
    assert function.registers > 0 and function.local_bytes == 0 and function.max_threads == 1024
    assert function.max_dynamic_shared_bytes > 48 * 1024
    assert function.parameter_sizes in ([8, 8, 4, 8, 12], [])


def test_all_shared_memory_can_be_used(cupy, kernel):
    probe, out = kernel("arguments"), cuda.empty((8,), "float64")
    most = cuda.load(probe, 0).max_dynamic_shared_bytes
    arguments = (out, None, np.int32(8), np.float64(1), THREE)
    cuda.launch(probe, (1, 1, 1), (32, 1, 1), arguments, shared_bytes=most)
    assert (out.get() == 321).all()
    with pytest.raises(fc.DeviceError, match=r"arguments.*CUDA_ERROR_INVALID_VALUE"):
        cuda.launch(probe, (1, 1, 1), (32, 1, 1), arguments, shared_bytes=most + 16)


def test_a_graph_records_a_launch(cupy, kernel):
    probe, out = kernel("arguments"), cupy.zeros(8)
    arguments = (out, None, np.int32(8), np.float64(1), THREE)
    stream = cupy.cuda.Stream(non_blocking=True)
    with stream:
        stream.begin_capture()
        cuda.launch(probe, (1, 1, 1), (32, 1, 1), arguments, shared_bytes=256)  # loads the kernel, too
        graph = stream.end_capture()
    assert (out.get() == 0).all()
    graph.launch(stream)
    stream.synchronize()
    assert (out.get() == 321).all()


def test_clusters(cupy, kernel):
    probe, out = kernel("ranks", needs_hopper=True), cuda.empty((8,), "int32")
    cuda.launch(probe, (8, 1, 1), (32, 1, 1), (out,), cluster=(4, 1, 1))
    assert out.get().tolist() == [40, 41, 42, 43] * 2
    with pytest.raises(fc.DeviceError, match="ranks"):
        cuda.launch(probe, (8, 1, 1), (32, 1, 1), (out,), cluster=(3, 1, 1))


def test_programmatic_launches_keep_their_order(cupy, kernel):
    probe, x = kernel("wait_then_add", needs_hopper=True), cupy.zeros(1, "int32")
    for _ in range(100):
        cuda.launch(probe, (4, 1, 1), (32, 1, 1), (x,), programmatic=True)
    assert x.get()[0] == 100 * 4 * 32


@pytest.mark.parametrize("rows", [40, 4000])  # below and above the size that old drivers encode wrongly
def test_a_tiled_map(cupy, kernel, rows):
    probe = kernel("tiled", needs_hopper=True)
    x = cupy.arange(rows * 16, dtype="float32").reshape(rows, 16)
    tensor_map = cuda.encode(_core.tensor_map_rows(0, rows, 12, 16, 8, 16, 0), x)
    out = cuda.empty((8, 16), "float32")
    arguments = (out, tensor_map, np.int32(0), np.int32(rows - 5), np.int32(out.nbytes))
    cuda.launch(probe, (1, 1, 1), (32, 1, 1), arguments, shared_bytes=4096)
    expected = np.zeros((8, 16), "float32")
    expected[:5, :12] = x.get()[-5:, :12]
    assert (out.get() == expected).all()


@pytest.mark.parametrize("width", [11, 300])
def test_an_im2col_map(cupy, kernel, width):
    """A filter of 2 x 5 with other strides, dilations and paddings for rows than for columns."""
    probe = kernel("im2col", needs_hopper=True)
    f = {"n": 3, "c": 8, "h": 9, "w": width, "k": 8, "r": 2, "s": 5, "groups": 1}
    f |= {"stride_h": 2, "stride_w": 1, "pad_top": 1, "pad_left": 2, "dilation_h": 2, "dilation_w": 1}
    f |= {"p": 5, "q": width}
    x = cupy.arange(1, 3 * 9 * width * 8 + 1, dtype="float32").reshape(3, 9, width, 8)
    tensor_map = cuda.encode(_core.tensor_map_input(_core.ConvProblem(**f), 0, 8, 64, 0), x)
    padded = np.pad(x.get(), ((0, 1), (4, 4), (8, 8), (0, 0)))
    out = cuda.empty((64, 8), "float32")
    first = 2 * 5 * width - 30
    n, p, q = np.unravel_index(np.arange(first, first + 64), (4, 5, width))
    start = [np.int32(value) for value in (q[0] - 2, 2 * p[0] - 1, n[0])]
    for r in range(2):
        for s in range(5):
            arguments = (out, tensor_map, *start, np.int32(s), np.int32(2 * r), np.int32(out.nbytes))
            cuda.launch(probe, (1, 1, 1), (32, 1, 1), arguments, shared_bytes=4096)
            assert (out.get() == padded[n, 2 * p - 1 + 2 * r + 4, q - 2 + s + 8]).all(), (r, s)

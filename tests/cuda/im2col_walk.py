"""Im2col tiles as a kernel in the executor loads them, against the definition of a convolution; also a command:

python -m tests.cuda.im2col_walk input 17
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np

from fastconv import _core
from fastconv.backends import simt
from fastconv.backends.gpu import KernelSource

from .random_problems import random_problems

FLOAT16, CHANNELS, PIXELS = 1, 64, 64

# One tile a tap, taken out of the swizzle: y (taps, 64 pixels, 64 channels).
SOURCE = """
#include "cuda/ptx/bulk_copy.cuh"
using namespace fastconv;
__global__ void walk(const __grid_constant__ ptx::TensorMap x, uint16_t* y, int c, int w, int h, int n, int rows,
                     int columns, int dilation_h, int dilation_w) {
  FC_DYNAMIC_SHARED(shared);
  FC_SHARED(uint64_t, full, [1]);
  const int t = int(threadIdx.x);
  if (t == 0) {
    ptx::mbarrier_init(full, 1);
    ptx::fence_mbarrier_init();
  }
  __syncthreads();
  for (int tap = 0; tap < rows * columns; ++tap) {
    if (t == 0) {
      ptx::mbarrier_arrive_expect(full, 64 * 128);
      ptx::load_im2col(shared, x, full, c, w, h, n, uint16_t(tap % columns * dilation_w),
                       uint16_t(tap / columns * dilation_h));
    }
    ptx::mbarrier_wait(full, tap % 2);
    for (int chunk = 0; chunk < 8; ++chunk)
      for (int i = 0; i < 8; ++i)
        y[(tap * 64 + t) * 64 + chunk * 8 + i] =
            *reinterpret_cast<const uint16_t*>(shared + t * 128 + (chunk ^ t % 8) * 16 + i * 2);
    __syncthreads();
  }
}
"""


def kernel(folder: Path) -> KernelSource:
    """The kernel, in a file of its own."""
    path = folder / "walk.cu"
    path.write_text(SOURCE)
    return KernelSource(str(path), "walk")


def dump(walk, tensor_map, tensor, start, taps, dilation):
    """(R, S, pixels, channels): what the tile from a start (c, w, h, n) on holds under each tap."""
    y = np.full((*taps, PIXELS, CHANNELS), 0x7777, np.uint16)
    numbers = [np.int32(value) for value in (*start, *taps, *dilation)]
    simt.launch(walk, (1, 1, 1), (PIXELS, 1, 1), (simt.encode(tensor_map, tensor), y, *numbers), PIXELS * 128)
    return y.view(np.float16)


def tile_of(values, at):
    """values[n, h, w] for index arrays, zeros outside, channels padded to a tile's."""
    n, h, w = at
    images, height, width, channels = values.shape
    inside = (n < images) & (h >= 0) & (h < height) & (w >= 0) & (w < width)
    picked = values[np.minimum(n, images - 1), h.clip(0, height - 1), w.clip(0, width - 1)]
    padded = np.zeros((len(n), CHANNELS), np.float16)
    padded[:, : min(channels, CHANNELS)] = np.where(inside[:, None], picked, 0)[:, :CHANNELS]
    return padded


def one_problem(seed):
    """(problem, its fields, a generator) of a seed."""
    ((problem, f),) = random_problems(1, seed, 3, 136)
    return problem, f, np.random.default_rng(seed)


def check_input(walk, seed):
    """x under the taps of a convolution: pixel (p stride - pad + r dilation, ...)."""
    problem, f, rng = one_problem(seed)
    x = rng.integers(1, 2000, (f["n"], f["h"], f["w"], f["c"])).astype(np.float16)
    outputs = (f["n"], f["p"], f["q"])
    first, c = int(rng.integers(np.prod(outputs))), int(rng.integers(-(-f["c"] // CHANNELS))) * CHANNELS
    n, p, q = np.unravel_index(first, outputs)
    start = (c, q * f["stride_w"] - f["pad_left"], p * f["stride_h"] - f["pad_top"], n)
    tensor_map = _core.tensor_map_input(problem, FLOAT16, CHANNELS, PIXELS, 128)
    taps, dilation = (f["r"], f["s"]), (f["dilation_h"], f["dilation_w"])
    got = dump(walk, tensor_map, x, start, taps, dilation)
    # One image more: pixels past the last.
    n, p, q = np.unravel_index(np.arange(first, first + PIXELS), (f["n"] + PIXELS, f["p"], f["q"]))
    for r, s in np.ndindex(taps):
        h = p * f["stride_h"] - f["pad_top"] + r * dilation[0]
        w = q * f["stride_w"] - f["pad_left"] + s * dilation[1]
        expected = tile_of(x[..., c:], (n, h, w))
        assert np.array_equal(got[r, s], expected), f"tap {r, s} of {f}: python -m tests.cuda.im2col_walk input {seed}"


def gradient_axes(f, phase):
    """GradientAxis of rows and of columns."""
    return [
        _core.gradient_axis(f[x], f[y], f[r], f[f"stride_{x}"], f[pad], f[f"dilation_{x}"], at)
        for x, y, r, pad, at in (("h", "p", "r", "pad_top", phase[0]), ("w", "q", "s", "pad_left", phase[1]))
    ]


def sources(f, axis, x, pad, phase, i, j):
    """Where dy lies that filter row first + step j gives to rows `i` of a phase of dx; -1: nowhere."""
    at = phase + f[f"stride_{x}"] * i + f[pad] - (axis.first + axis.step * j) * f[f"dilation_{x}"]
    assert (at % f[f"stride_{x}"] == 0).all()
    return at // f[f"stride_{x}"]


def check_gradient(walk, seed):
    """dy under the taps of each phase of the gradient with respect to x."""
    problem, f, rng = one_problem(seed)
    dy = rng.integers(1, 2000, (f["n"], f["p"], f["q"], f["k"])).astype(np.float16)
    for phase in np.ndindex(f["stride_h"], f["stride_w"]):
        rows, columns = gradient_axes(f, phase)
        if not (rows.extent and columns.extent and rows.taps and columns.taps):
            continue
        grid = (f["n"], rows.extent, columns.extent)
        first = int(rng.integers(np.prod(grid)))
        n, i, j = np.unravel_index(first, grid)
        tensor_map = _core.tensor_map_gradient(problem, FLOAT16, rows, columns, CHANNELS, PIXELS, 128)
        start = (0, columns.lower + j, rows.lower + i, n)
        taps = (rows.taps, columns.taps)
        got = dump(walk, tensor_map, dy, start, taps, (rows.dilation, columns.dilation))
        n, i, j = np.unravel_index(np.arange(first, first + PIXELS), (f["n"] + PIXELS, *grid[1:]))
        for r, s in np.ndindex(taps):
            h = sources(f, rows, "h", "pad_top", phase[0], i, rows.taps - 1 - r)
            w = sources(f, columns, "w", "pad_left", phase[1], j, columns.taps - 1 - s)
            expected = tile_of(dy, (n, h, w))
            assert np.array_equal(got[r, s], expected), (
                f"phase {phase}, tap {r, s} of {f}: python -m tests.cuda.im2col_walk gradient {seed}"
            )


CHECKS = {"input": check_input, "gradient": check_gradient}

if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        CHECKS[sys.argv[1]](kernel(Path(made)), int(sys.argv[2]))

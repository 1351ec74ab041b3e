"""Pooling and its gradients: one kernel for windows of every kind, which are given as tables."""

from __future__ import annotations

import struct
from functools import lru_cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..registry import Kernel, register
from .device import CPP_TYPE, Device, blocks, vector_width
from .source import KernelSource

Table = NDArray[np.int32]

_THREADS = 256
_WIDE_PACKS, _WIDE_ROWS = 32, 8  # of a block of wide_avg_pool
_WIDE_WINDOW = 32  # pixels from which a window is worth several threads: 4 to 8 of them read 4 pixels or more each
# Storage types, each with the elements that are moved as one: those in 16 bytes, or one.
WIDTHS = [
    (dtype, width)
    for dtype, most in (("float32", 4), ("float16", 8), ("bfloat16", 8), ("float64", 2))
    for width in (most, 1)
]


def _max_pool(dtype: str, width: int, with_indices: bool) -> KernelSource:
    arguments = f"{CPP_TYPE[dtype]}, {width}, {str(with_indices).lower()}"
    return KernelSource("pool/pool.cuh", f"fastconv::max_pool<{arguments}>")


def _avg_pool(dtype: str, width: int) -> KernelSource:
    return KernelSource("pool/pool.cuh", f"fastconv::avg_pool<{CPP_TYPE[dtype]}, {width}>")


def _wide_avg_pool(dtype: str, width: int) -> KernelSource:
    return KernelSource("pool/wide_avg_pool.cuh", f"fastconv::wide_avg_pool<{CPP_TYPE[dtype]}, {width}>")


def _max_pool_grad(dtype: str, width: int) -> KernelSource:
    return KernelSource("pool/pool_grad.cuh", f"fastconv::max_pool_grad<{CPP_TYPE[dtype]}, {width}>")


def _avg_pool_grad(dtype: str, width: int) -> KernelSource:
    return KernelSource("pool/pool_grad.cuh", f"fastconv::avg_pool_grad<{CPP_TYPE[dtype]}, {width}>")


def threads_over(columns: int, packs: int) -> tuple[int, int]:
    """Threads of a block along the channels and along a row of pixels: most of 256, few of them idle.

    >>> threads_over(56, 16), threads_over(112, 3), threads_over(1, 300)
    ((16, 16), (3, 85), (150, 1))
    """
    across = blocks(packs, blocks(packs, _THREADS))
    return across, min(columns, _THREADS // across)


@lru_cache(maxsize=256)
def _window_tables(problem: Any) -> Table:
    rows, cols = problem.windows
    return np.concatenate([*rows, *cols])


@lru_cache(maxsize=256)
def _holder_tables(problem: Any) -> Table:
    rows, cols = problem.windows
    row_holders, col_holders = problem.holders
    return np.concatenate([*row_holders, *col_holders, rows[2], cols[2]])


def _shape(problem: Any, blocks_w: int, blocks_c: int) -> bytes:
    """PoolShape of placement.cuh."""
    _, _, p, q = problem.y_shape
    return struct.pack("<q8i", problem.c, problem.h, problem.w, p, q, *problem.dilation, blocks_w, blocks_c)


def launch_over_pixels(
    device: Device, kernel: KernelSource, problem: Any, width: int, over: tuple[int, int], arrays: tuple[Any, ...]
) -> None:
    """Threads over an image side of (rows, columns) pixels; `arrays` are the kernel's, tables included."""
    rows, columns = over
    packs = problem.c // width
    across, down = threads_over(columns, packs)
    blocks_w, blocks_c = blocks(columns, down), blocks(packs, across)
    shape = _shape(problem, blocks_w, blocks_c)
    device.launch(kernel, (problem.n * rows * blocks_w * blocks_c, 1, 1), (across, down, 1), (*arrays, shape))


def _run_max(device: Device, problem: Any, x: Any, y: Any, indices: Any) -> None:
    if y.size:
        width = vector_width(x.dtype.itemsize, problem.c, x, y, indices)
        kernel = _max_pool(problem.dtype, width, indices is not None)
        tables = device.constant(_window_tables(problem))
        launch_over_pixels(device, kernel, problem, width, problem.y_shape[2:], (x, y, indices, tables))


def _run_avg(device: Device, problem: Any, x: Any, y: Any, indices: None) -> None:
    if y.size:
        width = vector_width(x.dtype.itemsize, problem.c, x, y)
        tables = device.constant(_window_tables(problem))
        launch_over_pixels(device, _avg_pool(problem.dtype, width), problem, width, problem.y_shape[2:], (x, y, tables))


def _run_wide_avg(device: Device, problem: Any, x: Any, y: Any, indices: None) -> None:
    if y.size:
        width = vector_width(x.dtype.itemsize, problem.c, x, y)
        blocks_c = blocks(problem.c // width, _WIDE_PACKS)
        arguments = (x, y, device.constant(_window_tables(problem)), _shape(problem, 1, blocks_c))
        grid = (y.size // problem.c * blocks_c, 1, 1)
        device.launch(_wide_avg_pool(problem.dtype, width), grid, (_WIDE_PACKS * _WIDE_ROWS, 1, 1), arguments)


def _too_small(problem: Any) -> str | None:
    """Why wide_avg_pool does not take a problem: a rule of the window, not of the batch."""
    rows, cols = problem.windows
    height, width = int((rows[1] - rows[0]).max()), int((cols[1] - cols[0]).max())
    if height < _WIDE_ROWS // 2 or height * width < _WIDE_WINDOW:
        return f"windows of {height} x {width}: takes at least {_WIDE_ROWS // 2} rows and {_WIDE_WINDOW} pixels"
    return None


def _run_max_grad(device: Device, problem: Any, grad: Any, indices: Any, gx: Any) -> None:
    if gx.size:
        width = vector_width(grad.dtype.itemsize, problem.c, grad, indices, gx)
        arrays = (grad, indices, gx, device.constant(_holder_tables(problem)))
        launch_over_pixels(device, _max_pool_grad(problem.dtype, width), problem, width, (problem.h, problem.w), arrays)


def _run_avg_grad(device: Device, problem: Any, grad: Any, gx: Any) -> None:
    if gx.size:
        width = vector_width(grad.dtype.itemsize, problem.c, grad, gx)
        arrays = (grad, gx, device.constant(_holder_tables(problem)))
        launch_over_pixels(device, _avg_pool_grad(problem.dtype, width), problem, width, (problem.h, problem.w), arrays)


def register_on(device: Device) -> None:
    """Rows for one device."""
    for op, algo, run in (
        ("max_pool2d", "window", _run_max),
        ("avg_pool2d", "window", _run_avg),
        ("max_pool2d_grad", "gather", _run_max_grad),
        ("avg_pool2d_grad", "gather", _run_avg_grad),
    ):
        register(Kernel(op, device.name, algo, partial(run, device)))
    wide = partial(_run_wide_avg, device)
    register(Kernel("avg_pool2d", device.name, "wide_window", wide, refuses=_too_small, cost=lambda problem: 0.5))


def instances() -> list[KernelSource]:
    """Every kernel of this family."""
    with_or_without = [_max_pool(*each, with_indices) for each in WIDTHS for with_indices in (False, True)]
    return with_or_without + [
        make(*each) for make in (_avg_pool, _wide_avg_pool, _max_pool_grad, _avg_pool_grad) for each in WIDTHS
    ]

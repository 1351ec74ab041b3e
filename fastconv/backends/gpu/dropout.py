"""Dropout by random numbers that depend on seed, offset and position alone."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from ..cpu_elementwise import threshold_and_scale
from ..registry import Kernel, register
from .device import CPP_TYPE, Device, blocks, vector_width
from .source import KernelSource

_THREADS = 256
_MOST_BLOCKS = 1 << 16
_PER_VECTOR = {"float32": 4, "float16": 8, "bfloat16": 8, "float64": 2}


def _kernel(dtype: str, width: int) -> KernelSource:
    return KernelSource("elementwise/dropout.cuh", f"fastconv::dropout<{CPP_TYPE[dtype]}, {width}>")


def _run(device: Device, problem: Any, x: Any, y: Any, p: float, seed: int, offset: int) -> None:
    if x.size == 0:
        return
    width = vector_width(x.dtype.itemsize, 0, x, y)
    threshold, scale = threshold_and_scale(p)
    compute = np.float64 if problem.dtype == "float64" else np.float32
    grid = (min(blocks(x.size, _THREADS * max(_PER_VECTOR[problem.dtype], 4)), _MOST_BLOCKS), 1, 1)
    scalars = np.int64(x.size), np.uint64(threshold), compute(scale), np.uint64(seed), np.uint64(offset)
    device.launch(_kernel(problem.dtype, width), grid, (_THREADS, 1, 1), (x, y, *scalars))


def register_on(device: Device) -> None:
    """Rows for one device."""
    register(Kernel("dropout", device.name, "philox", partial(_run, device)))


def instances() -> list[KernelSource]:
    """Every kernel of this family."""
    return [_kernel(dtype, width) for dtype, most in _PER_VECTOR.items() for width in (most, 1)]

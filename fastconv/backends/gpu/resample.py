"""Resampling: one kernel for interpolation of every kind and its gradients, which are given as tables of weights."""

from __future__ import annotations

from functools import lru_cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..registry import Kernel, register
from .device import CPP_TYPE, Device, vector_width
from .pool import WIDTHS, launch_over_pixels
from .source import KernelSource


def _resample(dtype: str, width: int) -> KernelSource:
    return KernelSource("resample/resample.cuh", f"fastconv::resample<{CPP_TYPE[dtype]}, {width}>")


@lru_cache(maxsize=256)
def _tables(problem: Any) -> tuple[NDArray[np.int32], NDArray[Any]]:
    """The kernel's tables, and its weights."""
    rows, cols = problem.taps
    return np.concatenate([*rows[:2], *cols[:2]]), np.concatenate([rows[2], cols[2]])


def _run(device: Device, problem: Any, x: Any, y: Any) -> None:
    if y.size:
        width = vector_width(x.dtype.itemsize, problem.c, x, y)
        tables, weights = (device.constant(array) for array in _tables(problem))
        kernel = _resample(problem.dtype, width)
        launch_over_pixels(device, kernel, problem, width, problem.y_shape[2:], (x, y, tables, weights))


def register_on(device: Device) -> None:
    """Rows for one device."""
    register(Kernel("resample", device.name, "taps", partial(_run, device)))


def instances() -> list[KernelSource]:
    """Every kernel of this family."""
    return [_resample(*each) for each in WIDTHS]

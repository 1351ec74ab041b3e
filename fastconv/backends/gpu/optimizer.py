"""Steps of SGD and Adam: parameters and their state updated in place, in one pass over memory."""

from __future__ import annotations

import struct
from functools import partial
from typing import Any

import numpy as np

from ..array_memory import address_of
from ..cpu_elementwise import adam_scalars
from ..registry import Kernel, register
from .device import CPP_TYPE, Device, blocks
from .source import KernelSource

_THREADS = 256
_MOST_BLOCKS = 1 << 16
_PER_VECTOR = {"float32": 4, "float16": 4, "bfloat16": 4, "float64": 2}  # of the compute type


def _kernel(name: str, dtype: str, width: int) -> KernelSource:
    return KernelSource("elementwise/optimizer.cuh", f"fastconv::{name}<{CPP_TYPE[dtype]}, {width}>")


def _scalars(dtype: str, *values: float) -> bytes:
    return struct.pack(f"<{len(values)}{'d' if dtype == 'float64' else 'f'}", *values)


def _launch(device: Device, name: str, dtype: str, arrays: tuple[Any, ...], step: bytes) -> None:
    """arrays: the parameters, then what has their size, or None."""
    count = arrays[0].size
    if count == 0:
        return
    most = _PER_VECTOR[dtype]
    aligned = all(a is None or address_of(a) % (most * a.dtype.itemsize) == 0 for a in arrays)
    width = most if aligned else 1
    grid = (min(blocks(count, width * _THREADS), _MOST_BLOCKS), 1, 1)
    device.launch(_kernel(name, dtype, width), grid, (_THREADS, 1, 1), (*arrays, np.int64(count), step))


def _sgd(
    device: Device,
    problem: Any,
    param: Any,
    grad: Any,
    velocity: Any,
    low: Any,
    lr: float,
    momentum: float,
    dampening: float,
    weight_decay: float,
    nesterov: bool,
    first: bool,
) -> None:
    step = _scalars(problem.dtype, lr, momentum, 1 - dampening, weight_decay) + struct.pack("<2i", first, nesterov)
    _launch(device, "sgd", problem.dtype, (param, grad, velocity, low), step)


def _adam(
    device: Device,
    problem: Any,
    param: Any,
    grad: Any,
    mean: Any,
    square: Any,
    low: Any,
    *step: Any,
) -> None:
    scalars = _scalars(problem.dtype, *adam_scalars(*step))
    _launch(device, "adam", problem.dtype, (param, grad, mean, square, low), scalars)


def register_on(device: Device) -> None:
    """Rows for one device."""
    register(Kernel("sgd_update", device.name, "vector", partial(_sgd, device)))
    register(Kernel("adam_update", device.name, "vector", partial(_adam, device)))


def instances() -> list[KernelSource]:
    """Every kernel of this family."""
    widths = [(dtype, width) for dtype, most in _PER_VECTOR.items() for width in (most, 1)]
    return [_kernel(name, dtype, width) for name in ("sgd", "adam") for dtype, width in widths]

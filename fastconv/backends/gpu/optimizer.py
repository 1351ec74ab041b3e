"""Steps of the optimizers: parameters and their state updated in place, in one pass over memory."""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from ..array_memory import address_of
from ..cpu_optimizer import adadelta_scalars, adagrad_scalars, adam_scalars, rmsprop_scalars
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
    decay: tuple[float, float],
    lr: float,
    momentum: float,
    dampening: float,
    nesterov: bool,
    first: bool,
) -> None:
    step = _scalars(problem.dtype, *decay, lr, momentum, 1 - dampening) + struct.pack("<2i", first, nesterov)
    _launch(device, "sgd", problem.dtype, (param, grad, velocity, low), step)


def _step(
    device: Device, problem: Any, name: str, scalars: Callable[..., tuple[float, ...]], arrays: int, *arguments: Any
) -> None:
    """A step whose scalars are those of the CPU's kernel, in the same order; so many `arguments` are arrays."""
    step = _scalars(problem.dtype, *scalars(*arguments[arrays:]))
    _launch(device, name, problem.dtype, arguments[:arrays], step)


# The optimizer, its scalars, and its arrays: the parameters, the gradient, state, low.
_STEPS: tuple[tuple[str, Callable[..., tuple[float, ...]], int], ...] = (
    ("adam", adam_scalars, 5),
    ("adagrad", adagrad_scalars, 4),
    ("adadelta", adadelta_scalars, 5),
    ("rmsprop", rmsprop_scalars, 6),
)


def register_on(device: Device) -> None:
    """Rows for one device."""
    register(Kernel("sgd_update", device.name, "vector", partial(_sgd, device)))
    for name, scalars, arrays in _STEPS:

        def run(problem: Any, *arguments: Any, name: str = name, scalars: Any = scalars, arrays: int = arrays) -> None:
            _step(device, problem, name, scalars, arrays, *arguments)

        register(Kernel(f"{name}_update", device.name, "vector", run))


def instances() -> list[KernelSource]:
    """Every kernel of this family."""
    widths = [(dtype, width) for dtype, most in _PER_VECTOR.items() for width in (most, 1)]
    names = ("sgd", *(name for name, _, _ in _STEPS))
    return [_kernel(name, dtype, width) for name in names for dtype, width in widths]

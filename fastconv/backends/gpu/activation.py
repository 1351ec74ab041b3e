"""Activations, their gradients, and what a sum becomes an output by: bias, residual and activation in one pass."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from ..cpu import ACTIVATION_CODE, UNARY_CODE
from ..registry import Kernel, register
from .device import CPP_TYPE, Device, blocks, vector_width
from .source import KernelSource

_THREADS = 256
_MOST_BLOCKS = 1 << 16
_MOST_BLOCKS_Y = 65535
_PER_VECTOR = {"float32": 4, "float16": 8, "bfloat16": 8, "float64": 2}


def _kernel(name: str, dtype: str, width: int) -> KernelSource:
    return KernelSource("elementwise/activation.cuh", f"fastconv::{name}<{CPP_TYPE[dtype]}, {width}>")


def _activation(device: Device, problem: Any, x: Any, y: Any, function: str, slope: float) -> None:
    if x.size:
        _launch(device, "activation", problem.dtype, (x, y), function, slope)


def _activation_grad(device: Device, problem: Any, x: Any, grad: Any, gx: Any, function: str, slope: float) -> None:
    if x.size:
        _launch(device, "activation_grad", problem.dtype, (x, grad, gx), function, slope)


def _launch(device: Device, name: str, dtype: str, arrays: tuple[Any, ...], function: str, slope: float) -> None:
    """Over dense arrays of equal size, whose last vector may be cut short."""
    count = arrays[0].size
    width = vector_width(arrays[0].dtype.itemsize, 0, *arrays)
    grid = (min(blocks(count, width * _THREADS), _MOST_BLOCKS), 1, 1)
    compute = np.float64 if dtype == "float64" else np.float32
    scalars = np.int64(count), np.int32(UNARY_CODE[function]), compute(slope)
    device.launch(_kernel(name, dtype, width), grid, (_THREADS, 1, 1), (*arrays, *scalars))


def bias_activation(
    device: Device, problem: Any, x: Any, bias: Any, residual: Any, y: Any, activation: str | None
) -> None:
    """y = act(x + bias + residual) over dense (rows, channels); bias, in the compute type, and residual may be None."""
    if x.size == 0:
        return
    rows, channels = x.shape
    width = vector_width(x.dtype.itemsize, channels, x, residual, y)
    packs = channels // width
    blocks_c = blocks(packs, _THREADS)
    across = blocks(packs, blocks_c)
    down = min(rows, _THREADS // across)
    # Enough blocks to fill the device twice over: each then takes many rows, and loads the bias for all of them.
    grid = (min(blocks(rows, down), max(16 * device.processors() // blocks_c, 1)), blocks_c, 1)
    scalars = np.int64(rows), np.int64(channels), np.int32(ACTIVATION_CODE[activation])
    kernel = _kernel("bias_activation", problem.dtype, width)
    device.launch(kernel, grid, (across, down, 1), (x, bias, residual, y, *scalars))


def register_on(device: Device) -> None:
    """Rows for one device."""
    register(Kernel("activation", device.name, "vector", partial(_activation, device)))
    register(Kernel("activation_grad", device.name, "vector", partial(_activation_grad, device)))
    register(
        Kernel(
            "bias_activation",
            device.name,
            "rows",
            partial(bias_activation, device),
            refuses=lambda problem: (
                "channels: too many blocks" if problem.shape[-1] > _MOST_BLOCKS_Y * _THREADS else None
            ),
        )
    )


def instances() -> list[KernelSource]:
    """Every kernel of this family."""
    names = ("activation", "activation_grad", "bias_activation")
    return [_kernel(name, dtype, width) for name in names for dtype, most in _PER_VECTOR.items() for width in (most, 1)]

"""A network's first convolution: up to 4 channels, one group."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ...problem import ConvProblem
from ..array_memory import address_of
from ..cpu import ACTIVATION_CODE
from ..registry import Kernel, register
from . import elementwise
from .conv import problem_bytes
from .device import CPP_TYPE, Device, blocks
from .source import KernelSource

if TYPE_CHECKING:
    from ..conv_weight import ConvWeight

_THREADS, _COLUMNS, _ACROSS = 128, 32, 4  # csrc/cuda/conv/stem_fprop.cuh
_LANES = (8, 2)  # 64 filters a block, or 16
_SHARED_LIMIT = 48 * 1024  # several blocks a multiprocessor, on every GPU
_MOST_PIXELS = 1 << 30  # kernels count pixels in 32 bits


def _stem(dtype: str, lanes: int) -> KernelSource:
    return KernelSource("conv/stem_fprop.cuh", f"fastconv::stem_fprop<{CPP_TYPE[dtype]}, {lanes}>")


def shared_bytes(problem: ConvProblem, lanes: int) -> int:
    """One row of the window's weights, and the input rows that it meets, in the compute type."""
    d = problem
    rows = _THREADS // lanes // _ACROSS
    pitch = ((_COLUMNS - 1) * d.stride[1] + (d.s - 1) * d.dilation[1] + 1) * d.c
    return (d.s * d.c * 8 * lanes + rows * pitch) * (8 if d.dtype == "float64" else 4)


def lanes_for(problem: ConvProblem) -> int | None:
    """Lanes of the kernel that computes the fewest filters that do not exist; None where shared memory holds none."""
    fits = [lanes for lanes in _LANES if shared_bytes(problem, lanes) <= _SHARED_LIMIT]
    return min(fits, key=lambda lanes: blocks(problem.k, 8 * lanes) * lanes, default=None)


def refusal(problem: ConvProblem) -> str | None:
    """Why a convolution is no stem, or None."""
    d = problem
    if d.groups != 1:
        return f"{d.groups} groups: takes one"
    if d.c > 4:
        return f"{d.c} channels: takes up to 4"
    if lanes_for(d) is None:
        return f"window, stride and dilation: a row of the tile needs more than {_SHARED_LIMIT} bytes of shared memory"
    (_, _), (left, right) = d.padding
    if (d.w + left + right) * d.c >= 1 << 31:
        return f"{d.w + left + right} columns, padding included, of {d.c} channels: counts elements of a row in 32 bits"
    reach = max(d.r * d.dilation[0], d.h + sum(d.padding[0]), d.w + sum(d.padding[1]), d.stride[0], d.k)
    if max(d.n * d.h * d.w, d.n * d.p * d.q, reach) >= _MOST_PIXELS:
        return f"takes fewer than {_MOST_PIXELS} pixels"
    return None


def cost(problem: ConvProblem) -> float:
    """Multiply-adds, filters rounded up to those of the blocks."""
    columns = 8 * (lanes_for(problem) or 1)
    return problem.macs / max(problem.k, 1) * blocks(problem.k, columns) * columns


def _rsck(device: Device, weight: ConvWeight) -> Any:
    """The weight as (R, S, C, K)."""

    def make() -> Any:
        view = weight.array.transpose(2, 3, 1, 0)
        filled = device.empty(view.shape, view.dtype)
        elementwise.copy(device, view, filled)
        return filled

    return weight.form("rsck", make)


def _fprop(
    device: Device,
    problem: ConvProblem,
    x: Any,
    weight: ConvWeight,
    bias: Any,
    residual: Any,
    y: Any,
    activation: str | None,
) -> None:
    if y.size == 0:
        return
    d, lanes = problem, lanes_for(problem)
    assert lanes is not None  # refusal() has seen to it
    run = 4 * y.dtype.itemsize
    vectors = d.k % 4 == 0 and all(a is None or address_of(a) % run == 0 for a in (y, residual))
    tiles = blocks(d.k, 8 * lanes) * blocks(d.q, _COLUMNS) * blocks(d.p, _THREADS // lanes // _ACROSS) * d.n
    arguments = (
        *(x, _rsck(device, weight), bias, residual, y, problem_bytes(d)),
        *(np.int32(ACTIVATION_CODE[activation]), np.int32(vectors)),
    )
    device.launch(_stem(d.dtype, lanes), (tiles, 1, 1), (_THREADS, 1, 1), arguments, shared_bytes(d, lanes))


def register_on(device: Device) -> None:
    """Rows for one device."""
    register(Kernel("conv2d", device.name, "stem", partial(_fprop, device), refuses=refusal, cost=cost))


def instances() -> list[KernelSource]:
    """Every kernel of this family."""
    return [_stem(dtype, lanes) for dtype in CPP_TYPE for lanes in _LANES]

"""Depthwise convolution and its gradients: groups == C."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ...problem import ITEM_SIZE, ConvProblem
from ..cpu import ACTIVATION_CODE
from ..registry import Kernel, register
from . import elementwise
from .conv import problem_bytes
from .device import CPP_TYPE, Device, aligned, blocks, vector_width
from .source import KernelSource

if TYPE_CHECKING:
    from ..conv_weight import ConvWeight

_THREADS, _STRIP = 256, 4  # csrc/cuda/conv/depthwise_place.cuh
_MOST_PIXELS = 1 << 30  # kernels count pixels in 32 bits
# (kernel, stride) that have kernels of their own, for types of 2 and 4 bytes; 7 x 7 is ConvNeXt's.
SPECIAL = ((3, 1), (3, 2), (5, 1), (5, 2), (7, 1))
_SPECIAL_WIDTH = {"float32": 4, "float16": 8, "bfloat16": 8}
_WIDTH = {**_SPECIAL_WIDTH, "float64": 2}


def _special(direction: str, dtype: str, size: int, stride: int) -> KernelSource:
    arguments = f"{CPP_TYPE[dtype]}, {_SPECIAL_WIDTH[dtype]}, {size}, {stride}"
    return KernelSource(f"conv/depthwise_{direction}.cuh", f"fastconv::depthwise_{direction}<{arguments}>")


def _general(direction: str, dtype: str, width: int) -> KernelSource:
    arguments = f"{CPP_TYPE[dtype]}, {width}"
    return KernelSource(f"conv/depthwise_{direction}.cuh", f"fastconv::depthwise_{direction}_general<{arguments}>")


def _finish(dtype: str) -> KernelSource:
    return KernelSource("conv/depthwise_wgrad.cuh", f"fastconv::depthwise_wgrad_finish<{CPP_TYPE[dtype]}>")


def refusal(problem: ConvProblem) -> str | None:
    """Why a convolution is not depthwise, or is too large; or None."""
    d = problem
    if d.groups != d.c:
        return f"{d.groups} groups of {d.c} channels: takes groups == channels"
    if d.c == 1 and d.k > 1:
        return f"one channel, {d.k} filters: an ordinary convolution"
    reach = max(d.r * d.dilation[0], d.s * d.dilation[1], d.h + sum(d.padding[0]), d.w + sum(d.padding[1]), *d.stride)
    if max(d.n * d.h * d.w, d.n * d.p * d.q, reach) >= _MOST_PIXELS or d.r * d.s > 65535:
        return f"takes fewer than {_MOST_PIXELS} pixels, and windows of up to 65535"
    return None


def cost(problem: ConvProblem) -> float:
    """Multiply-adds."""
    return float(problem.macs)


def special_size(problem: ConvProblem, width: int) -> tuple[int, int] | None:
    """(kernel, stride) of the kernel made for this problem alone, or None where the general one is used."""
    d = problem
    wide = width == _SPECIAL_WIDTH.get(d.dtype) and d.k == d.c
    square = d.r == d.s and d.stride[0] == d.stride[1] and d.dilation == (1, 1)
    return (d.r, d.stride[0]) if wide and square and (d.r, d.stride[0]) in SPECIAL else None


def lanes_for(packs: int) -> int:
    """Packs of channels side by side in a block: 8 or 4 (a line of memory, or half), whichever idles less, or fewer.

    >>> [lanes_for(packs) for packs in (1, 3, 8, 18, 120)]
    [1, 4, 8, 4, 8]
    """
    if packs <= 4:
        return 1 << max(packs - 1, 0).bit_length()
    return min((8, 4), key=lambda lanes: blocks(packs, lanes) * lanes)


def _layout(channels: int, width: int, rows: int, columns: int) -> tuple[tuple[int, int, int], int, int]:
    """The grid, and the lanes and strips of a block."""
    packs, along = channels // width, blocks(columns, _STRIP)
    lanes = lanes_for(packs)
    strips = min(1 << max(along - 1, 0).bit_length(), 32 // lanes)
    each = _THREADS // (lanes * strips)
    return (blocks(packs, lanes) * blocks(along, strips) * blocks(rows, each), 1, 1), lanes, strips


def _width(problem: ConvProblem, *arrays: Any) -> int:
    return vector_width(ITEM_SIZE[problem.dtype], problem.c, *arrays) if problem.k == problem.c else 1


def _rsc(device: Device, weight: ConvWeight) -> Any:
    """The weight as (R, S, K)."""

    def make() -> Any:
        view = weight.array[:, 0].transpose(1, 2, 0)
        filled = device.empty(view.shape, view.dtype)
        elementwise.copy(device, view, filled)
        return filled

    return weight.form("rsc", make)


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
    d, taps = problem, _rsc(device, weight)
    width = _width(d, x, taps, residual, y)
    special = special_size(d, width)
    source = _special("fprop", d.dtype, *special) if special else _general("fprop", d.dtype, width)
    grid, lanes, strips = _layout(d.k, width, d.n * d.p, d.q)
    numbers = np.int32(ACTIVATION_CODE[activation]), np.int32(lanes), np.int32(strips)
    device.launch(source, grid, (_THREADS, 1, 1), (x, taps, bias, residual, y, problem_bytes(d), *numbers))


def _dgrad(device: Device, problem: ConvProblem, grad: Any, weight: ConvWeight, dx: Any) -> None:
    if dx.size == 0:
        return
    d, taps = problem, _rsc(device, weight)
    width = _width(d, grad, taps, dx)
    special = special_size(d, width)
    source = _special("dgrad", d.dtype, *special) if special else _general("dgrad", d.dtype, width)
    shift = d.padding[1][0] % special[1] if special else 0  # strips begin at multiples of the stride, padding counted
    grid, lanes, strips = _layout(d.c, width, d.n * d.h, d.w + shift)
    device.launch(source, grid, (_THREADS, 1, 1), (grad, taps, dx, problem_bytes(d), np.int32(lanes), np.int32(strips)))


def _chunk_rows(rows: int, tiles: int, least: int) -> int:
    """Output rows a chunk: about 1024 blocks in at most 128 chunks, each of `least` rows or more."""
    return max(blocks(rows, min(max(1024 // tiles, 1), 128)), least)


def wgrad_split(problem: ConvProblem, width: int) -> tuple[int, int]:
    """(rows a chunk, number of chunks) of a weight gradient: a function of the problem and the width of its packs."""
    d, rows, lanes = problem, problem.n * problem.p, lanes_for(problem.k // width)
    tiles = blocks(d.k // width, lanes)
    if special := special_size(d, width):
        chunk = _chunk_rows(rows, tiles, 2 * (_THREADS // (lanes * special[0])))
    else:
        chunk = _chunk_rows(rows, tiles * d.r * d.s, blocks(4 * _THREADS // lanes, max(d.q, 1)))
    return chunk, max(blocks(rows, chunk), 1)


def _wgrad(device: Device, problem: ConvProblem, grad: Any, x: Any, dw: Any) -> None:
    d = problem
    if dw.size == 0:
        return
    grad, x = aligned(device, grad), aligned(device, x)
    width = _width(d)
    special = special_size(d, width)
    lanes = lanes_for(d.k // width)
    chunk_rows, chunks = wgrad_split(d, width)
    sums = device.empty((chunks, d.r * d.s, d.k), np.float64 if d.dtype == "float64" else np.float32)
    arguments = (grad, x, sums, problem_bytes(d), np.int32(chunk_rows), np.int32(lanes))
    tiles = blocks(d.k // width, lanes)
    if special:
        across = _THREADS // (lanes * special[0])
        source = _special("wgrad", d.dtype, *special)
        threads = (lanes * special[0] * across, 1, 1)
        device.launch(source, (tiles, chunks, 1), threads, (*arguments, np.int32(across)))
    else:
        device.launch(_general("wgrad", d.dtype, width), (tiles, d.r * d.s, chunks), (_THREADS, 1, 1), arguments)
    grid = (blocks(d.k * d.r * d.s, _THREADS), 1, 1)
    sizes = np.int32(chunks), np.int64(d.r * d.s), np.int64(d.k)
    device.launch(_finish(d.dtype), grid, (_THREADS, 1, 1), (sums, dw, *sizes))


def _workspace(problem: ConvProblem) -> int:
    """Bytes of the chunks' sums."""
    d = problem
    width = _WIDTH[d.dtype] if d.k == d.c and d.c % _WIDTH[d.dtype] == 0 else 1
    return wgrad_split(d, width)[1] * d.r * d.s * d.k * (8 if d.dtype == "float64" else 4)


def register_on(device: Device) -> None:
    """Rows for one device."""
    name = device.name
    register(Kernel("conv2d", name, "depthwise", partial(_fprop, device), refuses=refusal, cost=cost))
    register(Kernel("conv2d_input_grad", name, "depthwise", partial(_dgrad, device), refuses=refusal, cost=cost))
    register(
        Kernel(
            "conv2d_weight_grad",
            name,
            "depthwise",
            partial(_wgrad, device),
            refuses=refusal,
            workspace=_workspace,
            cost=cost,
        )
    )


def instances() -> list[KernelSource]:
    """Every kernel of this family."""
    kernels = [_finish(dtype) for dtype in CPP_TYPE]
    for direction in ("fprop", "dgrad", "wgrad"):
        kernels += [_special(direction, dtype, *shape) for dtype in _SPECIAL_WIDTH for shape in SPECIAL]
        kernels += [_general(direction, dtype, width) for dtype in CPP_TYPE for width in (1, _WIDTH[dtype])]
    return kernels

"""Convolution as a matrix product: implicit (csrc/cuda/conv/implicit_*.cuh) and by an explicit column matrix."""

from __future__ import annotations

import math
import struct
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from ...problem import ConvProblem, LinearProblem
from ..array_memory import address_of
from ..cpu import ACTIVATION_CODE
from ..registry import FLOATS, Kernel, register
from . import tiles
from .device import CPP_TYPE, Device, blocks
from .source import KernelSource
from .tiles import Tile

if TYPE_CHECKING:
    from ..conv_weight import ConvWeight

_MOST_PIXELS = 1 << 30  # kernels count pixels in 32 bits
_VECTOR = 16

# ldmatrix cannot transpose 32-bit elements, and a weight gradient has both operands transposed.
_SASS = {"mma": ("HMMA", "LDSM"), "mma_of_words": ("HMMA",), "fma": ("FFMA",), "double": ("DFMA",)}


def _sass(direction: str, precision: str, aligned: bool) -> tuple[str, ...]:
    kind = {"float32": "fma", "float64": "double"}.get(precision, "mma")
    if precision == "tf32" and direction == "wgrad":
        kind = "mma_of_words"
    return _SASS[kind] + (("LDGSTS",) if aligned else ())


def _element(precision: str) -> str:
    return "float" if precision == "tf32" else CPP_TYPE[precision]


def kernel_source(direction: str, precision: str, tile: Tile, aligned: bool) -> KernelSource:
    """implicit_fprop, _dgrad or _wgrad for a tile."""
    arguments = f"{_element(precision)}, {tile.cpp(precision)}, {tile.stages}, {str(aligned).lower()}"
    return KernelSource(
        f"conv/implicit_{direction}.cuh",
        f"fastconv::implicit_{direction}<{arguments}>",
        _sass(direction, precision, aligned),
        min(255, 65536 // tile.threads),
    )


@lru_cache(maxsize=4096)
def problem_bytes(problem: ConvProblem) -> bytes:
    """csrc/problem.h's ConvProblem."""
    d = problem
    (top, _), (left, _) = d.padding
    extents = (d.n, d.c, d.h, d.w, d.k, d.r, d.s, d.p, d.q)
    return struct.pack("<16q", *extents, *d.stride, top, left, *d.dilation, d.groups)


def _aligned(item_size: int, rows: tuple[int, ...], *arrays: Any) -> bool:
    """Whether every run of channels starts at a multiple of 16 bytes."""
    return all(row * item_size % _VECTOR == 0 for row in rows) and all(
        array is None or address_of(array) % _VECTOR == 0 for array in arrays
    )


def too_large(problem: ConvProblem) -> str | None:
    """Why the kernels cannot count in this problem, or None: they have 32 bits for pixels and steps within an image."""
    (top, bottom), (left, right) = problem.padding
    padded = (problem.h + top + bottom) * (problem.w + left + right)
    pixels = problem.n * max(padded, problem.p * problem.q)
    if pixels >= _MOST_PIXELS:
        return f"{pixels} pixels, padding included: takes fewer than {_MOST_PIXELS}"
    reach = max(problem.r * problem.dilation[0], problem.s * problem.dilation[1], *problem.stride)
    if reach >= _MOST_PIXELS:
        return f"a stride or reach of {reach}: takes less than {_MOST_PIXELS}"
    if problem.groups * math.prod(problem.stride) >= 1 << 16:
        return f"{problem.groups} groups, stride {problem.stride}: takes a product below 65536"
    return None


# ---------------------------------------------------------------------------------------------------- fprop


@lru_cache(maxsize=4096)
def fprop_tile(problem: ConvProblem, precision: str, processors: int, aligned: bool = True) -> tiles.Choice:
    """The tile of a forward convolution."""
    d, table = problem, tiles.TILES if aligned else tiles.UNALIGNED_TILES
    shape = (d.n * d.p * d.q, d.k // d.groups, d.r * d.s, d.c // d.groups, d.groups)
    return tiles.choose(precision, *shape, processors, table)


def _implicit_fprop(device: Device, precision: str) -> Any:
    def run(
        problem: ConvProblem,
        x: Any,
        weight: ConvWeight,
        bias: Any,
        residual: Any,
        y: Any,
        activation: str | None,
    ) -> None:
        fprop(device, precision, problem, x, weight.krsc(), bias, residual, y, activation)

    return run


def fprop(
    device: Device,
    precision: str,
    problem: ConvProblem,
    x: Any,
    krsc: Any,
    bias: Any,
    residual: Any,
    y: Any,
    activation: str | None,
) -> None:
    """Launches implicit_fprop. Arrays are dense, x (N, H, W, C), krsc (K, R, S, C/groups), y (N, P, Q, K)."""
    if y.size == 0:
        return
    d, size = problem, y.dtype.itemsize
    aligned = _aligned(size, (d.c, d.c // d.groups), x, krsc)
    source, grid, threads, shared_bytes = _fprop_launch(d, precision, device.processors(), aligned)
    vectors = _aligned(size, (d.k, d.k // d.groups), y, residual)
    arguments = (
        *(x, krsc, bias, residual, y, problem_bytes(d)),
        *(np.int32(ACTIVATION_CODE[activation]), np.int32(vectors)),
    )
    device.launch(source, grid, (threads, 1, 1), arguments, shared_bytes)


@lru_cache(maxsize=4096)
def _fprop_launch(
    problem: ConvProblem, precision: str, processors: int, aligned: bool
) -> tuple[KernelSource, tuple[int, int, int], int, int]:
    """(kernel, grid, threads, shared bytes): all that a call needs to know besides its arrays."""
    d, size = problem, tiles.ITEM_SIZE[precision]
    tile = fprop_tile(d, precision, processors, aligned).tile
    grid = (blocks(d.n * d.p * d.q, tile.m) * blocks(d.k // d.groups, tile.n), 1, d.groups)
    return kernel_source("fprop", precision, tile, aligned), grid, tile.threads, tile.shared_bytes(size, max(size, 4))


# ---------------------------------------------------------------------------------------------------- dgrad


@lru_cache(maxsize=4096)
def dgrad_tile(problem: ConvProblem, precision: str, processors: int, aligned: bool = True) -> tiles.Choice:
    """The tile of an input gradient: one product for each class of input pixels (csrc/cuda/conv/implicit_dgrad.cuh)."""
    d, table = problem, tiles.TILES if aligned else tiles.UNALIGNED_TILES
    pixels = d.n * blocks(d.h, d.stride[0]) * blocks(d.w, d.stride[1])
    taps = blocks(d.r, d.stride[0]) * blocks(d.s, d.stride[1])
    shape = (pixels, d.c // d.groups, taps, d.k // d.groups, math.prod(d.stride) * d.groups)
    return tiles.choose(precision, *shape, processors, table)


def _implicit_dgrad(device: Device, precision: str) -> Any:
    def run(problem: ConvProblem, grad: Any, weight: ConvWeight, dx: Any) -> None:
        if dx.size == 0:
            return
        d, size, krsc = problem, dx.dtype.itemsize, weight.krsc()
        group_c, group_k = d.c // d.groups, d.k // d.groups
        aligned = _aligned(size, (d.k, group_k, group_c), grad, krsc)
        tile = dgrad_tile(d, precision, device.processors(), aligned).tile
        source = kernel_source("dgrad", precision, tile, aligned)
        vectors = _aligned(size, (d.c, group_c), dx)
        pixels = d.n * blocks(d.h, d.stride[0]) * blocks(d.w, d.stride[1])
        grid = (blocks(pixels, tile.m) * blocks(group_c, tile.n), 1, d.groups * math.prod(d.stride))
        arguments = (grad, krsc, dx, problem_bytes(d), np.int32(vectors))
        device.launch(source, grid, (tile.threads, 1, 1), arguments, tile.shared_bytes(size, max(size, 4)))

    return run


# ---------------------------------------------------------------------------------------------------- wgrad


@lru_cache(maxsize=4096)
def wgrad_tile(problem: ConvProblem, precision: str, aligned: bool = True) -> tuple[Tile, int, int]:
    """(tile, splits, pixels a split) of a weight gradient.

    The order of addition, and so the bits, follow from the splits. These must depend neither on the device (chosen as
    for one of 132 multiprocessors) nor on where arrays begin (chosen as for aligned ones).
    """
    d = problem
    pixels, group_c, group_k, taps = d.n * d.p * d.q, d.c // d.groups, d.k // d.groups, d.r * d.s * d.groups
    shape = (precision, group_k, group_c, 1, pixels, taps, 132)
    tile = tiles.choose(*shape, tiles.WGRAD_TILES).tile
    count = blocks(group_k, tile.m) * blocks(group_c, tile.n) * taps
    splits, run = tiles.split_pixels(pixels, tile.k, count)
    if not aligned:
        tile = tiles.choose(*shape, tiles.UNALIGNED_TILES).tile
        assert run % tile.k == 0
    return tile, splits, run


def _sum_splits(dtype: str) -> KernelSource:
    return KernelSource("conv/implicit_wgrad.cuh", f"fastconv::sum_splits<{CPP_TYPE[dtype]}>")


def _implicit_wgrad(device: Device, precision: str) -> Any:
    def run(problem: ConvProblem, grad: Any, x: Any, dw: Any) -> None:
        if dw.size == 0:
            return
        d, size = problem, dw.dtype.itemsize
        group_c, group_k = d.c // d.groups, d.k // d.groups
        aligned = _aligned(size, (d.k, group_k, d.c, group_c), grad, x)
        tile, splits, pixels = wgrad_tile(d, precision, aligned)
        source = kernel_source("wgrad", precision, tile, aligned)
        accumulator = np.dtype(np.float64 if d.dtype == "float64" else np.float32)
        partial = device.empty((splits, *dw.shape), accumulator)
        grid = (blocks(group_k, tile.m) * blocks(group_c, tile.n) * d.r * d.s, splits, d.groups)
        arguments = (grad, x, partial, problem_bytes(d), np.int32(pixels))
        shared = tile.shared_bytes(size, accumulator.itemsize)
        device.launch(source, grid, (tile.threads, 1, 1), arguments, shared)
        summing = (min(blocks(dw.size, 256), 1 << 16), 1, 1)
        device.launch(_sum_splits(d.dtype), summing, (256, 1, 1), (partial, dw, np.int64(dw.size), np.int32(splits)))

    return run


def _wgrad_workspace(precision: str | None = None) -> Any:
    def workspace(problem: ConvProblem) -> int:
        _, splits, _ = wgrad_tile(problem, precision or problem.dtype)
        return splits * math.prod(problem.weight_shape) * (8 if problem.dtype == "float64" else 4)

    return workspace


# ---------------------------------------------------------------------------------------------------- im2col


def column_length(problem: ConvProblem) -> int:
    """Elements that a group's share of a column row is padded to: whole vectors of any dtype."""
    return blocks(problem.r * problem.s * (problem.c // problem.groups), 8) * 8


_COLUMN_BYTES = 256 << 20  # of the column matrix, unless one image alone needs more


def images_at_once(problem: ConvProblem) -> int:
    """Images whose columns are built together."""
    row = problem.groups * column_length(problem) * tiles.ITEM_SIZE[problem.dtype]
    return max(1, min(problem.n, _COLUMN_BYTES // max(row * problem.p * problem.q, 1)))


def _im2col(dtype: str, vector: int) -> KernelSource:
    return KernelSource("conv/im2col.cuh", f"fastconv::im2col<{CPP_TYPE[dtype]}, {vector}>")


def _im2col_gemm(device: Device) -> Any:
    def run(
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
        d, size, length = problem, y.dtype.itemsize, column_length(problem)
        group_c = d.c // d.groups
        taps = d.r * d.s * group_c

        def pad() -> Any:
            krsc = weight.krsc()
            padded = device.empty((d.k, length), krsc.dtype)
            padded[...] = 0
            device.copy(krsc.reshape(d.k, taps), padded[:, :taps])
            return padded

        filters = weight.form(("columns", length), pad).reshape(d.k, 1, 1, length)
        vector = _VECTOR // size if _aligned(size, (d.c, group_c), x) else 1
        most = images_at_once(d)
        columns = device.empty((most * d.p * d.q, d.groups * length), y.dtype)
        for first in range(0, d.n, most):
            images = slice(first, min(first + most, d.n))
            part = replace(d, n=images.stop - first)
            rows = part.n * d.p * d.q
            chunks = rows * d.groups * length // vector
            if chunks:
                grid = (min(blocks(chunks, 256), 1 << 20), 1, 1)
                arguments = (x[images], columns, problem_bytes(part), np.int32(length))
                device.launch(_im2col(d.dtype, vector), grid, (256, 1, 1), arguments)
            product = ConvProblem(1, d.groups * length, 1, rows, d.k, 1, 1, groups=d.groups, dtype=d.dtype)
            at = None if residual is None else residual[images].reshape(1, 1, rows, d.k)
            fprop(
                device,
                d.dtype,
                product,
                columns[:rows],
                filters,
                bias,
                at,
                y[images].reshape(1, 1, rows, d.k),
                activation,
            )

    return run


def _im2col_workspace(problem: ConvProblem) -> int:
    row = problem.groups * column_length(problem) * tiles.ITEM_SIZE[problem.dtype]
    return images_at_once(problem) * problem.p * problem.q * row


# ---------------------------------------------------------------------------------------------------- the table


def padded_macs(problem: ConvProblem, inner: int, runs: int, unit: int = 32) -> float:
    """Multiply-adds with the channels of a run and the filters of a group rounded up to whole units of a tile."""
    d = problem
    padded_k, padded_run = blocks(d.k // d.groups, unit) * unit, blocks(inner, unit) * unit
    return float(d.n * d.p * d.q * d.groups * padded_k * runs * padded_run)


def _implicit_cost(problem: ConvProblem) -> float:
    cost = padded_macs(problem, problem.c // problem.groups, problem.r * problem.s)
    # Channels that no 16-byte copy can move go element by element, through registers.
    aligned = problem.c // problem.groups * tiles.ITEM_SIZE[problem.dtype] % _VECTOR == 0
    return cost if aligned else 4 * cost


def _im2col_cost(problem: ConvProblem) -> float:
    # Columns are written and read once more: 32 multiply-adds' time an element.
    columns = float(problem.n * problem.p * problem.q * problem.groups * column_length(problem))
    return padded_macs(problem, column_length(problem), 1) + 32 * columns


def _linear_refusal(problem: LinearProblem) -> str | None:
    if max(problem.m, problem.n, problem.k) >= _MOST_PIXELS:
        return f"{problem}: takes fewer than {_MOST_PIXELS} rows, columns and products"
    return None


def rows_problem(problem: LinearProblem) -> ConvProblem:
    """A linear layer as a convolution by 1 x 1 filters over one row of pixels."""
    return ConvProblem(1, problem.k, 1, problem.m, problem.n, 1, 1, dtype=problem.dtype)


def _linear_cost(problem: LinearProblem) -> float:
    return _implicit_cost(rows_problem(problem))


def _linear(device: Device) -> Any:
    def run(problem: LinearProblem, x: Any, weight: Any, bias: Any, y: Any) -> None:
        if y.size:
            fprop(device, problem.dtype, rows_problem(problem), x, weight, bias, None, y, None)

    return run


def register_on(device: Device) -> None:
    """Rows for one device."""

    def row(op: str, algo: str, run: Any, **more: Any) -> None:
        register(Kernel(op, device.name, algo, run, refuses=too_large, **more))

    def by_dtype(make: Any) -> Any:
        runs = {dtype: make(device, dtype) for dtype in FLOATS}
        return lambda problem, *arrays: runs[problem.dtype](problem, *arrays)

    row("conv2d", "implicit_gemm", by_dtype(_implicit_fprop), cost=_implicit_cost)
    row("conv2d", "im2col_gemm", _im2col_gemm(device), cost=_im2col_cost, workspace=_im2col_workspace)
    row("conv2d_input_grad", "implicit_gemm", by_dtype(_implicit_dgrad), cost=_implicit_cost)
    row(
        "conv2d_weight_grad",
        "implicit_gemm",
        by_dtype(_implicit_wgrad),
        cost=_implicit_cost,
        workspace=_wgrad_workspace(),
    )
    # TF32 rounds the factors to 11 bits: taken only where it is asked for.
    for op, make, workspace in (
        ("conv2d", _implicit_fprop, lambda problem: 0),
        ("conv2d_input_grad", _implicit_dgrad, lambda problem: 0),
        ("conv2d_weight_grad", _implicit_wgrad, _wgrad_workspace("tf32")),
    ):
        only_asked = {"dtypes": ("float32",), "cost": lambda problem: math.inf, "workspace": workspace}
        row(op, "implicit_gemm_tf32", make(device, "tf32"), **only_asked)
    register(Kernel("linear", device.name, "gemm", _linear(device), refuses=_linear_refusal, cost=_linear_cost))


def instances() -> list[KernelSource]:
    """Every kernel of this family."""
    tables = {"fprop": tiles.TILES, "dgrad": tiles.TILES, "wgrad": tiles.WGRAD_TILES}
    sources = [
        kernel_source(direction, precision, tile, aligned)
        for direction, own in tables.items()
        for aligned, table in ((True, own), (False, tiles.UNALIGNED_TILES))
        for precision, choices in table.items()
        for tile in choices
    ]
    sources += [_sum_splits(dtype) for dtype in FLOATS]
    sources += [_im2col(dtype, vector) for dtype in FLOATS for vector in (1, _VECTOR // tiles.ITEM_SIZE[dtype])]
    return sources

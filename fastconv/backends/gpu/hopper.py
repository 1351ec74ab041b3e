"""Convolution, its gradient with respect to the input, and linear layers by Hopper's own instructions (csrc/cuda/conv/hopper_fprop.cuh).

Tiles are chosen by a pure function from the problem, with what it expects and why. The choice decides speed only: every
tile adds the same products in the same order.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from ... import _core
from ...problem import ConvProblem, LinearProblem
from ..array_memory import address_of
from ..cpu import ACTIVATION_CODE, DTYPE_CODE, core_problem
from ..registry import Kernel, register
from .conv import padded_macs, problem_bytes, rows_problem, too_large
from .device import CPP_TYPE, Device, aligned, blocks
from .source import KernelSource

if TYPE_CHECKING:
    from ..conv_weight import ConvWeight

DTYPES = ("float16", "bfloat16")
ARCHS = ("sm_90a",)
THREADS = 384
_K = 64  # channels of a step: 128 bytes, the span of the swizzle
_VECTOR = 8  # elements of 16 bytes, what a tensor map counts in
_SASS = ("HGMMA", "UTMALDG", "UTMASTG", "SYNCS", "USETMAXREG", "STSM", "LDSM")


@dataclass(frozen=True)
class Tile:
    """m pixels x n filters a block, `stages` steps in shared memory, `cluster` blocks that share their filters."""

    m: int
    n: int
    stages: int
    cluster: int

    @property
    def pieces(self) -> int:
        """64 x 64 outputs each that a consumer stores."""
        return self.m // 128 * (self.n // 64)

    @property
    def shared_bytes(self) -> int:
        """Stages, and staging buffers of both consumers: for all pieces where there are up to three, else two."""
        buffers = self.pieces if self.pieces <= 3 else 2
        return self.stages * (self.m + self.n) * _K * 2 + 2 * buffers * 64 * 64 * 2


TILES = (
    Tile(256, 128, 4, 2),
    Tile(128, 256, 4, 2),
    Tile(128, 192, 4, 2),
    Tile(128, 128, 6, 2),
    Tile(128, 128, 6, 1),
    Tile(256, 64, 4, 1),
    Tile(128, 64, 8, 1),
)


def kernel_source(dtype: str, tile: Tile, im2col: bool, gradient: bool = False) -> KernelSource:
    """hopper_fprop for a tile."""
    numbers = f"{tile.m}, {tile.n}, {tile.stages}, {tile.cluster}"
    arguments = f"{CPP_TYPE[dtype]}, {numbers}, {str(im2col).lower()}, {str(gradient).lower()}"
    return KernelSource("conv/hopper_fprop.cuh", f"fastconv::hopper_fprop<{arguments}>", _SASS, 168, ARCHS)


# ---------------------------------------------------------------------------------------------------- the choice

# Of an H200, a clock and a multiprocessor: multiply-adds, bytes of shared memory, bytes that L2 delivers.
_MACS = 2048.0
_SHARED = 128.0
_L2, _L2_ALONE = 32.0, 64.0  # while all ask, and at most
_DRAM = 2350.0  # bytes a clock, of all of them together: 4.3 TB/s at 1.83 GHz
_START_CLOCKS = 2500.0  # launch, barriers, the first stages on their way
_STORE_CLOCKS = 500.0  # of a tile that leaves, and a clock for each 64 bytes of it


@dataclass(frozen=True)
class Choice:
    """A tile and what was expected of it."""

    tile: Tile
    clocks: float
    reason: str


@lru_cache(maxsize=4096)
def choose(problem: ConvProblem, processors: int) -> Choice:
    """The tile with the fewest expected clocks.

    >>> from fastconv.problem import ConvProblem
    >>> choose(ConvProblem.parse("mb32ic256ih56oc256kh3ph1", "float16"), 132).tile
    Tile(m=128, n=256, stages=4, cluster=2)
    """
    return min((expected(tile, problem, processors) for tile in TILES), key=lambda choice: choice.clocks)


def expected(tile: Tile, problem: ConvProblem, processors: int) -> Choice:
    """What a tile is expected to take: the slowest of DRAM and, wave by wave, tensor cores, shared memory and L2.

    A step of a block: m n 64 multiply-adds; of shared memory both operands written once, and read by each wgmma of 64
    rows; from L2 its pixels and its share of the filters.
    """
    d = problem
    pixels, steps = d.n * d.p * d.q, d.r * d.s * blocks(d.c, _K)
    clusters = blocks(pixels, tile.cluster * tile.m) * blocks(d.k, tile.n)
    waves = blocks(clusters, max(processors // tile.cluster, 1))
    row = _K * 2
    l2 = min(_L2 * processors / max(min(clusters * tile.cluster, processors), 1), _L2_ALONE)
    limits = {
        "tensor cores": tile.m * tile.n * _K / _MACS,
        "shared memory": (tile.m // 64 * (64 + tile.n) + tile.m + tile.n) * row / _SHARED,
        "L2": (tile.m + tile.n / tile.cluster) * row / l2,
    }
    limit = max(limits, key=lambda name: limits[name])
    store = _STORE_CLOCKS + tile.m * tile.n * 2 / 64
    busy = _START_CLOCKS + waves * (steps * limits[limit] + store)
    moved = 2.0 * (d.n * d.h * d.w * d.c + d.k * d.r * d.s * d.c + pixels * d.k)
    dram = _START_CLOCKS + moved / _DRAM
    if dram > busy:
        limit = "DRAM"
    useful = pixels * d.k * d.c / max(clusters * tile.cluster * tile.m * tile.n * blocks(d.c, _K) * _K, 1)
    reason = (
        f"{clusters * tile.cluster} tiles of {tile.m}x{tile.n} in {waves} waves, {useful:.0%} of the products useful, "
        f"limited by {limit}"
    )
    # Where DRAM hides the difference, the tile that is busy for less.
    return Choice(tile, max(busy, dram) + busy * 1e-6, reason)


def refusal(problem: ConvProblem) -> str | None:
    """Why the kernel does not take a problem of its dtypes, or None."""
    d = problem
    if d.groups != 1:
        return f"{d.groups} groups: takes one"
    if d.c % _VECTOR or d.k % _VECTOR or not d.c:
        return f"{d.c} channels, {d.k} filters: takes multiples of {_VECTOR}"
    if 0 in d.y_shape:
        return None  # nothing is launched
    if reason := too_large(d):
        return reason
    return next((made.refusal for made in _input_and_weight(d, TILES[0], False) if made.refusal), None)


@lru_cache(maxsize=4096)
def gradient_problem(problem: ConvProblem) -> ConvProblem:
    """The gradient with respect to the input, of a convolution of stride 1, as a convolution of dy (by mirrored filters).

    dx[h] = sum over r of dy[h + pad - r dilation] w[r]: its taps start (R-1) dilation - pad before h.
    """
    d = problem
    (top, bottom), (left, right) = d.padding
    rows, columns = (d.r - 1) * d.dilation[0], (d.s - 1) * d.dilation[1]
    padding = ((rows - top, rows - bottom), (columns - left, columns - right))
    return replace(d, c=d.k, h=d.p, w=d.q, k=d.c, padding=padding)


def gradient_refusal(problem: ConvProblem) -> str | None:
    """Why the kernel does not take the gradient with respect to the input, or None."""
    if problem.stride != (1, 1):
        return f"stride {problem.stride}: takes (1, 1)"
    if not problem.c or 0 in problem.y_shape:
        return None if problem.groups == 1 else f"{problem.groups} groups: takes one"
    made = gradient_problem(problem)
    if min(made.padding[0][0], made.padding[1][0]) < 0:
        (top, _), (left, _) = problem.padding
        return f"padding of {top} rows and {left} columns: takes up to what the filter reaches"
    return refusal(made)


def cost(problem: ConvProblem) -> float:
    """A wgmma takes half of mma.sync's time for the same products; channels and filters rounded up to those of a tile."""
    return padded_macs(problem, problem.c, problem.r * problem.s, 64) / 2


# ---------------------------------------------------------------------------------------------------- launching


def is_rows(problem: ConvProblem) -> bool:
    """Whether the pixels of x are those of y, in order: 1 x 1 filters, stride 1, no padding."""
    d = problem
    return (d.r, d.s) == (1, 1) and d.stride == (1, 1) and (d.h, d.w) == (d.p, d.q) and not any(map(any, d.padding))


def _input_and_weight(problem: ConvProblem, tile: Tile, gradient: bool) -> tuple[_core.TensorMap, _core.TensorMap]:
    d, code = problem, DTYPE_CODE[problem.dtype]
    core = core_problem(d)
    if gradient:
        x = _core.tensor_map_input(core, code, _K, tile.m, 128)
        exchanged = core_problem(replace(d, c=d.k, k=d.c))  # the filters as they lie in memory
        return x, _core.tensor_map_weight(exchanged, code, 64, _K // tile.cluster, 128)
    if is_rows(d):
        x = _core.tensor_map_rows(code, d.n * d.h * d.w, d.c, d.c, tile.m, _K, 128)
    else:
        x = _core.tensor_map_input(core, code, _K, tile.m, 128)
    return x, _core.tensor_map_weight(core, code, _K, tile.n // tile.cluster, 128)


@lru_cache(maxsize=4096)
def _launch(
    problem: ConvProblem, tile: Tile, processors: int, gradient: bool = False
) -> tuple[KernelSource, int, _core.TensorMap, _core.TensorMap]:
    """(kernel, blocks, map of x, map of w): all that a call needs to know besides its arrays."""
    d = problem
    clusters = blocks(d.n * d.p * d.q, tile.cluster * tile.m) * blocks(d.k, tile.n)
    most = max(processors // tile.cluster, 1)
    source = kernel_source(d.dtype, tile, gradient or not is_rows(d), gradient)
    return source, min(clusters, most) * tile.cluster, *_input_and_weight(d, tile, gradient)


@lru_cache(maxsize=4096)
def _output(dtype: str, pixels: int, filters: int, row_stride: int) -> _core.TensorMap:
    return _core.tensor_map_rows(DTYPE_CODE[dtype], pixels, filters, row_stride, 64, 64, 128)


def _row_stride(array: Any) -> int:
    """Elements from one pixel of an NHWC array to the next, all of them equally far apart: the array may be a slice
    of another's channels."""
    for extent, stride in zip(array.shape[2::-1], array.strides[2::-1], strict=True):
        if extent > 1:
            return int(stride) // int(array.itemsize)
    return int(array.shape[3])


def fprop(
    device: Device,
    problem: ConvProblem,
    x: Any,
    krsc: Any,
    bias: Any,
    residual: Any,
    y: Any,
    activation: str | None,
    tile: Tile | None = None,
    gradient: bool = False,
) -> None:
    """Launches hopper_fprop. x (N, H, W, C) and krsc (K, R, S, C) are dense; y and residual (N, P, Q, K) may be slices of
    arrays with more channels. All begin at multiples of 16 bytes. `tile` overrides the choice.

    gradient: the problem is a `gradient_problem`, and krsc the weight of the convolution that it is the gradient of."""
    if y.size == 0:
        return
    d, processors = problem, device.processors()
    tile = tile or choose(d, processors).tile
    source, grid, map_x, map_w = _launch(d, tile, processors, gradient)
    outputs = d.n * d.p * d.q, d.k
    encoded_y = device.encode(_output(d.dtype, *outputs, _row_stride(y)), y)
    encoded_residual = encoded_y
    if residual is not None:
        encoded_residual = device.encode(_output(d.dtype, *outputs, _row_stride(residual)), residual)
    arguments = (
        *(device.encode(map_x, x), device.encode(map_w, krsc), encoded_y, encoded_residual, bias, problem_bytes(d)),
        *(np.int32(ACTIVATION_CODE[activation]), np.int32(residual is not None)),
    )
    cluster = (tile.cluster, 1, 1)
    device.launch(source, (grid, 1, 1), (THREADS, 1, 1), arguments, tile.shared_bytes, cluster=cluster)


def _fprop_anywhere(
    device: Device,
    problem: ConvProblem,
    x: Any,
    krsc: Any,
    bias: Any,
    residual: Any,
    y: Any,
    activation: str | None,
    gradient: bool = False,
) -> None:
    """fprop on dense arrays that begin anywhere: one between multiples of 16 bytes goes by way of a copy, so that bits do
    not depend on where arrays begin."""
    x, krsc = aligned(device, x), aligned(device, krsc)
    residual = None if residual is None else aligned(device, residual)
    if address_of(y) % 16 == 0:
        fprop(device, problem, x, krsc, bias, residual, y, activation, None, gradient)
        return
    made = device.empty(y.shape, y.dtype)
    fprop(device, problem, x, krsc, bias, residual, made, activation, None, gradient)
    device.copy(made, y)


def register_on(device: Device) -> None:
    """Rows for one device."""

    def conv2d(
        problem: ConvProblem, x: Any, weight: ConvWeight, bias: Any, residual: Any, y: Any, activation: str | None
    ) -> None:
        _fprop_anywhere(device, problem, x, weight.krsc(), bias, residual, y, activation)

    def input_grad(problem: ConvProblem, grad: Any, weight: ConvWeight, dx: Any) -> None:
        if dx.size and not grad.size:  # of nothing
            dx[...] = 0
            return
        _fprop_anywhere(device, gradient_problem(problem), grad, weight.krsc(), None, None, dx, None, True)

    def linear(problem: LinearProblem, x: Any, weight: Any, bias: Any, y: Any) -> None:
        d = rows_problem(problem)
        _fprop_anywhere(device, d, x, weight, bias, None, y.reshape(1, 1, d.w, d.k), None)

    def takes(problem: ConvProblem) -> str | None:
        return device.lacks(ARCHS) or refusal(problem)

    register(Kernel("conv2d", device.name, "wgmma", conv2d, DTYPES, takes, cost=cost))
    register(
        Kernel(
            "conv2d_input_grad",
            device.name,
            "wgmma",
            input_grad,
            DTYPES,
            lambda problem: device.lacks(ARCHS) or gradient_refusal(problem),
            cost=lambda problem: cost(gradient_problem(problem)),
        )
    )
    register(
        Kernel(
            "linear",
            device.name,
            "wgmma",
            linear,
            DTYPES,
            lambda problem: takes(rows_problem(problem)),
            cost=lambda problem: cost(rows_problem(problem)),
        )
    )


def instances() -> list[KernelSource]:
    """Every kernel of this family."""
    forms = ((True, False), (False, False), (True, True))
    return [kernel_source(dtype, tile, *form) for dtype in DTYPES for tile in TILES for form in forms]

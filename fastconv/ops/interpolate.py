"""Interpolation. Every kind becomes tables of taps and weights an axis, so that one kernel serves them all, and the
transposed tables their gradients."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np

from ..errors import AlgorithmError, ShapeError
from ._arrays import (
    Array,
    compute_dtype,
    dtype_name,
    empty_nhwc,
    find_kernel,
    from_nhwc,
    image_batch,
    image_shape,
    is_channels_last,
    pair,
    real,
    to_nhwc,
)

MODES = ("nearest", "bilinear")

Taps = tuple[Array, Array, Array]

_LARGEST = 1 << 30  # tables hold 32-bit integers


@dataclass(frozen=True)
class Axis:
    """How `extent` elements become `size`. `scale` is the factor that was asked for, or None."""

    mode: str
    extent: int
    size: int
    scale: float | None
    align_corners: bool
    dtype: str  # in which coordinates and weights are computed, as PyTorch does: float32 or float64


@dataclass(frozen=True)
class ResampleProblem:
    """A linear map of each channel of (N, C, H, W), along rows, then along columns; or its transpose."""

    n: int
    c: int
    rows: Axis
    cols: Axis
    transposed: bool
    dtype: str
    dilation: tuple[int, int] = (1, 1)

    @property
    def h(self) -> int:
        """Rows of what is read."""
        return self.rows.size if self.transposed else self.rows.extent

    @property
    def w(self) -> int:
        """Columns of what is read."""
        return self.cols.size if self.transposed else self.cols.extent

    @property
    def y_shape(self) -> tuple[int, int, int, int]:
        """The shape of what is written."""
        if self.transposed:
            return (self.n, self.c, self.rows.extent, self.cols.extent)
        return (self.n, self.c, self.rows.size, self.cols.size)

    @property
    def taps(self) -> tuple[Taps, Taps]:
        """(first, begin, weight) along rows and along columns: output i takes first[i] + j, times weight[begin[i] + j]."""
        table = _transposed_taps if self.transposed else _taps
        return table(self.rows), table(self.cols)

    @property
    def one_image(self) -> ResampleProblem:
        """The same for a batch of one."""
        return replace(self, n=1)

    def __str__(self) -> str:
        axes = f"{self.rows.extent}x{self.cols.extent} to {self.rows.size}x{self.cols.size}"
        return f"mb{self.n}ic{self.c} {self.rows.mode} {axes}{' transposed' if self.transposed else ''}"


def _frozen(first: Array, begin: Array, weight: Array) -> Taps:
    for column in (first, begin, weight):
        column.flags.writeable = False
    return first, begin, weight


@lru_cache(maxsize=256)
def _taps(axis: Axis) -> Taps:
    """Which inputs each output takes: one, or two neighbours; one where the other's weight is zero.

    >>> _taps(Axis("bilinear", 2, 4, None, False, "float32"))[2].tolist()
    [1.0, 0.75, 0.25, 0.25, 0.75, 1.0]
    """
    dtype = np.dtype(axis.dtype)
    if axis.mode == "nearest":
        first = _nearest(axis)
        return _frozen(first, np.arange(axis.size + 1, dtype=np.int32), np.ones(axis.size, dtype))
    position = _positions(axis, dtype)
    first = np.minimum(position.astype(np.int32), axis.extent - 1)
    after = np.clip(position - first.astype(dtype), 0, 1).astype(dtype)
    after[first == axis.extent - 1] = 0  # the edge pixel is its own neighbour
    both = after > 0
    begin = np.concatenate([[0], np.cumsum(1 + both)]).astype(np.int32)
    weight = np.empty(begin[-1], dtype)
    weight[begin[:-1]] = 1 - after
    weight[begin[:-1][both] + 1] = after[both]
    return _frozen(first, begin, weight)


def _nearest(axis: Axis) -> Array:
    """floor(i scale) in float32 for every type, and the two cases that PyTorch treats apart."""
    i = np.arange(axis.size, dtype=np.int64)
    if axis.size == axis.extent:
        at = i
    elif axis.size == 2 * axis.extent:
        at = i >> 1
    else:
        at = np.floor(i.astype(np.float32) * _step(axis, np.dtype(np.float32))).astype(np.int64)
    return np.minimum(at, axis.extent - 1).astype(np.int32)


def _step(axis: Axis, dtype: np.dtype[Any]) -> Any:
    """Inputs an output: what was asked for, else the ratio of the extents."""
    if axis.scale is not None:
        return dtype.type(1.0 / axis.scale)
    return dtype.type(axis.extent) / dtype.type(axis.size)


def _positions(axis: Axis, dtype: np.dtype[Any]) -> Array:
    """Where each output samples the input: pixel i covers i to i + 1 and has its value at the centre, or with
    align_corners the centres of the corner pixels fall on each other."""
    i = np.arange(axis.size, dtype=dtype)
    if axis.size == axis.extent:
        return i
    if axis.align_corners:
        step = dtype.type(axis.extent - 1) / dtype.type(axis.size - 1) if axis.size > 1 else dtype.type(0)
        aligned: Array = i * step
        return aligned
    half = dtype.type(0.5)
    centred: Array = np.maximum(_step(axis, dtype) * (i + half) - half, dtype.type(0))
    return centred


@lru_cache(maxsize=256)
def _transposed_taps(axis: Axis) -> Taps:
    """Which outputs take each input: neighbours, as the positions of outputs rise."""
    first, begin, weight = _taps(axis)
    counts = np.diff(begin)
    output = np.repeat(np.arange(axis.size), counts)
    element = np.repeat(first - begin[:-1], counts) + np.arange(len(weight))
    order = np.lexsort((output, element))
    back_begin = np.concatenate([[0], np.cumsum(np.bincount(element, minlength=axis.extent))]).astype(np.int32)
    back_first = np.zeros(axis.extent, np.int32)
    taken = np.diff(back_begin) > 0
    back_first[taken] = output[order][back_begin[:-1][taken]]
    return _frozen(back_first, back_begin, weight[order])


def _axes(
    shape: tuple[int, ...], size: Any, scale_factor: Any, mode: Any, align_corners: Any, dtype: np.dtype[Any]
) -> tuple[Axis, Axis]:
    if mode not in MODES:
        raise AlgorithmError(f"mode: expected one of {', '.join(MODES)}, got {mode!r}")
    if align_corners and mode == "nearest":
        raise AlgorithmError("align_corners: expected False for mode 'nearest', got True")
    if (size is None) == (scale_factor is None):
        raise ShapeError(f"size, scale_factor: expected one of them, got {size!r} and {scale_factor!r}")
    if min(shape[2:]) < 1:
        raise ShapeError(f"x: expected a height and width of at least 1, got {shape}")
    scales: tuple[float | None, float | None] = (None, None)
    if size is not None:
        sizes = pair(size, "size", 1)
    else:
        both = scale_factor if isinstance(scale_factor, (tuple, list)) else (scale_factor, scale_factor)
        if len(both) != 2:
            raise ShapeError(f"scale_factor: expected a number or a pair of them, got {scale_factor!r}")
        wanted = (real(both[0], "scale_factor"), real(both[1], "scale_factor"))
        products = [extent * scale for extent, scale in zip(shape[2:], wanted, strict=True)]
        if not all(scale > 0 and 1 <= product <= _LARGEST for scale, product in zip(wanted, products, strict=True)):
            raise ShapeError(f"scale_factor: expected to leave 1 to {_LARGEST} rows and columns, got {scale_factor!r}")
        sizes, scales = (math.floor(products[0]), math.floor(products[1])), wanted
    if max(*sizes, *shape[2:]) > _LARGEST:
        raise ShapeError(f"size: expected at most {_LARGEST}, got {sizes}")
    kind = compute_dtype(dtype).name
    rows, cols = (Axis(mode, shape[2 + axis], sizes[axis], scales[axis], bool(align_corners), kind) for axis in (0, 1))
    return rows, cols


def _run(images: Array, problem: ResampleProblem, single: bool) -> Array:
    y = empty_nhwc(images, problem.y_shape)
    find_kernel("resample", images, problem).run(problem, to_nhwc(images), y)
    result = from_nhwc(y, is_channels_last(images))
    return result[0] if single else result


def interpolate(
    x: Any, size: Any = None, scale_factor: Any = None, mode: str = "nearest", align_corners: bool = False
) -> Array:
    """Resizes the images of (N, C, H, W) or (C, H, W). torch.nn.functional.interpolate's arguments and numbers.

    Args:
        size: (P, Q), or one number for both; or instead of it
        scale_factor: a number or a pair: P = floor(H scale). Sampling positions follow from the factor as it is given.
        mode: "nearest" takes pixel floor(p H / P); "bilinear" weighs four neighbours, with pixel centres at halves.
        align_corners: for bilinear: the centres of the corner pixels of x and the result fall on each other.

    Returns:
        (N, C, P, Q) in the memory format of x. Positions and weights are computed in float32 (float64 for float64), as
        PyTorch's are. A pixel of weight zero is not read: where a sample falls on a pixel, NaN and Inf beside it stay
        where they are.

    Raises:
        ShapeError, DTypeError, DeviceError, AlgorithmError.

    >>> import numpy as np, fastconv as fc
    >>> fc.ops.interpolate(np.float32([[[0, 4]]]), (1, 4), mode="bilinear")
    array([[[0., 1., 3., 4.]]], dtype=float32)
    """
    images, single = image_batch(x, "x")
    rows, cols = _axes(images.shape, size, scale_factor, mode, align_corners, images.dtype)
    n, c = images.shape[:2]
    return _run(images, ResampleProblem(n, c, rows, cols, False, dtype_name(images.dtype)), single)


def interpolate_grad(
    grad: Any,
    input_shape: Any,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool = False,
) -> Array:
    """The gradient of `interpolate` with respect to x, whose shape is input_shape; in the memory format of grad.

    The other arguments are those of the interpolation; size may be left out, as grad has it. Each pixel adds up what the
    samples that read it give, in their order: the result is the same every time.
    """
    images, single = image_batch(grad, "grad")
    shape = image_shape(input_shape, single)
    if size is None and scale_factor is None:
        size = images.shape[2:]
    rows, cols = _axes(shape, size, scale_factor, mode, align_corners, images.dtype)
    expected = (*shape[:2], rows.size, cols.size)
    if images.shape != expected:
        raise ShapeError(f"grad: expected the interpolation's result shape {expected}, got {images.shape}")
    n, c = shape[:2]
    return _run(images, ResampleProblem(n, c, rows, cols, True, dtype_name(images.dtype)), single)

"""Pooling. Every kind becomes tables of windows (csrc/problem.h), so that one kernel serves them all."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np

from ..backends.array_memory import is_cupy
from ..errors import DTypeError, ShapeError
from ._arrays import (
    Array,
    dtype_name,
    empty,
    empty_nhwc,
    find_kernel,
    from_nhwc,
    image_batch,
    image_shape,
    is_channels_last,
    pair,
    require_same_device,
    to_nhwc,
)

Table = tuple[Array, Array, Array]

_LARGEST = 1 << 30  # tables hold 32-bit integers


@dataclass(frozen=True)
class PoolProblem:
    """Pooling of (N, C, H, W) to (N, C, P, Q); `rows` and `cols` describe the windows of each axis."""

    n: int
    c: int
    h: int
    w: int
    rows: tuple[Any, ...]  # arguments of a table function, hashable
    cols: tuple[Any, ...]
    dilation: tuple[int, int] = (1, 1)
    dtype: str = "float32"

    @property
    def windows(self) -> tuple[Table, Table]:
        """(start, end, count) of each window, along rows and along columns."""
        return _table(*self.rows), _table(*self.cols)

    @property
    def holders(self) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
        """(first, last) windows that can hold each row, and each column: what the gradients look at."""
        return _holder_table(*self.rows), _holder_table(*self.cols)

    @property
    def y_shape(self) -> tuple[int, int, int, int]:
        rows, cols = self.windows
        return (self.n, self.c, len(rows[0]), len(cols[0]))

    @property
    def one_image(self) -> PoolProblem:
        """The same for a batch of one."""
        return replace(self, n=1)

    def __str__(self) -> str:
        return f"mb{self.n}ic{self.c}ih{self.h}iw{self.w} windows {self.rows[1:]} x {self.cols[1:]}"


@lru_cache(maxsize=256)
def _table(kind: str, extent: int, *arguments: Any) -> Table:
    table = _sliding(extent, *arguments) if kind == "sliding" else _adaptive(extent, *arguments)
    for column in table:
        column.flags.writeable = False
    return table


@lru_cache(maxsize=256)
def _holder_table(kind: str, extent: int, *arguments: Any) -> tuple[Array, Array]:
    start, end, _ = _table(kind, extent, *arguments)
    table = holders(start, end, extent)
    for column in table:
        column.flags.writeable = False
    return table


def holders(start: Array, end: Array, extent: int) -> tuple[Array, Array]:
    """(first, last): of the windows [start, end), only first[i] <= window < last[i] can hold element i.

    `end` never falls from window to window. `start` does where dilation carries a window's first tap over the leading
    padding, and then the range holds a few windows too many.

    >>> holders(np.int32([0, 2]), np.int32([3, 5]), 5)
    (array([0, 0, 0, 1, 1], dtype=int32), array([1, 1, 2, 2, 2], dtype=int32))
    """
    element = np.arange(extent)
    least_start_from_here = np.minimum.accumulate(start[::-1])[::-1]
    first = np.searchsorted(end, element, side="right")
    last = np.searchsorted(least_start_from_here, element, side="right")
    return first.astype(np.int32), last.astype(np.int32)


def _sliding(
    extent: int, kernel: int, stride: int, padding: int, dilation: int, ceil_mode: bool, count_include_pad: bool
) -> Table:
    """Windows of ordinary pooling. `count` is what an average divides by, per axis.

    With ceil_mode the last window may hang over the end, but must start inside the input or its leading padding.
    The padded count ends at extent + padding even where the window hangs over further (PyTorch's rule).
    """
    first = np.arange(_window_count(extent, kernel, stride, padding, dilation, ceil_mode)) * stride - padding
    padded_end = np.minimum(first + dilation * (kernel - 1) + 1, extent + padding)
    start = np.where(first < 0, first + -(first // dilation) * dilation, first)
    end = np.minimum(padded_end, extent)
    count = padded_end - first if count_include_pad else end - start
    return start.astype(np.int32), end.astype(np.int32), count.astype(np.int32)


def _window_count(extent: int, kernel: int, stride: int, padding: int, dilation: int, ceil_mode: bool) -> int:
    span = extent + 2 * padding - dilation * (kernel - 1) - 1
    windows = (-(-span // stride) if ceil_mode else span // stride) + 1
    if ceil_mode and (windows - 1) * stride >= extent + padding:
        windows -= 1
    return windows


def _adaptive(extent: int, windows: int) -> Table:
    """Window i covers floor(i extent / windows) ... ceil((i + 1) extent / windows)."""
    i = np.arange(windows)
    start, end = i * extent // windows, -(-(i + 1) * extent // windows)
    return start.astype(np.int32), end.astype(np.int32), (end - start).astype(np.int32)


def _sliding_problem(
    shape: tuple[int, ...],
    dtype: str,
    kernel_size: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    ceil_mode: bool,
    count_include_pad: bool,
) -> PoolProblem:
    kernel = pair(kernel_size, "kernel_size", 1)
    steps = kernel if stride is None else pair(stride, "stride", 1)
    sides, dilated = pair(padding, "padding", 0), pair(dilation, "dilation", 1)
    axes = []
    for axis in (0, 1):
        extent = shape[2 + axis]
        if sides[axis] > kernel[axis] // 2:
            raise ShapeError(f"padding: expected at most half of kernel_size {kernel}, got {sides}")
        if max(extent, kernel[axis], steps[axis], dilated[axis] * kernel[axis]) > _LARGEST:
            raise ShapeError(f"kernel_size, stride, dilation: expected a reach of at most {_LARGEST}, got {kernel}")
        if _window_count(extent, kernel[axis], steps[axis], sides[axis], dilated[axis], ceil_mode) < 1:
            raise ShapeError(f"x: expected at least kernel_size {kernel}, padding {sides} included, got {shape}")
        axes.append(
            ("sliding", extent, kernel[axis], steps[axis], sides[axis], dilated[axis], ceil_mode, count_include_pad)
        )
    n, c, h, w = shape
    return PoolProblem(n, c, h, w, axes[0], axes[1], dilated, dtype)


def _adaptive_problem(shape: tuple[int, ...], dtype: str, output_size: Any) -> PoolProblem:
    sizes = (output_size, output_size) if isinstance(output_size, (int, np.integer)) else output_size
    try:
        wanted = tuple(extent if size is None else size for size, extent in zip(sizes, shape[2:], strict=True))
    except (TypeError, ValueError):
        raise ShapeError(f"output_size: expected an int, None or a pair of them, got {output_size!r}") from None
    p, q = pair(wanted, "output_size", 1)
    if min(shape[2:]) < 1:
        raise ShapeError(f"x: expected a height and width of at least 1, got {shape}")
    n, c, h, w = shape
    return PoolProblem(n, c, h, w, ("adaptive", h, p), ("adaptive", w, q), dtype=dtype)


def _run(op: str, images: Array, single: bool, problem: PoolProblem, with_indices: bool = False) -> Any:
    y = empty_nhwc(images, problem.y_shape)
    indices = empty(images, y.shape, np.dtype(np.int64)) if with_indices else None
    find_kernel(op, images, problem).run(problem, to_nhwc(images), y, indices)
    channels_last = is_channels_last(images)
    result = from_nhwc(y, channels_last)
    result = result[0] if single else result
    if indices is None:
        return result
    at = from_nhwc(indices, channels_last)
    return result, at[0] if single else at


def max_pool2d(
    x: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """Maximum over windows of (N, C, H, W) or (C, H, W). NaN wins. PyTorch's arguments and meaning.

    Padding, at most half the kernel, counts as minus infinity. Returns (N, C, P, Q); with return_indices also the
    positions h W + w of the maxima (int64).

    >>> import numpy as np, fastconv as fc
    >>> fc.ops.max_pool2d(np.arange(16, dtype=np.float32).reshape(1, 4, 4), 2)
    array([[[ 5.,  7.],
            [13., 15.]]], dtype=float32)
    """
    images, single = image_batch(x, "x")
    problem = _sliding_problem(
        images.shape, dtype_name(images.dtype), kernel_size, stride, padding, dilation, ceil_mode, False
    )
    return _run("max_pool2d", images, single, problem, return_indices)


def avg_pool2d(
    x: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Array:
    """Average over windows of (N, C, H, W) or (C, H, W). PyTorch's arguments and meaning.

    With count_include_pad (the default, as in PyTorch) padding counts as zeros; Keras and TensorFlow leave it out.

    >>> import numpy as np, fastconv as fc
    >>> fc.ops.avg_pool2d(np.full((1, 2, 2), 9, np.float32), 3, 1, 1)
    array([[[4., 4.],
            [4., 4.]]], dtype=float32)
    """
    images, single = image_batch(x, "x")
    problem = _sliding_problem(
        images.shape, dtype_name(images.dtype), kernel_size, stride, padding, 1, ceil_mode, count_include_pad
    )
    y: Array = _run("avg_pool2d", images, single, problem)
    return y


def adaptive_avg_pool2d(x: Any, output_size: Any) -> Array:
    """Averages to a given (P, Q): window i covers floor(i H / P) to ceil((i + 1) H / P). None keeps an extent.

    >>> import numpy as np, fastconv as fc
    >>> fc.ops.adaptive_avg_pool2d(np.arange(4, dtype=np.float32).reshape(1, 2, 2), 1)
    array([[[1.5]]], dtype=float32)
    """
    images, single = image_batch(x, "x")
    y: Array = _run(
        "avg_pool2d", images, single, _adaptive_problem(images.shape, dtype_name(images.dtype), output_size)
    )
    return y


def adaptive_max_pool2d(x: Any, output_size: Any, return_indices: bool = False) -> Any:
    """Maxima to a given (P, Q), windows as in `adaptive_avg_pool2d`; with return_indices also their positions."""
    images, single = image_batch(x, "x")
    return _run(
        "max_pool2d",
        images,
        single,
        _adaptive_problem(images.shape, dtype_name(images.dtype), output_size),
        return_indices,
    )


def _run_grad(op: str, images: Array, single: bool, problem: PoolProblem, *indices: Any) -> Array:
    operands = [("grad", images), *(("indices", index_batch(array, images, single)) for array in indices)]
    for name, array in operands:
        if array.shape != problem.y_shape:
            raise ShapeError(f"{name}: expected the pooled shape {problem.y_shape}, got {array.shape}")
    gx = empty_nhwc(images, (problem.n, problem.c, problem.h, problem.w))
    find_kernel(op, images, problem).run(problem, *(to_nhwc(array) for _, array in operands), gx)
    result = from_nhwc(gx, is_channels_last(images))
    return result[0] if single else result


def index_batch(indices: Any, grad: Array, single: bool, of: str = "grad") -> Array:
    """The argument `indices` with a batch dimension. `grad`: what they belong to, called `of` in errors."""
    if not isinstance(indices, np.ndarray) and not is_cupy(indices):
        raise DTypeError(f"indices: expected a NumPy or CuPy array, got {type(indices).__name__}")
    require_same_device(grad, indices, "indices")
    if indices.dtype != np.int64:
        raise DTypeError(f"indices: expected int64, as max_pool2d returns them, got {indices.dtype.name}")
    if indices.ndim != (3 if single else 4):
        raise ShapeError(f"indices: expected as many dimensions as {of}, got shape {indices.shape}")
    at: Array = indices[np.newaxis] if single else indices
    return at


def max_pool2d_grad(
    grad: Any,
    indices: Any,
    input_shape: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
) -> Array:
    """The gradient of `max_pool2d` with respect to x: grad (N, C, P, Q) where the maxima were, zero elsewhere.

    indices are those that max_pool2d returned, input_shape is the shape of x; the values of x are not needed. A maximum
    of several windows gets the sum of what they give, in the order of the windows. The memory format is that of grad.
    """
    images, single = image_batch(grad, "grad")
    shape, dtype = image_shape(input_shape, single), dtype_name(images.dtype)
    problem = _sliding_problem(shape, dtype, kernel_size, stride, padding, dilation, ceil_mode, False)
    return _run_grad("max_pool2d_grad", images, single, problem, indices)


def avg_pool2d_grad(
    grad: Any,
    input_shape: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Array:
    """The gradient of `avg_pool2d` with respect to x, whose shape is input_shape; in the memory format of grad."""
    images, single = image_batch(grad, "grad")
    shape, dtype = image_shape(input_shape, single), dtype_name(images.dtype)
    problem = _sliding_problem(shape, dtype, kernel_size, stride, padding, 1, ceil_mode, count_include_pad)
    return _run_grad("avg_pool2d_grad", images, single, problem)


def adaptive_avg_pool2d_grad(grad: Any, input_shape: Any) -> Array:
    """The gradient of `adaptive_avg_pool2d` to the size of grad, with respect to x, whose shape is input_shape."""
    images, single = image_batch(grad, "grad")
    problem = _adaptive_problem(image_shape(input_shape, single), dtype_name(images.dtype), images.shape[2:])
    return _run_grad("avg_pool2d_grad", images, single, problem)


def adaptive_max_pool2d_grad(grad: Any, indices: Any, input_shape: Any) -> Array:
    """The gradient of `adaptive_max_pool2d` to the size of grad; arguments as in `max_pool2d_grad`."""
    images, single = image_batch(grad, "grad")
    problem = _adaptive_problem(image_shape(input_shape, single), dtype_name(images.dtype), images.shape[2:])
    return _run_grad("max_pool2d_grad", images, single, problem, indices)

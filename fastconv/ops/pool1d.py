"""1-D pooling: 2-D pooling of height 1, as `conv1d` is a convolution of height 1."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import ShapeError
from ._arrays import Array, as_array, dense, pair
from .pool import avg_pool2d, avg_pool2d_grad, max_pool2d, max_pool2d_grad

Pair = tuple[int, int]


def max_pool1d(
    x: Any,
    kernel_size: int,
    stride: int | None = None,
    padding: int = 0,
    dilation: int = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """Maximum over windows of (N, C, L) or (C, L): `max_pool2d` along a row. PyTorch's arguments and meaning.

    >>> import numpy as np, fastconv as fc
    >>> fc.ops.max_pool1d(np.float32([[1, 5, 2, 3]]), 2)
    array([[5., 3.]], dtype=float32)
    """
    kernel, steps, sides = _windows(kernel_size, stride, padding)
    reach = (1, _along(dilation, "dilation", 1))
    result = max_pool2d(_rows(x, "x"), kernel, steps, sides, reach, ceil_mode, return_indices)
    return tuple(map(_line, result)) if return_indices else _line(result)


def max_pool1d_grad(
    grad: Any,
    indices: Any,
    input_shape: Any,
    kernel_size: int,
    stride: int | None = None,
    padding: int = 0,
    dilation: int = 1,
    ceil_mode: bool = False,
) -> Array:
    """The gradient of `max_pool1d` with respect to x, whose shape is input_shape; indices are those that it returned."""
    given = _rows(grad, "grad")
    kernel, steps, sides = _windows(kernel_size, stride, padding)
    shape, reach = _row_shape(input_shape), (1, _along(dilation, "dilation", 1))
    at = indices[..., np.newaxis, :] if getattr(indices, "ndim", 0) else indices
    return _line(max_pool2d_grad(given, at, shape, kernel, steps, sides, reach, ceil_mode))


def avg_pool1d(
    x: Any,
    kernel_size: int,
    stride: int | None = None,
    padding: int = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Array:
    """Average over windows of (N, C, L) or (C, L): `avg_pool2d` along a row. PyTorch's arguments and meaning.

    >>> import numpy as np, fastconv as fc
    >>> fc.ops.avg_pool1d(np.float32([[1, 5, 2, 4]]), 2)
    array([[3., 3.]], dtype=float32)
    """
    windows = _windows(kernel_size, stride, padding)
    return _line(avg_pool2d(_rows(x, "x"), *windows, ceil_mode, count_include_pad))


def avg_pool1d_grad(
    grad: Any,
    input_shape: Any,
    kernel_size: int,
    stride: int | None = None,
    padding: int = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Array:
    """The gradient of `avg_pool1d` with respect to x, whose shape is input_shape."""
    windows = _windows(kernel_size, stride, padding)
    given = _rows(grad, "grad")
    return _line(avg_pool2d_grad(given, _row_shape(input_shape), *windows, ceil_mode, count_include_pad))


def _along(value: Any, name: str, least: int) -> int:
    """An int, or PyTorch's one-tuple of it."""
    first, second = pair(value, name, least)
    if isinstance(value, (tuple, list)) and len(value) == 2:
        raise ShapeError(f"{name}: expected an int, got {value!r}")
    assert first == second
    return first


def _windows(kernel_size: Any, stride: Any, padding: Any) -> tuple[Pair, Pair, Pair]:
    kernel = _along(kernel_size, "kernel_size", 1)
    step = kernel if stride is None else _along(stride, "stride", 1)
    return (1, kernel), (1, step), (0, _along(padding, "padding", 0))


def _rows(value: Any, name: str) -> Array:
    array = as_array(value, name)
    if array.ndim not in (2, 3):
        raise ShapeError(f"{name}: expected shape (N, C, L) or (C, L), got {array.shape}")
    rows: Array = array[..., np.newaxis, :]
    return rows


def _row_shape(shape: Any) -> tuple[Any, ...]:
    try:
        *leading, extent = shape
    except (TypeError, ValueError):
        raise ShapeError(f"input_shape: expected (N, C, L) or (C, L), got {shape!r}") from None
    if len(leading) not in (1, 2):
        raise ShapeError(f"input_shape: expected (N, C, L) or (C, L), got {shape!r}")
    return (*leading, 1, extent)


def _line(rows: Array) -> Array:
    line: Array = dense(rows)[..., 0, :]
    return line

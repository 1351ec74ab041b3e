"""Sums and products of activations: the residual sum, and images times a number a channel."""

from __future__ import annotations

from typing import Any

from ..backends.cpu import ACTIVATION_CODE
from ..errors import AlgorithmError, ShapeError
from ._arrays import (
    Array,
    as_array,
    dense,
    dtype_name,
    empty,
    empty_nhwc,
    find_kernel,
    from_nhwc,
    image_batch,
    is_channels_last,
    require_alike,
    to_nhwc,
)
from .activation import ArrayProblem, logical_order, memory_order

_LONG_ROW = 1024  # elements: axes are joined until a row has so many, and vectors are full


def add(x: Any, y: Any, activation: str | None = None) -> Array:
    """act(x + y) for arrays of one shape and dtype, rounded once: a residual sum where no convolution can fuse it.

    activation: None, "relu", "relu6", "silu" or "sigmoid". The memory format is that of x. Both operands' gradient is that
    of the sum, which for "relu" is ``activation_grad(result, grad, "relu")``.

    Raises ShapeError, DTypeError, DeviceError, AlgorithmError.

    >>> import numpy as np, fastconv as fc
    >>> fc.ops.add(np.float32([1, -3]), np.float32([1, 2]), "relu")
    array([2., 0.], dtype=float32)
    """
    array, other = as_array(x, "x"), as_array(y, "y")
    require_alike(array, other, "y")
    if other.shape != array.shape:
        raise ShapeError(f"y: expected the shape of x {array.shape}, got {other.shape}")
    if not (activation is None or isinstance(activation, str)) or activation not in ACTIVATION_CODE:
        names = ", ".join(str(name) for name in ACTIVATION_CODE)
        raise AlgorithmError(f"activation: expected one of {names}, got {activation!r}")
    view, axes = memory_order(array)
    out = empty(view, view.shape)
    row, rows = 1, view.size
    for extent in reversed(view.shape):
        if row >= _LONG_ROW or row * extent == 0:
            break
        row, rows = row * extent, rows // extent
    shape = (rows, row) if view.size else (0, 1)
    problem = ArrayProblem(shape, dtype_name(view.dtype))
    operands = [part.reshape(shape) for part in (view, dense(other.transpose(axes)), out)]
    find_kernel("bias_activation", view, problem).run(problem, operands[0], None, *operands[1:], activation)
    return logical_order(out, axes)


def scale_channels(x: Any, scale: Any) -> Array:
    """x[n, c, h, w] scale[n, c]: the product of a squeeze-and-excitation block (Hu, Shen and Sun, 2018).

    Args:
        x: (N, C, H, W) or (C, H, W).
        scale: (N, C) or (N, C, 1, 1), without N for a single image, of x's dtype.

    Returns:
        An array of x's shape, in its memory format.

    >>> import numpy as np, fastconv as fc
    >>> fc.ops.scale_channels(np.ones((2, 1, 2), np.float32), np.float32([3, 4]))[:, 0]
    array([[3., 3.],
           [4., 4.]], dtype=float32)
    """
    images, single = image_batch(x, "x")
    factors = _scale(scale, images, single)
    y = empty_nhwc(images, images.shape)
    problem = ArrayProblem(images.shape, dtype_name(images.dtype))
    find_kernel("scale_channels", images, problem).run(problem, _pixels(to_nhwc(images)), factors, _pixels(y))
    result = from_nhwc(y, is_channels_last(images))
    return result[0] if single else result


def scale_channels_grad(grad: Any, x: Any, scale: Any) -> tuple[Array, Array]:
    """The gradients of `scale_channels` to x and to scale: grad scale, and the sum of grad x over each image's pixels.

    The first in the memory format of x, the second in the shape of scale. The order of the sum depends on the image alone.
    """
    images, single = image_batch(x, "x")
    given, _ = image_batch(grad, "grad")
    require_alike(images, given, "grad")
    if given.shape != images.shape:
        raise ShapeError(f"grad: expected the shape of x {images.shape}, got {given.shape}")
    factors = _scale(scale, images, single)
    dx, dscale = empty_nhwc(images, images.shape), empty(images, factors.shape)
    problem = ArrayProblem(images.shape, dtype_name(images.dtype))
    find_kernel("scale_channels_grad", images, problem).run(
        problem, _pixels(to_nhwc(given)), _pixels(to_nhwc(images)), factors, _pixels(dx), dscale
    )
    result = from_nhwc(dx, is_channels_last(images))
    return result[0] if single else result, dscale.reshape(as_array(scale, "scale").shape)


def _scale(value: Any, images: Array, single: bool) -> Array:
    """(N, C), dense."""
    array = as_array(value, "scale")
    require_alike(images, array, "scale")
    expected = images.shape[1:2] if single else images.shape[:2]
    if array.shape not in (expected, (*expected, 1, 1)):
        raise ShapeError(f"scale: expected shape {expected} or {(*expected, 1, 1)}, got {array.shape}")
    return dense(array).reshape(images.shape[:2])


def _pixels(nhwc: Array) -> Array:
    """(N, H W, C)."""
    n, h, w, c = nhwc.shape
    return nhwc.reshape(n, h * w, c)

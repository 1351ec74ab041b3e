"""The gradients of convolution with respect to its input and its weight."""

from __future__ import annotations

from typing import Any

from ..errors import ShapeError
from ._arrays import (
    Array,
    as_array,
    dense,
    dtype_name,
    empty,
    empty_nhwc,
    find_kernel,
    from_nhwc,
    is_channels_last,
    require_alike,
    to_nhwc,
)
from .conv import conv_problem, weight_of


def gradient(grad: Any, expected: tuple[int, ...] | None = None) -> Array:
    """The gradient of a convolution's result. Raises unless it is 4-D and, where that is known, of the right shape."""
    array = as_array(grad, "grad")
    if array.ndim != 4:
        raise ShapeError(f"grad: expected shape (N, K, P, Q), got {array.shape}")
    if expected is not None and array.shape != expected:
        raise ShapeError(f"grad: expected the convolution's result shape {expected}, got {array.shape}")
    return array


def extents(value: Any, count: int, name: str, meaning: str) -> tuple[int, ...]:
    """A shape of `count` extents; `meaning` is what the error says was expected."""
    try:
        shape = tuple(int(extent) for extent in value)
    except (TypeError, ValueError):
        raise ShapeError(f"{name}: expected {meaning}, got {value!r}") from None
    if len(shape) != count or min(shape) < 0:
        raise ShapeError(f"{name}: expected {meaning}, got {value!r}")
    return shape


def conv2d_input_grad(
    grad: Any,
    weight: Any,
    input_shape: Any,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    *,
    algo: str | None = None,
) -> Array:
    """The gradient of `conv2d` with respect to x, given that with respect to its result.

    dx[n, c, h, w] = sum over k, r, s of grad[n, k, p, q] weight[k, c, r, s] wherever p stride + r dilation - padding = h
    (and so for q, s, w): what torch.nn.grad.conv2d_input computes.

    Args:
        grad: (N, K, P, Q), C-contiguous or channels-last or any strides.
        weight: (K, C/groups, R, S), or what `prepare_weight` made of it.
        input_shape: (N, C, H, W) of the x that was convolved; several fit where stride > 1.
        stride, padding, dilation, groups: those of the convolution.
        algo: a kernel's name, or None to let the registry choose.

    Returns:
        (N, C, H, W) in the memory format of grad. 16-bit types are accumulated in float32 and rounded once.

    Raises:
        ShapeError, DTypeError, DeviceError, AlgorithmError.
    """
    prepared = weight_of(weight)
    shape = extents(input_shape, 4, "input_shape", "(N, C, H, W)")
    array = gradient(grad)
    require_alike(array, prepared.array, "weight")
    problem = conv_problem(shape, prepared.shape, stride, padding, dilation, groups, dtype_name(array.dtype))
    gradient(array, problem.y_shape)
    dx = empty_nhwc(array, problem.x_shape)
    find_kernel("conv2d_input_grad", array, problem, algo).run(problem, to_nhwc(array), prepared, dx)
    return from_nhwc(dx, is_channels_last(array))


def conv2d_weight_grad(
    grad: Any,
    x: Any,
    weight_shape: Any,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    *,
    algo: str | None = None,
) -> Array:
    """The gradient of `conv2d` with respect to its weight, given that with respect to its result.

    dw[k, c, r, s] = sum over n, p, q of grad[n, k, p, q] x[n, c, p stride + r dilation - padding, ...]: what
    torch.nn.grad.conv2d_weight computes. Deterministic: pixels are added in an order that only the problem sets.

    Args:
        grad: (N, K, P, Q); x: (N, C, H, W), of one dtype, C-contiguous or channels-last or any strides.
        weight_shape: (K, C/groups, R, S).
        stride, padding, dilation, groups: those of the convolution.
        algo: a kernel's name, or None to let the registry choose.

    Returns:
        (K, C/groups, R, S) in the memory format of grad: a channels-last one (KRSC memory) is what kernels compute.

    Raises:
        ShapeError, DTypeError, DeviceError, AlgorithmError.
    """
    array, images = gradient(grad), as_array(x, "x")
    shape = extents(weight_shape, 4, "weight_shape", "(K, C/groups, R, S)")
    require_alike(array, images, "x")
    problem = conv_problem(images.shape, shape, stride, padding, dilation, groups, dtype_name(array.dtype))
    gradient(array, problem.y_shape)
    k, group_c, r, s = shape
    dw = empty(array, (k, r, s, group_c))
    find_kernel("conv2d_weight_grad", array, problem, algo).run(problem, to_nhwc(array), to_nhwc(images), dw)
    return from_nhwc(dw, is_channels_last(array))


def conv2d_bias_grad(grad: Any) -> Array:
    """The gradient of `conv2d` with respect to its bias: the sum of grad over images and pixels, (K,), of grad's dtype.

    It is the gradient of a 1 x 1 weight over an input of ones, and so added in that kernel's fixed order.
    """
    array = gradient(grad)
    n, k, p, q = array.shape
    if array.size == 0:
        nothing = empty(array, (k,))
        nothing[...] = 0
        return nothing
    ones = empty(array, (n, 1, p, q))
    ones[...] = 1
    sums: Array = dense(conv2d_weight_grad(array, ones, (k, 1, 1, 1))).reshape(k)
    return sums

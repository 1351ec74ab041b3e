"""Activations, and softmax along any axis."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..backends.cpu import UNARY_CODE
from ..errors import AlgorithmError, ShapeError
from ._arrays import Array, as_array, dense, dtype_name, empty, find_kernel, real, require_alike, rows_of


@dataclass(frozen=True)
class ArrayProblem:
    """An operation on an array of a shape, for which nothing else matters."""

    shape: tuple[int, ...]
    dtype: str

    @property
    def one_image(self) -> ArrayProblem:
        """Itself: no extent is known to be a batch."""
        return self

    def __str__(self) -> str:
        return "x".join(str(extent) for extent in self.shape)


def memory_order(x: Array) -> tuple[Array, list[int]]:
    """A dense array over the memory of x and the order of its axes: by stride, so that any dense layout is a view."""
    axes = sorted(range(x.ndim), key=lambda axis: -abs(x.strides[axis]))
    return dense(x.transpose(axes)), axes


def logical_order(y: Array, axes: list[int]) -> Array:
    """The array whose axes `memory_order` permuted, seen in its own order again."""
    return y.transpose([axes.index(axis) for axis in range(y.ndim)]) if y.ndim else y


def _apply(function: str, x: Any, slope: float = 0.0) -> Array:
    array = as_array(x, "x")
    view, axes = memory_order(array)
    y = empty(view, view.shape)
    problem = ArrayProblem(array.shape, dtype_name(array.dtype))
    find_kernel("activation", view, problem).run(problem, view, y, function, slope)
    return logical_order(y, axes)


def activation_grad(x: Any, grad: Any, function: str, slope: float = 0.0) -> Array:
    """grad f'(x), the gradient of an activation with respect to its input x, in the memory format of x.

    function: relu, relu6, leaky_relu (whose negative_slope is `slope`), sigmoid, tanh, silu, hard_sigmoid or hard_swish. As
    in PyTorch, relu lets nothing through at 0, relu6 nothing at 6, hard_sigmoid nothing at -3 and 3.

    >>> import numpy as np, fastconv as fc
    >>> fc.ops.activation_grad(np.float32([-1, 2]), np.float32([5, 5]), "relu")
    array([0., 5.], dtype=float32)
    """
    array, given = as_array(x, "x"), as_array(grad, "grad")
    require_alike(array, given, "grad")
    if given.shape != array.shape:
        raise ShapeError(f"grad: expected the shape of x {array.shape}, got {given.shape}")
    if function not in UNARY_CODE:
        raise AlgorithmError(f"function: expected one of {', '.join(UNARY_CODE)}, got {function!r}")
    view, axes = memory_order(array)
    gx = empty(view, view.shape)
    problem = ArrayProblem(array.shape, dtype_name(array.dtype))
    kernel = find_kernel("activation_grad", view, problem)
    kernel.run(problem, view, dense(given.transpose(axes)), gx, function, real(slope, "slope"))
    return logical_order(gx, axes)


def relu(x: Any) -> Array:
    """max(x, 0); NaN stays NaN. Any shape; the memory format is kept."""
    return _apply("relu", x)


def relu6(x: Any) -> Array:
    """min(max(x, 0), 6)."""
    return _apply("relu6", x)


def leaky_relu(x: Any, negative_slope: float = 0.01) -> Array:
    """x where positive, negative_slope x elsewhere."""
    return _apply("leaky_relu", x, real(negative_slope, "negative_slope"))


def sigmoid(x: Any) -> Array:
    """1 / (1 + e^-x)."""
    return _apply("sigmoid", x)


def tanh(x: Any) -> Array:
    """The hyperbolic tangent."""
    return _apply("tanh", x)


def silu(x: Any) -> Array:
    """x sigmoid(x), also called swish."""
    return _apply("silu", x)


def hard_sigmoid(x: Any) -> Array:
    """relu6(x + 3) / 6, a sigmoid of straight lines (torch's hardsigmoid)."""
    return _apply("hard_sigmoid", x)


def hard_swish(x: Any) -> Array:
    """x relu6(x + 3) / 6, MobileNetV3's silu of straight lines (Howard et al., 2019; torch's hardswish)."""
    return _apply("hard_swish", x)


def _along(op: str, dim: int, *arrays: Array) -> Array:
    """Runs a kernel over rows along an axis of arrays of one shape."""
    shape = arrays[0].shape
    if not isinstance(dim, (int, np.integer)) or not shape or not -len(shape) <= dim < len(shape):
        raise ShapeError(f"dim: expected an axis of shape {shape}, got {dim}")
    axes = [axis for axis in range(len(shape)) if axis != dim % len(shape)] + [dim % len(shape)]
    last = [array.transpose(axes) for array in arrays]
    rows = [rows_of(dense(array)) for array in last]
    y = empty(rows[0], rows[0].shape)
    problem = ArrayProblem(rows[0].shape, dtype_name(rows[0].dtype))
    find_kernel(op, rows[0], problem).run(problem, *rows, y)
    result: Array = y.reshape(last[0].shape).transpose([axes.index(axis) for axis in range(len(shape))])
    return result


def softmax(x: Any, dim: int = -1) -> Array:
    """e^x / sum(e^x) along an axis, shifted by the maximum so that it cannot overflow.

    >>> import numpy as np, fastconv as fc
    >>> fc.ops.softmax(np.zeros(4, np.float32))
    array([0.25, 0.25, 0.25, 0.25], dtype=float32)
    """
    return _along("softmax", dim, as_array(x, "x"))


def log_softmax(x: Any, dim: int = -1) -> Array:
    """x - log(sum(e^x)) along an axis, shifted by the maximum."""
    return _along("log_softmax", dim, as_array(x, "x"))


def softmax_grad(y: Any, grad: Any, dim: int = -1) -> Array:
    """The gradient of `softmax` to x, given its result y and the gradient of that: y (grad - sum(grad y))."""
    return _along("softmax_grad", dim, *_result_and_grad(y, grad))


def log_softmax_grad(y: Any, grad: Any, dim: int = -1) -> Array:
    """The gradient of `log_softmax` to x, given its result y and the gradient of that: grad - e^y sum(grad)."""
    return _along("log_softmax_grad", dim, *_result_and_grad(y, grad))


def _result_and_grad(y: Any, grad: Any) -> tuple[Array, Array]:
    result, given = as_array(y, "y"), as_array(grad, "grad")
    require_alike(result, given, "grad")
    if given.shape != result.shape:
        raise ShapeError(f"grad: expected the shape of y, {result.shape}, got {given.shape}")
    return result, given

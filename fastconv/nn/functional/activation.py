"""Activations, and softmax along an axis, with their gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ... import ops
from ...autograd import Context, Function
from ...modes import modes

# f' is told by f(x): these save their result, which the next layer often has as its input anyway.
FROM_RESULT = ("relu", "relu6")


class _Activation(Function):
    """f(x), elementwise."""

    @staticmethod
    def forward(ctx: Context, x: Any, *, function: str, slope: float = 0.0) -> Any:
        operation = getattr(ops, function)
        y = operation(x, slope) if function == "leaky_relu" else operation(x)
        from_result = function in FROM_RESULT or (function == "leaky_relu" and slope >= 0)
        ctx.save(y if from_result else x, function, slope)
        return y

    @staticmethod
    def backward(ctx: Context, grad: Any) -> Any:
        return ops.activation_grad(ctx.saved[0], grad, *ctx.saved[1:])


def relu(x: Any, inplace: bool = False) -> Any:
    """max(x, 0). `inplace` is accepted for PyTorch's sake, here and below.

    >>> import numpy as np, fastconv as fc
    >>> x = fc.Tensor(np.array([-1.0, 2.0]), requires_grad=True)
    >>> fc.nn.functional.relu(x).sum().backward()
    >>> x.grad
    array([0., 1.])
    """
    return _Activation.apply(x, function="relu")


def relu6(x: Any, inplace: bool = False) -> Any:
    """min(max(x, 0), 6)."""
    return _Activation.apply(x, function="relu6")


def leaky_relu(x: Any, negative_slope: float = 0.01, inplace: bool = False) -> Any:
    """x where positive, negative_slope x elsewhere."""
    return _Activation.apply(x, function="leaky_relu", slope=negative_slope)


def sigmoid(x: Any) -> Any:
    """1 / (1 + e^-x)."""
    return _Activation.apply(x, function="sigmoid")


def tanh(x: Any) -> Any:
    """The hyperbolic tangent."""
    return _Activation.apply(x, function="tanh")


def silu(x: Any, inplace: bool = False) -> Any:
    """x sigmoid(x)."""
    return _Activation.apply(x, function="silu")


def hard_sigmoid(x: Any, inplace: bool = False) -> Any:
    """relu6(x + 3) / 6 (torch's hardsigmoid)."""
    return _Activation.apply(x, function="hard_sigmoid")


def hard_swish(x: Any, inplace: bool = False) -> Any:
    """x relu6(x + 3) / 6 (torch's hardswish)."""
    return _Activation.apply(x, function="hard_swish")


# Those that convolutions fuse, by name.
ACTIVATIONS: dict[str, Callable[[Any], Any]] = {"relu": relu, "relu6": relu6, "silu": silu, "sigmoid": sigmoid}


class _Softmax(Function):
    """softmax, or its logarithm, along an axis."""

    @staticmethod
    def forward(ctx: Context, x: Any, *, dim: int, log: bool, dtype: str | None) -> Any:
        x = x if dtype is None else ops.cast(x, dtype)
        y = (ops.log_softmax if log else ops.softmax)(x, dim)
        ctx.save(y, dim, log)
        return y

    @staticmethod
    def backward(ctx: Context, grad: Any) -> Any:
        y, dim, log = ctx.saved
        return (ops.log_softmax_grad if log else ops.softmax_grad)(y, grad, dim)


def wide() -> str | None:
    """The dtype that sums of exponentials are computed in under autocast, or None for that of the operand."""
    return "float32" if modes().autocast else None


def softmax(x: Any, dim: int = -1) -> Any:
    """e^x / sum(e^x) along an axis; in float32 under autocast."""
    return _Softmax.apply(x, dim=dim, log=False, dtype=wide())


def log_softmax(x: Any, dim: int = -1) -> Any:
    """x - log(sum(e^x)) along an axis; in float32 under autocast."""
    return _Softmax.apply(x, dim=dim, log=True, dtype=wide())

"""Losses, with their gradients. Under `fastconv.autocast` they compute in float32."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ... import ops
from ...autograd import Context, Function, Tensor
from .activation import wide


def _array(value: Any, dtype: str | None = None) -> Any:
    """A target or a weight as an array, cast where a dtype is given: no gradient goes to it."""
    array = value.data if isinstance(value, Tensor) else value
    return array if dtype is None or array is None else ops.cast(array, dtype)


class _CrossEntropy(Function):
    """-log softmax(logits)[target]."""

    @staticmethod
    def forward(ctx: Context, logits: Any, *, target: Any, dtype: str | None, **options: Any) -> Any:
        logits = logits if dtype is None else ops.cast(logits, dtype)
        ctx.save(logits, target, options)
        return ops.cross_entropy(logits, target, **options)

    @staticmethod
    def backward(ctx: Context, grad: Any) -> Any:
        logits, target, options = ctx.saved
        return ops.cross_entropy_grad(grad, logits, target, **options)


def cross_entropy(
    x: Any,
    target: Any,
    weight: Any = None,
    *,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Any:
    """-log softmax(x)[target], the loss of a classifier, from logits; see fastconv.ops.cross_entropy.

    >>> import numpy as np, fastconv as fc
    >>> x = fc.Tensor(np.zeros((1, 2)), requires_grad=True)
    >>> fc.nn.functional.cross_entropy(x, np.array([1])).backward()
    >>> x.grad
    array([[ 0.5, -0.5]])
    """
    return _CrossEntropy.apply(
        x,
        target=_array(target),
        dtype=wide(),
        weight=_array(weight, wide()),
        ignore_index=ignore_index,
        label_smoothing=label_smoothing,
        reduction=reduction,
    )


class _SquaredError(Function):
    """(x - target)^2; target's gradient is minus that of x."""

    @staticmethod
    def forward(ctx: Context, x: Any, target: Any, *, reduction: str, dtype: str | None) -> Any:
        x, target = (x, target) if dtype is None else (ops.cast(x, dtype), ops.cast(target, dtype))
        ctx.save(x, target, reduction)
        return ops.mse_loss(x, target, reduction)

    @staticmethod
    def backward(ctx: Context, grad: Any) -> Any:
        dx = ops.mse_loss_grad(grad, *ctx.saved)
        for_x, for_target = ctx.needs_grad
        return dx if for_x else None, -dx if for_target else None


def mse_loss(x: Any, target: Any, reduction: str = "mean") -> Any:
    """(x - target)^2; see fastconv.ops.mse_loss. Gradients go to both.

    >>> import numpy as np, fastconv as fc
    >>> x = fc.Tensor(np.array([1.0, 2.0]), requires_grad=True)
    >>> fc.nn.functional.mse_loss(x, np.array([0.0, 4.0])).backward()
    >>> x.grad
    array([ 1., -2.])
    """
    return _SquaredError.apply(x, target, reduction=reduction, dtype=wide())


class _BinaryCrossEntropy(Function):
    """Of probabilities, or of logits."""

    @staticmethod
    def forward(ctx: Context, x: Any, *, target: Any, logits: bool, dtype: str | None, **options: Any) -> Any:
        x = x if dtype is None else ops.cast(x, dtype)
        loss: Callable[..., Any] = ops.binary_cross_entropy_with_logits if logits else ops.binary_cross_entropy
        ctx.save(x, target, logits, options)
        return loss(x, target, **options)

    @staticmethod
    def backward(ctx: Context, grad: Any) -> Any:
        x, target, logits, options = ctx.saved
        derivative: Callable[..., Any] = ops.binary_cross_entropy_grad
        if logits:
            derivative = ops.binary_cross_entropy_with_logits_grad
        return derivative(grad, x, target, **options)


def binary_cross_entropy(x: Any, target: Any, weight: Any = None, *, reduction: str = "mean") -> Any:
    """-weight (target log x + (1 - target) log(1 - x)) for probabilities x; see fastconv.ops.binary_cross_entropy."""
    dtype = wide()
    return _BinaryCrossEntropy.apply(
        x,
        target=_array(target, dtype),
        logits=False,
        dtype=dtype,
        weight=_array(weight, dtype),
        reduction=reduction,
    )


def binary_cross_entropy_with_logits(
    x: Any, target: Any, weight: Any = None, *, reduction: str = "mean", pos_weight: Any = None
) -> Any:
    """`binary_cross_entropy` of sigmoid(x); see fastconv.ops.binary_cross_entropy_with_logits.

    >>> import numpy as np, fastconv as fc
    >>> x = fc.Tensor(np.array([0.0]), requires_grad=True)
    >>> fc.nn.functional.binary_cross_entropy_with_logits(x, np.array([1.0])).backward()
    >>> x.grad
    array([-0.5])
    """
    dtype = wide()
    return _BinaryCrossEntropy.apply(
        x,
        target=_array(target, dtype),
        logits=True,
        dtype=dtype,
        weight=_array(weight, dtype),
        reduction=reduction,
        pos_weight=_array(pos_weight, dtype),
    )

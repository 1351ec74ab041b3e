"""Losses, with their gradients. Under `fastconv.autocast` they compute in float32."""

from __future__ import annotations

from typing import Any

from ... import ops
from ...autograd import Context, Function, Tensor
from .activation import wide


def plain(target: Any) -> Any:
    """A target as an array: gradients to classes there are none."""
    return target.data if isinstance(target, Tensor) else target


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
    x: Any, target: Any, *, ignore_index: int = -100, reduction: str = "mean", label_smoothing: float = 0.0
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
        target=plain(target),
        dtype=wide(),
        ignore_index=ignore_index,
        label_smoothing=label_smoothing,
        reduction=reduction,
    )

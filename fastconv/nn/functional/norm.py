"""Normalisations and dropout, with their gradients."""

from __future__ import annotations

import math
from typing import Any

from ... import ops
from ...autograd import Context, Function
from ...backends.array_memory import array_module
from ...errors import ShapeError
from ...modes import modes
from ...ops._arrays import Array, as_array, compute_dtype
from .. import init


class _BatchNormTrain(Function):
    """Normalises by the batch's own statistics, which the running ones take a share of."""

    @staticmethod
    def forward(
        ctx: Context, x: Any, weight: Any, bias: Any, *, running: tuple[Any, Any], momentum: float, eps: float
    ) -> Any:
        y, mean, inverse_std = ops.batch_norm_train(x, weight, bias, eps)
        ctx.save(x, weight, mean, inverse_std)
        if not modes().recomputing:
            _track(running, momentum, eps, mean, inverse_std, x.size // mean.size if mean.size else 0)
        return y

    @staticmethod
    def backward(ctx: Context, grad: Any) -> Any:
        dx, dweight, dbias = ops.batch_norm_grad(grad, *ctx.saved)
        return tuple(g if needed else None for g, needed in zip((dx, dweight, dbias), ctx.needs_grad, strict=True))


def _track(running: tuple[Any, Any], momentum: float, eps: float, mean: Array, inverse_std: Array, count: int) -> None:
    """running = (1 - momentum) running + momentum own, in place; the variance that is tracked is the unbiased one."""
    variance = (1 / (inverse_std * inverse_std) - eps).clip(0) * (count / max(count - 1, 1))
    for name, kept, own in zip(("running_mean", "running_var"), running, (mean, variance), strict=True):
        if kept is not None:
            if as_array(kept, name).shape != own.shape:
                raise ShapeError(f"{name}: expected shape {own.shape}, got {kept.shape}")
            kept *= kept.dtype.type(1 - momentum)
            kept += (own * own.dtype.type(momentum)).astype(kept.dtype, copy=False)


class _BatchNormEval(Function):
    """Normalises by given statistics: a scale and a shift."""

    @staticmethod
    def forward(ctx: Context, x: Any, weight: Any, bias: Any, *, running: tuple[Any, Any], eps: float) -> Any:
        _, for_weight, _ = ctx.needs_grad
        ctx.save(x if for_weight else None, weight, *running, eps)
        return ops.batch_norm(x, *running, weight, bias, eps=eps)

    @staticmethod
    def backward(ctx: Context, grad: Any) -> Any:
        x, weight, mean, var, eps = ctx.saved
        for_x, for_weight, for_bias = ctx.needs_grad
        zero = array_module(mean).zeros_like(mean)
        dx = ops.batch_norm(grad, zero, var, weight, eps=eps) if for_x else None
        dweight = dbias = None
        if for_weight or for_bias:
            kind = compute_dtype(grad.dtype)
            inverse_std = ((var.astype(float) + eps) ** -0.5).astype(kind)
            _, dweight, dbias = ops.batch_norm_grad(
                grad, x if for_weight else grad, None, mean.astype(kind, copy=False), inverse_std
            )
        return dx, dweight if for_weight else None, dbias if for_bias else None


def batch_norm(
    x: Any,
    running_mean: Any,
    running_var: Any,
    weight: Any = None,
    bias: Any = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Any:
    """(x - mean) / sqrt(var + eps) * weight + bias for each channel.

    training: by the batch's own mean and biased variance; running_mean and running_var (arrays, or None) change in place
    to (1 - momentum) old + momentum new, with the unbiased variance. Otherwise: by the running ones. A checkpoint's second
    forward does not count. Source: Ioffe and Szegedy, 2015.

    >>> import numpy as np, fastconv as fc
    >>> mean, var = np.zeros(1), np.ones(1)
    >>> fc.nn.functional.batch_norm(np.array([[1.0], [3.0]]), mean, var, training=True, eps=0)
    array([[-1.],
           [ 1.]])
    >>> mean, var
    (array([0.2]), array([1.1]))
    """
    running = running_mean, running_var
    if training:
        return _BatchNormTrain.apply(x, weight, bias, running=running, momentum=momentum, eps=eps)
    return _BatchNormEval.apply(x, weight, bias, running=running, eps=eps)


class _LocalResponseNorm(Function):
    """Divides by a power of the neighbouring channels' mean square."""

    @staticmethod
    def forward(ctx: Context, x: Any, *, arguments: tuple[Any, ...]) -> Any:
        ctx.save(x, *arguments)
        return ops.local_response_norm(x, *arguments)

    @staticmethod
    def backward(ctx: Context, grad: Any) -> Any:
        return ops.local_response_norm_grad(grad, *ctx.saved)


def local_response_norm(x: Any, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> Any:
    """Normalises across channels; see fastconv.ops.local_response_norm."""
    return _LocalResponseNorm.apply(x, arguments=(size, alpha, beta, k))


class _Dropout(Function):
    """Zeroes elements by a mask that is drawn anew from the same numbers for the gradient."""

    @staticmethod
    def forward(ctx: Context, x: Any, *, p: float, seed: int, offset: int) -> Any:
        ctx.save(p, seed, offset)
        return ops.dropout(x, p, seed, offset)

    @staticmethod
    def backward(ctx: Context, grad: Any) -> Any:
        return ops.dropout(grad, *ctx.saved)


def dropout(x: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
    """In training zeroes each element with probability p and scales the rest by 1/(1-p); else x itself.

    The mask comes from the generator that `fastconv.manual_seed` seeds: see fastconv.ops.dropout.
    """
    if not 0 <= p <= 1 or math.isnan(p):
        raise ShapeError(f"p: expected a probability in 0..1, got {p!r}")
    if not training or p == 0:
        return x
    seed, offset = init.dropout_numbers()
    return _Dropout.apply(x, p=p, seed=seed, offset=offset)


class _StochasticDepth(Function):
    """Each image times 0 or 1 / (1 - p)."""

    @staticmethod
    def forward(ctx: Context, x: Any, *, p: float, seed: int, offset: int) -> Any:
        ones = array_module(x).ones((x.shape[0],), x.dtype)
        factors = ops.dropout(ones, p, seed, offset).reshape(-1, *(1,) * (x.ndim - 1))
        ctx.save(factors)
        return x * factors

    @staticmethod
    def backward(ctx: Context, grad: Any) -> Any:
        return grad * ctx.saved[0]


def stochastic_depth(x: Any, p: float, training: bool = True) -> Any:
    """In training zeroes each image of a batch with probability p and scales the rest by 1/(1-p); else x itself.

    For residual branches (Huang, Sun, Liu, Sedra and Weinberger: Deep Networks with Stochastic Depth, 2016);
    torchvision's function of this name in mode "row".
    """
    if not 0 <= p <= 1:
        raise ShapeError(f"p: expected a probability in 0..1, got {p!r}")
    if not training or p == 0:
        return x
    seed, offset = init.dropout_numbers()
    return _StochasticDepth.apply(x, p=p, seed=seed, offset=offset)

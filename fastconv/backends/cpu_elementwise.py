"""The CPU's elementwise kernels as rows of the registry: activations, dropout, casts, steps of optimizers."""

from __future__ import annotations

import math
from typing import Any

from .. import _core
from .cpu import ACTIVATION_CODE, DTYPE_CODE, UNARY_CODE, Array
from .registry import Kernel, register


def threshold_and_scale(p: float) -> tuple[int, float]:
    """Random words of 32 bits from the threshold on let an element through, multiplied by the scale.

    >>> threshold_and_scale(0.75), threshold_and_scale(1)
    ((3221225472, 4.0), (4294967296, 0.0))
    """
    return round(p * 2**32), 1 / (1 - p) if p < 1 else 0.0


def adam_scalars(
    step: int, lr: float, betas: tuple[float, float], eps: float, weight_decay: float, decoupled: bool
) -> tuple[float, ...]:
    """The numbers of csrc/cpu/elementwise/optimizer.h in its order: step, beta1_rest, beta2, beta2_rest, inverse_root,
    eps, weight_decay, shrink.

    >>> adam_scalars(1, 0.5, (0.5, 0.75), 0.125, 0.25, True)
    (1.0, 0.5, 0.75, 0.25, 2.0, 0.125, 0.0, 0.875)
    """
    beta1, beta2 = betas
    return (
        lr / (1 - beta1**step),
        1 - beta1,
        beta2,
        1 - beta2,
        1 / math.sqrt(1 - beta2**step),
        eps,
        0.0 if decoupled else weight_decay,
        1 - lr * weight_decay if decoupled else 1.0,
    )


def _activation(problem: Any, x: Array, y: Array, function: str, slope: float) -> None:
    _core.unary(DTYPE_CODE[problem.dtype], UNARY_CODE[function], x, y, slope)


def _activation_grad(problem: Any, x: Array, grad: Array, gx: Array, function: str, slope: float) -> None:
    _core.activation_grad(DTYPE_CODE[problem.dtype], UNARY_CODE[function], x, grad, gx, slope)


def _bias_activation(
    problem: Any, x: Array, bias: Array | None, residual: Array | None, y: Array, activation: str | None
) -> None:
    """y = act(x + bias + residual) over dense (rows, channels); bias, in the compute type, and residual may be None."""
    _core.bias_activation(DTYPE_CODE[problem.dtype], x, bias, residual, y, ACTIVATION_CODE[activation])


def _dropout(problem: Any, x: Array, y: Array, p: float, seed: int, offset: int) -> None:
    _core.dropout(DTYPE_CODE[problem.dtype], x, y, *threshold_and_scale(p), seed, offset)


def _cast(problem: Any, x: Array, y: Array, target: str) -> None:
    _core.cast(DTYPE_CODE[problem.dtype], DTYPE_CODE[target], x, y)


def _sgd(
    problem: Any,
    param: Array,
    grad: Array,
    velocity: Array | None,
    low: Array | None,
    lr: float,
    momentum: float,
    dampening: float,
    weight_decay: float,
    nesterov: bool,
    first: bool,
) -> None:
    scalars = lr, momentum, 1 - dampening, weight_decay
    _core.sgd(DTYPE_CODE[problem.dtype], param, grad, velocity, low, *scalars, nesterov, first)


def _adam(problem: Any, param: Array, grad: Array, mean: Array, square: Array, low: Array | None, *step: Any) -> None:
    _core.adam(DTYPE_CODE[problem.dtype], param, grad, mean, square, low, *adam_scalars(*step))


for _op, _algo, _run in (
    ("activation", "vector", _activation),
    ("activation_grad", "vector", _activation_grad),
    ("bias_activation", "rows", _bias_activation),
    ("dropout", "philox", _dropout),
    ("cast", "vector", _cast),
    ("sgd_update", "vector", _sgd),
    ("adam_update", "vector", _adam),
):
    register(Kernel(_op, "cpu", _algo, _run))

"""The CPU's steps of optimizers as rows of the registry. decay: (weight_decay, l1) in each."""

from __future__ import annotations

import math
from typing import Any

from .. import _core
from .cpu import DTYPE_CODE, Array
from .registry import Kernel, register

Decay = tuple[float, float]


def adam_scalars(
    decay: Decay, step: int, lr: float, betas: tuple[float, float], eps: float, decoupled: bool
) -> tuple[float, ...]:
    """The numbers of csrc/cuda/elementwise/optimizer.cuh: weight_decay, l1, step, beta1_rest, beta2, beta2_rest,
    inverse_root, eps, shrink.

    >>> adam_scalars((0.25, 0.0), 1, 0.5, (0.5, 0.75), 0.125, True)
    (0.0, 0.0, 1.0, 0.5, 0.75, 0.25, 2.0, 0.125, 0.875)
    """
    (weight_decay, l1), (beta1, beta2) = decay, betas
    return (
        0.0 if decoupled else weight_decay,
        l1,
        lr / (1 - beta1**step),
        1 - beta1,
        beta2,
        1 - beta2,
        1 / math.sqrt(1 - beta2**step),
        eps,
        1 - lr * weight_decay if decoupled else 1.0,
    )


def adagrad_scalars(decay: Decay, step: int, lr: float, lr_decay: float, eps: float) -> tuple[float, ...]:
    """weight_decay, l1, step, eps."""
    return (*decay, lr / (1 + (step - 1) * lr_decay), eps)


def adadelta_scalars(decay: Decay, lr: float, rho: float, eps: float) -> tuple[float, ...]:
    """weight_decay, l1, lr, rho, rho_rest, eps."""
    return (*decay, lr, rho, 1 - rho, eps)


def rmsprop_scalars(decay: Decay, lr: float, alpha: float, eps: float, momentum: float) -> tuple[float, ...]:
    """weight_decay, l1, lr, alpha, alpha_rest, eps, momentum."""
    return (*decay, lr, alpha, 1 - alpha, eps, momentum)


def _sgd(
    problem: Any,
    param: Array,
    grad: Array,
    velocity: Array | None,
    low: Array | None,
    decay: Decay,
    lr: float,
    momentum: float,
    dampening: float,
    nesterov: bool,
    first: bool,
) -> None:
    scalars = *decay, lr, momentum, 1 - dampening
    _core.sgd(DTYPE_CODE[problem.dtype], param, grad, velocity, low, *scalars, nesterov, first)


def _adam(problem: Any, param: Array, grad: Array, mean: Array, square: Array, low: Array | None, *step: Any) -> None:
    _core.adam(DTYPE_CODE[problem.dtype], param, grad, mean, square, low, *adam_scalars(*step))


def _adagrad(problem: Any, param: Array, grad: Array, square: Array, low: Array | None, *step: Any) -> None:
    _core.adagrad(DTYPE_CODE[problem.dtype], param, grad, square, low, *adagrad_scalars(*step))


def _adadelta(
    problem: Any, param: Array, grad: Array, square: Array, change: Array, low: Array | None, *step: Any
) -> None:
    _core.adadelta(DTYPE_CODE[problem.dtype], param, grad, square, change, low, *adadelta_scalars(*step))


def _rmsprop(
    problem: Any,
    param: Array,
    grad: Array,
    square: Array,
    mean: Array | None,
    velocity: Array | None,
    low: Array | None,
    *step: Any,
) -> None:
    _core.rmsprop(DTYPE_CODE[problem.dtype], param, grad, square, mean, velocity, low, *rmsprop_scalars(*step))


for _op, _run in (
    ("sgd_update", _sgd),
    ("adam_update", _adam),
    ("adagrad_update", _adagrad),
    ("adadelta_update", _adadelta),
    ("rmsprop_update", _rmsprop),
):
    register(Kernel(_op, "cpu", "vector", _run))

"""The CPU's elementwise kernels as rows of the registry: activations, dropout, casts, losses, scales."""

from __future__ import annotations

from typing import Any

from .. import _core
from .cpu import ACTIVATION_CODE, DTYPE_CODE, LOSS_CODE, REDUCTION_CODE, UNARY_CODE, Array
from .registry import Kernel, register


def threshold_and_scale(p: float) -> tuple[int, float]:
    """Random words of 32 bits from the threshold on let an element through, multiplied by the scale.

    >>> threshold_and_scale(0.75), threshold_and_scale(1)
    ((3221225472, 4.0), (4294967296, 0.0))
    """
    return round(p * 2**32), 1 / (1 - p) if p < 1 else 0.0


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


def _loss(
    problem: Any,
    x: Array,
    target: Array,
    weight: Array | None,
    positive_weight: Array | None,
    loss: str,
    reduction: str,
    y: Array,
) -> None:
    """y: a loss an element for the reduction "none", else one number, () shaped."""
    code, function = DTYPE_CODE[problem.dtype], LOSS_CODE[loss]
    _core.loss(code, function, x, target, weight, positive_weight, REDUCTION_CODE[reduction], y)


def _loss_grad(
    problem: Any,
    grad: Array,
    x: Array,
    target: Array,
    weight: Array | None,
    positive_weight: Array | None,
    loss: str,
    reduction: str,
    dx: Array,
) -> None:
    """grad is of the shape of the forward row's y."""
    code, function = DTYPE_CODE[problem.dtype], LOSS_CODE[loss]
    _core.loss_grad(code, function, grad, x, target, weight, positive_weight, REDUCTION_CODE[reduction], dx)


def _scale_channels(problem: Any, x: Array, scale: Array, y: Array) -> None:
    """Over dense (images, pixels, channels); scale (images, channels)."""
    _core.scale_channels(DTYPE_CODE[problem.dtype], x, scale, y)


def _scale_channels_grad(problem: Any, grad: Array, x: Array, scale: Array, dx: Array, dscale: Array) -> None:
    _core.scale_channels_grad(DTYPE_CODE[problem.dtype], grad, x, scale, dx, dscale)


for _op, _algo, _run in (
    ("activation", "vector", _activation),
    ("activation_grad", "vector", _activation_grad),
    ("bias_activation", "rows", _bias_activation),
    ("dropout", "philox", _dropout),
    ("cast", "vector", _cast),
    ("loss", "parts", _loss),
    ("loss_grad", "vector", _loss_grad),
    ("scale_channels", "vector", _scale_channels),
    ("scale_channels_grad", "parts", _scale_channels_grad),
):
    register(Kernel(_op, "cpu", _algo, _run))

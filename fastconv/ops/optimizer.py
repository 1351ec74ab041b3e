"""Steps of the optimizers, in place: parameter, state and working copy in one pass over memory."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

from ..errors import DTypeError, ShapeError
from ._arrays import (
    Array,
    as_array,
    check_out,
    compute_dtype,
    dense,
    dtype_name,
    find_kernel,
    is_dense,
    real,
    require_same_device,
)
from .activation import ArrayProblem


def sgd_update(
    param: Array,
    grad: Any,
    momentum_buffer: Array | None = None,
    *,
    lr: float,
    momentum: float = 0.0,
    dampening: float = 0.0,
    weight_decay: float = 0.0,
    nesterov: bool = False,
    first: bool = False,
    low: Array | None = None,
) -> None:
    """One step of stochastic gradient descent, torch.optim.SGD's formulas; param and momentum_buffer change in place.

    Args:
        param: float32, or float64 where grad is: the master copy where grad has 16 bits.
        grad: of param's shape, any dtype; not changed.
        momentum_buffer: like param; needed where momentum is not 0.
        first: the first step: momentum_buffer, whatever it holds, becomes the gradient.
        low: of grad's dtype and param's shape: gets the new parameter, rounded.

    Memory formats may be any dense ones, the same for param, momentum_buffer and low.
    """
    numbers = [
        real(value, name)
        for value, name in (
            (lr, "lr"),
            (momentum, "momentum"),
            (dampening, "dampening"),
            (weight_decay, "weight_decay"),
        )
    ]
    if momentum and momentum_buffer is None:
        raise ShapeError("momentum_buffer: expected an array where momentum is not 0, got None")
    if nesterov and (not momentum or dampening):
        raise ShapeError("nesterov: expected a momentum and no dampening with it")
    state = momentum_buffer if momentum else None
    arrays, problem = _operands(param, grad, {"momentum_buffer": state}, low)
    kernel = find_kernel("sgd_update", param, problem)
    kernel.run(problem, *arrays, *numbers, bool(nesterov), bool(first))


def adam_update(
    param: Array,
    grad: Any,
    exp_avg: Array,
    exp_avg_sq: Array,
    step: int,
    *,
    lr: float = 1e-3,
    betas: Sequence[float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    decoupled: bool = False,
    low: Array | None = None,
) -> None:
    """One step of Adam (Kingma and Ba, 2015), torch.optim.Adam's formulas; param and both averages change in place.

    Args:
        param, grad, low: as in `sgd_update`.
        exp_avg, exp_avg_sq: like param, zero before the first step.
        step: 1 for the first step; the averages are corrected by it.
        decoupled: weight decay shrinks the parameter itself (AdamW; Loshchilov and Hutter, 2019), and is no part of
            the gradient.
    """
    try:
        beta1, beta2 = (real(beta, "betas") for beta in betas)
    except (TypeError, ValueError):
        raise ShapeError(f"betas: expected a pair of numbers, got {betas!r}") from None
    if not 0 <= beta1 < 1 or not 0 <= beta2 < 1:
        raise ShapeError(f"betas: expected two numbers of at least 0 and below 1, got {betas!r}")
    count = operator.index(step)
    if count < 1:
        raise ShapeError(f"step: expected at least 1, got {step}")
    numbers = real(lr, "lr"), (beta1, beta2), real(eps, "eps"), real(weight_decay, "weight_decay")
    arrays, problem = _operands(param, grad, {"exp_avg": exp_avg, "exp_avg_sq": exp_avg_sq}, low)
    find_kernel("adam_update", param, problem).run(problem, *arrays, count, *numbers, bool(decoupled))


def _operands(
    param: Array, grad: Any, state: dict[str, Array | None], low: Array | None
) -> tuple[list[Array | None], ArrayProblem]:
    """Dense arrays in the order of param's memory: param, grad, the state, low."""
    param, given = as_array(param, "param"), as_array(grad, "grad")
    require_same_device(given, param, "param")
    if param.dtype != compute_dtype(given.dtype):
        expected = compute_dtype(given.dtype).name
        raise DTypeError(f"param: expected {expected} for a gradient in {given.dtype.name}, got {param.dtype.name}")
    if given.shape != param.shape:
        raise ShapeError(f"grad: expected the shape of param {param.shape}, got {given.shape}")
    axes = sorted(range(param.ndim), key=lambda axis: -abs(param.strides[axis]))
    arrays: list[Array | None] = [_in_place(param, param, axes, "param"), dense(given.transpose(axes))]
    arrays += [None if array is None else _in_place(array, param, axes, name) for name, array in state.items()]
    arrays.append(None if low is None else _in_place(low, given, axes, "low"))
    return arrays, ArrayProblem(param.shape, dtype_name(given.dtype))


def _in_place(array: Array, like: Array, axes: list[int], name: str) -> Array:
    """A dense view of memory that is to be written, axes permuted."""
    view: Array = check_out(array, like.shape, like, name).transpose(axes)
    if not is_dense(view):
        raise ShapeError(f"{name}: expected dense memory in the format of param, got strides {array.strides}")
    return view

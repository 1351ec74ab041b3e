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
    l1: float = 0.0,
    nesterov: bool = False,
    first: bool = False,
    low: Array | None = None,
) -> None:
    """One step of stochastic gradient descent, torch.optim.SGD's formulas; param and momentum_buffer change in place.

    Every step takes grad + weight_decay param + l1 sign(param) for the gradient (sign(0) = 0).

    Args:
        param: float32, or float64 where grad is: the master copy where grad has 16 bits.
        grad: of param's shape, any dtype; not changed.
        momentum_buffer: like param; needed where momentum is not 0.
        first: the first step: momentum_buffer, whatever it holds, becomes the gradient.
        low: of grad's dtype and param's shape: gets the new parameter, rounded.

    Memory formats may be any dense ones, the same for param, momentum_buffer and low.
    """
    numbers = _reals(lr=lr, momentum=momentum, dampening=dampening)
    decay = _reals(weight_decay=weight_decay, l1=l1)
    if momentum and momentum_buffer is None:
        raise ShapeError("momentum_buffer: expected an array where momentum is not 0, got None")
    if nesterov and (not momentum or dampening):
        raise ShapeError("nesterov: expected a momentum and no dampening with it")
    state = momentum_buffer if momentum else None
    arrays, problem = _operands(param, grad, {"momentum_buffer": state}, low)
    kernel = find_kernel("sgd_update", param, problem)
    kernel.run(problem, *arrays, decay, *numbers, bool(nesterov), bool(first))


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
    l1: float = 0.0,
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
    numbers = real(lr, "lr"), (beta1, beta2), real(eps, "eps")
    decay, count = _reals(weight_decay=weight_decay, l1=l1), _step_number(step)
    arrays, problem = _operands(param, grad, {"exp_avg": exp_avg, "exp_avg_sq": exp_avg_sq}, low)
    find_kernel("adam_update", param, problem).run(problem, *arrays, decay, count, *numbers, bool(decoupled))


def adagrad_update(
    param: Array,
    grad: Any,
    state_sum: Array,
    step: int,
    *,
    lr: float = 1e-2,
    lr_decay: float = 0.0,
    eps: float = 1e-10,
    weight_decay: float = 0.0,
    l1: float = 0.0,
    low: Array | None = None,
) -> None:
    """One step of AdaGrad (Duchi, Hazan and Singer, 2011), torch.optim.Adagrad's formulas; param and state_sum change.

    Args:
        param, grad, weight_decay, l1, low: as in `sgd_update`.
        state_sum: like param, at first zero or initial_accumulator_value: the sum of squared gradients.
        step: 1 for the first step; lr is divided by 1 + (step - 1) lr_decay.
    """
    numbers, count = _reals(lr=lr, lr_decay=lr_decay, eps=eps), _step_number(step)
    arrays, problem = _operands(param, grad, {"state_sum": state_sum}, low)
    decay = _reals(weight_decay=weight_decay, l1=l1)
    find_kernel("adagrad_update", param, problem).run(problem, *arrays, decay, count, *numbers)


def adadelta_update(
    param: Array,
    grad: Any,
    square_avg: Array,
    acc_delta: Array,
    *,
    lr: float = 1.0,
    rho: float = 0.9,
    eps: float = 1e-6,
    weight_decay: float = 0.0,
    l1: float = 0.0,
    low: Array | None = None,
) -> None:
    """One step of AdaDelta (Zeiler, 2012), torch.optim.Adadelta's formulas; param and both averages change in place.

    Args:
        param, grad, weight_decay, l1, low: as in `sgd_update`.
        square_avg, acc_delta: like param, zero before the first step: averages of squared gradients and squared changes.
        rho: how much of them a step keeps, in [0, 1].
    """
    numbers = _reals(lr=lr, rho=rho, eps=eps)
    _require_share(rho, "rho")
    arrays, problem = _operands(param, grad, {"square_avg": square_avg, "acc_delta": acc_delta}, low)
    decay = _reals(weight_decay=weight_decay, l1=l1)
    find_kernel("adadelta_update", param, problem).run(problem, *arrays, decay, *numbers)


def rmsprop_update(
    param: Array,
    grad: Any,
    square_avg: Array,
    grad_avg: Array | None = None,
    momentum_buffer: Array | None = None,
    *,
    lr: float = 1e-2,
    alpha: float = 0.99,
    eps: float = 1e-8,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
    l1: float = 0.0,
    low: Array | None = None,
) -> None:
    """One step of RMSprop (Hinton's lecture 6 of 2012), torch.optim.RMSprop's formulas; param and the state change.

    Args:
        param, grad, weight_decay, l1, low: as in `sgd_update`.
        square_avg: like param, zero before the first step.
        grad_avg: likewise, or None: given, the step is the centered one, which divides by the gradient's deviation
            (Graves, "Generating sequences with recurrent neural networks", 2013). A square of it below 0, which rounding
            may leave, counts as 0.
        momentum_buffer: likewise; needed where momentum is not 0.
        alpha: how much of the averages a step keeps, in [0, 1].
    """
    numbers = _reals(lr=lr, alpha=alpha, eps=eps, momentum=momentum)
    _require_share(alpha, "alpha")
    if momentum and momentum_buffer is None:
        raise ShapeError("momentum_buffer: expected an array where momentum is not 0, got None")
    state = {"square_avg": square_avg, "grad_avg": grad_avg, "momentum_buffer": momentum_buffer if momentum else None}
    arrays, problem = _operands(param, grad, state, low)
    decay = _reals(weight_decay=weight_decay, l1=l1)
    find_kernel("rmsprop_update", param, problem).run(problem, *arrays, decay, *numbers)


def _reals(**named: Any) -> tuple[float, ...]:
    return tuple(real(value, name) for name, value in named.items())


def _require_share(value: float, name: str) -> None:
    if not 0 <= value <= 1:
        raise ShapeError(f"{name}: expected a number in [0, 1], got {value!r}")


def _step_number(step: Any) -> int:
    count = operator.index(step)
    if count < 1:
        raise ShapeError(f"step: expected at least 1, got {step}")
    return count


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

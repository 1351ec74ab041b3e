"""The CPU's normalisations, softmax and cross-entropy as rows of the registry, over rows of contiguous channels."""

from __future__ import annotations

from functools import partial
from typing import Any

from .. import _core
from .cpu import DTYPE_CODE, REDUCTION_CODE, Array
from .registry import Kernel, register


def _batch_norm(problem: Any, x: Array, scale: Array, shift: Array, y: Array) -> None:
    _core.batch_norm(DTYPE_CODE[problem.dtype], x, scale, shift, y)


def _batch_norm_train(
    problem: Any,
    x: Array,
    weight: Array | None,
    bias: Array | None,
    eps: float,
    y: Array,
    mean: Array,
    inverse_std: Array,
) -> None:
    _core.batch_norm_train(DTYPE_CODE[problem.dtype], x, weight, bias, eps, y, mean, inverse_std)


def _batch_norm_grad(
    problem: Any,
    grad: Array,
    x: Array,
    weight: Array | None,
    mean: Array,
    inverse_std: Array,
    dx: Array,
    dweight: Array,
    dbias: Array,
) -> None:
    _core.batch_norm_grad(DTYPE_CODE[problem.dtype], grad, x, weight, mean, inverse_std, dx, dweight, dbias)


def _response_norm(problem: Any, x: Array, y: Array, size: int, alpha: float, beta: float, k: float) -> None:
    _core.local_response_norm(DTYPE_CODE[problem.dtype], None, x, y, size, alpha, beta, k)


def _response_norm_grad(
    problem: Any, grad: Array, x: Array, dx: Array, size: int, alpha: float, beta: float, k: float
) -> None:
    _core.local_response_norm(DTYPE_CODE[problem.dtype], grad, x, dx, size, alpha, beta, k)


def _softmax(log: bool, problem: Any, x: Array, y: Array) -> None:
    _core.softmax(DTYPE_CODE[problem.dtype], x, y, log)


def _softmax_grad(log: bool, problem: Any, y: Array, grad: Array, dx: Array) -> None:
    _core.softmax_grad(DTYPE_CODE[problem.dtype], y, grad, dx, log)


def _cross_entropy(
    problem: Any,
    x: Array,
    target: Array,
    weight: Array | None,
    ignore_index: int,
    smoothing: float,
    reduction: str,
    y: Array,
) -> None:
    """y: a loss a row for the reduction "none", else one number, () shaped."""
    code = REDUCTION_CODE[reduction]
    _core.cross_entropy(DTYPE_CODE[problem.dtype], x, target, weight, ignore_index, smoothing, code, y)


def _cross_entropy_grad(
    problem: Any,
    grad: Array,
    x: Array,
    target: Array,
    weight: Array | None,
    ignore_index: int,
    smoothing: float,
    reduction: str,
    dx: Array,
) -> None:
    """grad is of the shape of the forward row's y."""
    code = REDUCTION_CODE[reduction]
    _core.cross_entropy_grad(DTYPE_CODE[problem.dtype], grad, x, target, weight, ignore_index, smoothing, code, dx)


for _op, _algo, _run in (
    ("batch_norm", "scale_shift", _batch_norm),
    ("batch_norm_train", "parts", _batch_norm_train),
    ("batch_norm_grad", "parts", _batch_norm_grad),
    ("local_response_norm", "channels", _response_norm),
    ("local_response_norm_grad", "channels", _response_norm_grad),
    ("softmax", "rows", partial(_softmax, False)),
    ("log_softmax", "rows", partial(_softmax, True)),
    ("softmax_grad", "rows", partial(_softmax_grad, False)),
    ("log_softmax_grad", "rows", partial(_softmax_grad, True)),
    ("cross_entropy", "rows", _cross_entropy),
    ("cross_entropy_grad", "rows", _cross_entropy_grad),
):
    register(Kernel(_op, "cpu", _algo, _run))

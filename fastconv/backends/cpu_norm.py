"""The CPU's normalisations, softmax and cross-entropy as rows of the registry, over rows of contiguous channels."""

from __future__ import annotations

from functools import partial
from typing import Any

from .. import _core
from .cpu import DTYPE_CODE, Array
from .registry import Kernel, register


def _batch_norm(problem: Any, x: Array, scale: Array, shift: Array, y: Array) -> None:
    _core.batch_norm(DTYPE_CODE[problem.dtype], x, scale, shift, y)


def _response_norm(problem: Any, x: Array, y: Array, size: int, alpha: float, beta: float, k: float) -> None:
    _core.local_response_norm(DTYPE_CODE[problem.dtype], x, y, size, alpha, beta, k)


def _softmax(log: bool, problem: Any, x: Array, y: Array) -> None:
    _core.softmax(DTYPE_CODE[problem.dtype], x, y, log)


for _op, _algo, _run in (
    ("batch_norm", "scale_shift", _batch_norm),
    ("local_response_norm", "channels", _response_norm),
    ("softmax", "rows", partial(_softmax, False)),
    ("log_softmax", "rows", partial(_softmax, True)),
):
    register(Kernel(_op, "cpu", _algo, _run))

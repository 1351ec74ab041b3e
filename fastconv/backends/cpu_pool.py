"""The CPU's pooling and unpooling as rows of the registry: one kernel for windows of every kind, which are given as tables."""

from __future__ import annotations

from functools import partial
from typing import Any

from .. import _core
from ..errors import AlgorithmError
from .cpu import DTYPE_CODE, Array
from .registry import Kernel, register

_INDEX_LIMIT = 1 << 32  # csrc/cpu/pool/pool_args.h: kIndexLimit


def _pool(kind: str, problem: Any, x: Array, y: Array, indices: Array | None) -> None:
    if indices is not None and problem.h * problem.w > _INDEX_LIMIT:
        raise AlgorithmError(f"x: expected an image of at most 2^32 pixels, got {problem.h} x {problem.w}")
    rows, cols = problem.windows
    dilation = [problem.dilation[0], problem.dilation[1]]
    _core.pool(kind, DTYPE_CODE[problem.dtype], x, y, indices, dilation, *rows, *cols)


def _pool_grad(problem: Any, grad: Array, indices: Array | None, gx: Array) -> None:
    (_, _, row_count), (_, _, col_count) = problem.windows
    (row_first, row_last), (col_first, col_last) = problem.holders
    code = DTYPE_CODE[problem.dtype]
    _core.pool_grad(code, grad, indices, gx, row_first, row_last, row_count, col_first, col_last, col_count)


def _avg_pool_grad(problem: Any, grad: Array, gx: Array) -> None:
    _pool_grad(problem, grad, None, gx)


def _unpool(problem: Any, x: Array, indices: Array, y: Array) -> None:
    _core.max_unpool(DTYPE_CODE[problem.dtype], x, indices, y, False)


def _unpool_grad(problem: Any, grad: Array, indices: Array, gx: Array) -> None:
    _core.max_unpool(DTYPE_CODE[problem.dtype], gx, indices, grad, True)


for _op, _algo, _run in (
    ("max_pool2d", "window", partial(_pool, "max")),
    ("avg_pool2d", "window", partial(_pool, "avg")),
    ("max_pool2d_grad", "gather", _pool_grad),
    ("avg_pool2d_grad", "gather", _avg_pool_grad),
    ("max_unpool2d", "scatter", _unpool),
    ("max_unpool2d_grad", "gather", _unpool_grad),
):
    register(Kernel(_op, "cpu", _algo, _run))

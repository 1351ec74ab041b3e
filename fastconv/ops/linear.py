"""The fully connected layer."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

from ..errors import ShapeError
from ..problem import LinearProblem
from ._arrays import Array, as_array, channel_vector, dense, dtype_name, empty, find_kernel, require_alike, rows_of


def linear_problem(x: Array, weight: Array) -> LinearProblem:
    """The problem that `linear` solves. Raises where the operands do not fit together."""
    if weight.ndim != 2:
        raise ShapeError(f"weight: expected shape (N, K), got {weight.shape}")
    if x.ndim < 1 or x.shape[-1] != weight.shape[1]:
        raise ShapeError(f"x: expected shape (..., {weight.shape[1]}) for weight {weight.shape}, got {x.shape}")
    require_alike(x, weight, "weight")
    return _linear_problem(math.prod(x.shape[:-1]), weight.shape[0], weight.shape[1], dtype_name(x.dtype))


@lru_cache(maxsize=1024)
def _linear_problem(m: int, n: int, k: int, dtype: str) -> LinearProblem:
    """One object for a problem that comes again: it is hashed, and looked up by the registry, at each call."""
    return LinearProblem(m, n, k, dtype)


def linear(x: Any, weight: Any, bias: Any = None, *, algo: str | None = None) -> Array:
    """x times the transpose of weight, plus bias: (..., K) and (N, K) to (..., N).

    16-bit types are accumulated in float32 and rounded once. A row's result does not depend on the other rows.

    >>> import numpy as np, fastconv as fc
    >>> fc.ops.linear(np.array([1, 2], np.float32), np.array([[3, 4]], np.float32))
    array([11.], dtype=float32)
    """
    rows, filters = as_array(x, "x"), as_array(weight, "weight")
    problem = linear_problem(rows, filters)
    bias = channel_vector(bias, problem.n, rows, "bias")
    flat = rows_of(dense(rows))
    y = empty(flat, (problem.m, problem.n))
    find_kernel("linear", flat, problem, algo).run(problem, flat, dense(filters), bias, y)
    return y.reshape((*rows.shape[:-1], problem.n))

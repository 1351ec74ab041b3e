"""The fully connected layer."""

from __future__ import annotations

from typing import Any

from ..backends import registry
from ..errors import ShapeError
from ..problem import LinearProblem
from ._arrays import Array, as_array, channel_vector, dense, dtype_name, empty, require_same_dtype


def linear(x: Any, weight: Any, bias: Any = None, *, algo: str | None = None) -> Array:
    """x times the transpose of weight, plus bias: (..., K) and (N, K) to (..., N).

    16-bit types are accumulated in float32 and rounded once. A row's result does not depend on the other rows.

    >>> import numpy as np, fastconv as fc
    >>> fc.ops.linear(np.array([1, 2], np.float32), np.array([[3, 4]], np.float32))
    array([11.], dtype=float32)
    """
    rows, filters = as_array(x, "x"), as_array(weight, "weight")
    if filters.ndim != 2:
        raise ShapeError(f"weight: expected shape (N, K), got {filters.shape}")
    if rows.ndim < 1 or rows.shape[-1] != filters.shape[1]:
        raise ShapeError(f"x: expected shape (..., {filters.shape[1]}) for weight {filters.shape}, got {rows.shape}")
    require_same_dtype(rows.dtype, filters, "weight")
    bias = channel_vector(bias, filters.shape[0], rows.dtype, "bias")
    flat = dense(rows.reshape(-1, rows.shape[-1]) if rows.ndim != 2 else rows)
    problem = LinearProblem(flat.shape[0], filters.shape[0], filters.shape[1], dtype_name(rows.dtype))
    y = empty((problem.m, problem.n), rows.dtype)
    registry.choose("linear", "cpu", problem, algo).kernel.run(problem, flat, dense(filters), bias, y)
    return y.reshape((*rows.shape[:-1], problem.n))

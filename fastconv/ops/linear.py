"""The fully connected layer."""

from __future__ import annotations

import math
from typing import Any

from ..errors import ShapeError
from ..problem import LinearProblem
from ._arrays import Array, as_array, channel_vector, dense, dtype_name, empty, find_kernel, require_alike, rows_of
from .conv_grad import conv2d_bias_grad, conv2d_weight_grad


def linear_problem(x: Array, weight: Array) -> LinearProblem:
    """The problem that `linear` solves. Raises where the operands do not fit together."""
    if weight.ndim != 2:
        raise ShapeError(f"weight: expected shape (N, K), got {weight.shape}")
    if x.ndim < 1 or x.shape[-1] != weight.shape[1]:
        raise ShapeError(f"x: expected shape (..., {weight.shape[1]}) for weight {weight.shape}, got {x.shape}")
    require_alike(x, weight, "weight")
    return LinearProblem(math.prod(x.shape[:-1]), weight.shape[0], weight.shape[1], dtype_name(x.dtype))


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


def linear_input_grad(grad: Any, weight: Any) -> Array:
    """The gradient of `linear` with respect to x, given that of its result: (..., N) and (N, K) to (..., K).

    dx[m, k] = sum over n of grad[m, n] weight[n, k]: outer products of columns of grad and rows of weight, which is read
    where it lies.
    """
    array, filters = as_array(grad, "grad"), as_array(weight, "weight")
    if filters.ndim != 2:
        raise ShapeError(f"weight: expected shape (N, K), got {filters.shape}")
    if array.ndim < 1 or array.shape[-1] != filters.shape[0]:
        raise ShapeError(
            f"grad: expected shape (..., {filters.shape[0]}) for weight {filters.shape}, got {array.shape}"
        )
    require_alike(array, filters, "weight")
    columns = dense(rows_of(dense(array)).T)
    dx: Array = _outer_products(columns, dense(filters)).reshape(*array.shape[:-1], filters.shape[1])
    return dx


def linear_weight_grad(grad: Any, x: Any) -> Array:
    """The gradient of `linear` with respect to its weight: (..., N) and (..., K) to (N, K).

    dw[n, k] = sum over m of grad[m, n] x[m, k], added in an order that only the shapes set.
    """
    array, rows = as_array(grad, "grad"), as_array(x, "x")
    if array.ndim < 1 or rows.ndim != array.ndim or array.shape[:-1] != rows.shape[:-1]:
        raise ShapeError(f"x: expected rows as in grad {array.shape}, got {rows.shape}")
    require_alike(array, rows, "x")
    return _outer_products(rows_of(dense(array)), rows_of(dense(rows)))


def linear_bias_grad(grad: Any) -> Array:
    """The gradient of `linear` with respect to its bias: the sum of all rows of grad."""
    array = as_array(grad, "grad")
    if array.ndim < 1:
        raise ShapeError(f"grad: expected shape (..., N), got {array.shape}")
    return conv2d_bias_grad(_as_pixels(rows_of(dense(array))))


def _outer_products(a: Array, b: Array) -> Array:
    """Sum over p of the outer products of a[p] and b[p], dense (P, N) and (P, K): the gradient of a 1 x 1 weight."""
    n, k = a.shape[1], b.shape[1]
    products = conv2d_weight_grad(_as_pixels(a), _as_pixels(b), (n, k, 1, 1))
    matrix: Array = dense(products.transpose(0, 2, 3, 1)).reshape(n, k)
    return matrix


def _as_pixels(rows: Array) -> Array:
    """Dense (P, C) rows as the pixels of one channels-last image."""
    image: Array = rows.reshape(1, rows.shape[0], 1, rows.shape[1]).transpose(0, 3, 1, 2)
    return image

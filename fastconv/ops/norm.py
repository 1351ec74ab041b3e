"""Normalisations over channels, for inference."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..errors import AlgorithmError, ShapeError
from ._arrays import (
    Array,
    as_array,
    channel_vector,
    compute_dtype,
    dtype_name,
    empty,
    find_kernel,
    from_nhwc,
    is_channels_last,
    real,
    rows_of,
    to_nhwc,
)
from .activation import ArrayProblem


def _by_channels(x: Any, run: Callable[[ArrayProblem, Array, Array], None]) -> Array:
    """Calls run(problem, rows, y) with x as (pixels, channels) rows; the result has x's shape and memory format."""
    array = as_array(x, "x")
    if array.ndim not in (2, 3, 4):
        raise ShapeError(f"x: expected shape (N, C), (N, C, L) or (N, C, H, W), got {array.shape}")
    images = array.reshape(*array.shape, *(1,) * (4 - array.ndim))
    nhwc = to_nhwc(images)
    y = empty(nhwc, nhwc.shape)
    run(ArrayProblem(array.shape, dtype_name(array.dtype)), rows_of(nhwc), rows_of(y))
    return from_nhwc(y, is_channels_last(images)).reshape(array.shape)


def batch_norm(
    x: Any,
    running_mean: Any,
    running_var: Any,
    weight: Any = None,
    bias: Any = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Array:
    """(x - mean) / sqrt(var + eps) * weight + bias with stored statistics, as one multiply-add per element.

    x is (N, C), (N, C, L) or (N, C, H, W), the rest (C,). The arguments are PyTorch's; statistics of the batch
    (training=True) are not part of this version. Source: Ioffe and Szegedy, 2015.
    """
    if training:
        raise AlgorithmError("training: expected False: this version normalises by stored statistics only")
    array = as_array(x, "x")
    if array.ndim < 2:
        raise ShapeError(f"x: expected shape (N, C), (N, C, L) or (N, C, H, W), got {array.shape}")
    channels = array.shape[1]
    exact = [
        channel_vector(value, channels, array, name)
        for name, value in (
            ("running_mean", running_mean),
            ("running_var", running_var),
            ("weight", weight),
            ("bias", bias),
        )
    ]
    mean, var, gamma, beta = (None if v is None else v.astype(np.float64) for v in exact)
    if mean is None or var is None:
        raise ShapeError(f"running_mean, running_var: expected arrays of shape ({channels},), got None")
    deviation = (var + real(eps, "eps")) ** 0.5
    scale = 1.0 / deviation if gamma is None else gamma / deviation
    shift = (0.0 if beta is None else beta) - mean * scale
    kind = compute_dtype(array.dtype)

    def run(problem: ArrayProblem, rows: Array, y: Array) -> None:
        kernel = find_kernel("batch_norm", rows, problem)
        kernel.run(problem, rows, scale.astype(kind), shift.astype(kind), y)

    return _by_channels(array, run)


def local_response_norm(x: Any, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> Array:
    """x / (k + alpha/size * sum of squares over `size` neighbouring channels)^beta.

    PyTorch's, Caffe's and ONNX's form: alpha is divided by size. The paper's (and Chainer's) is not: pass
    size * alpha for it. x is (N, C), (N, C, L) or (N, C, H, W). Source: Krizhevsky et al., 2012, section 3.3.
    """
    if isinstance(size, bool) or not isinstance(size, (int, np.integer)) or size < 1:
        raise ShapeError(f"size: expected a positive int, got {size!r}")
    numbers = real(alpha, "alpha"), real(beta, "beta"), real(k, "k")

    def run(problem: ArrayProblem, rows: Array, y: Array) -> None:
        find_kernel("local_response_norm", rows, problem).run(problem, rows, y, int(size), *numbers)

    return _by_channels(x, run)

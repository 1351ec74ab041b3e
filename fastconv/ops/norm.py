"""Normalisations over channels, and their gradients."""

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
    require_alike,
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

    x is (N, C), (N, C, L) or (N, C, H, W), the rest (C,). The arguments are PyTorch's; normalising by the batch's own
    statistics is `batch_norm_train`. Source: Ioffe and Szegedy, 2015.
    """
    if training:
        raise AlgorithmError("training: expected False: batch_norm_train normalises by the batch's own statistics")
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
    window = _window(size)
    numbers = real(alpha, "alpha"), real(beta, "beta"), real(k, "k")

    def run(problem: ArrayProblem, rows: Array, y: Array) -> None:
        find_kernel("local_response_norm", rows, problem).run(problem, rows, y, window, *numbers)

    return _by_channels(x, run)


def batch_norm_train(x: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> tuple[Array, Array, Array]:
    """(x - mean) / sqrt(var + eps) * weight + bias with the batch's own mean and biased variance.

    x is (N, C), (N, C, L) or (N, C, H, W) with more than one value a channel, weight and bias (C,) or None. The
    statistics are computed without cancellation (Chan, Golub and LeVeque, 1979), in an order that depends on the shape
    alone. Running statistics are the layer's to keep.

    Returns:
        y in x's memory format; mean and 1 / sqrt(var + eps), (C,) in the compute type, for `batch_norm_grad`.
    """
    array = as_array(x, "x")
    if array.ndim not in (2, 3, 4):
        raise ShapeError(f"x: expected shape (N, C), (N, C, L) or (N, C, H, W), got {array.shape}")
    channels = array.shape[1]
    if channels and array.size <= channels:
        raise ShapeError(f"x: expected more than one value a channel, got shape {array.shape}")
    gamma = channel_vector(weight, channels, array, "weight")
    beta = channel_vector(bias, channels, array, "bias")
    kind = compute_dtype(array.dtype)
    mean, inverse_std = empty(array, (channels,), kind), empty(array, (channels,), kind)
    epsilon = real(eps, "eps")

    def run(problem: ArrayProblem, rows: Array, y: Array) -> None:
        kernel = find_kernel("batch_norm_train", rows, problem)
        kernel.run(problem, rows, gamma, beta, epsilon, y, mean, inverse_std)

    return _by_channels(array, run), mean, inverse_std


def batch_norm_grad(grad: Any, x: Any, weight: Any, mean: Any, inverse_std: Any) -> tuple[Array, Array, Array]:
    """The gradients of `batch_norm_train` to x, weight and bias, given that of y.

    grad and x are of one shape; weight is (C,) or None; mean and inverse_std are what batch_norm_train returned.

    Returns:
        dx in x's memory format; dweight and dbias (C,), of weight's dtype, or of the compute type without weight.
    """
    array = as_array(x, "x")
    if array.ndim not in (2, 3, 4):
        raise ShapeError(f"x: expected shape (N, C), (N, C, L) or (N, C, H, W), got {array.shape}")
    given = _alike(grad, array)
    channels = array.shape[1]
    gamma = channel_vector(weight, channels, array, "weight")
    statistics = [
        channel_vector(value, channels, array, name) for name, value in (("mean", mean), ("inverse_std", inverse_std))
    ]
    if any(vector is None for vector in statistics):
        raise ShapeError(f"mean, inverse_std: expected arrays of shape ({channels},), got None")
    kind = compute_dtype(array.dtype)
    dweight, dbias = empty(array, (channels,), kind), empty(array, (channels,), kind)
    if array.size == 0:
        dweight[...], dbias[...] = 0, 0

    def run(problem: ArrayProblem, rows: Array, dx: Array) -> None:
        kernel = find_kernel("batch_norm_grad", rows, problem)
        kernel.run(problem, _rows_as(given), rows, gamma, *statistics, dx, dweight, dbias)

    dx = _by_channels(array, run)
    parameter = kind if weight is None else as_array(weight, "weight").dtype
    return dx, dweight.astype(parameter, copy=False), dbias.astype(parameter, copy=False)


def local_response_norm_grad(
    grad: Any, x: Any, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> Array:
    """The gradient of `local_response_norm` to x, given that of its result; in x's memory format."""
    array = as_array(x, "x")
    window = _window(size)
    given = _alike(grad, array)
    numbers = real(alpha, "alpha"), real(beta, "beta"), real(k, "k")

    def run(problem: ArrayProblem, rows: Array, dx: Array) -> None:
        kernel = find_kernel("local_response_norm_grad", rows, problem)
        kernel.run(problem, _rows_as(given), rows, dx, window, *numbers)

    return _by_channels(array, run)


def _alike(grad: Any, x: Array) -> Array:
    """grad, if it is of x's shape, dtype and memory."""
    given = as_array(grad, "grad")
    require_alike(x, given, "grad")
    if given.shape != x.shape:
        raise ShapeError(f"grad: expected the shape of x, {x.shape}, got {given.shape}")
    return given


def _rows_as(x: Array) -> Array:
    """(pixels, channels) rows of an array of 2 to 4 dimensions."""
    return rows_of(to_nhwc(x.reshape(*x.shape, *(1,) * (4 - x.ndim))))


def _window(size: Any) -> int:
    if isinstance(size, bool) or not isinstance(size, (int, np.integer)) or size < 1:
        raise ShapeError(f"size: expected a positive int, got {size!r}")
    return int(size)

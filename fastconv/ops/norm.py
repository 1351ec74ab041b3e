"""Normalisations over channels, for inference."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..backends import registry
from ..errors import ShapeError
from ._arrays import (
    Array,
    channel_vector,
    compute_dtype,
    dtype_name,
    empty,
    from_nhwc,
    image_batch,
    is_channels_last,
    to_nhwc,
)
from .activation import ArrayProblem


def batch_norm(
    x: Any, running_mean: Any, running_var: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5
) -> Array:
    """(x - mean) / sqrt(var + eps) * weight + bias with stored statistics, as one multiply-add per element.

    x is (N, C, H, W) or (C, H, W), the rest (C,). Source: Ioffe and Szegedy, 2015.
    """
    images, single = image_batch(x, "x")
    channels = images.shape[1]
    exact = [
        channel_vector(value, channels, images.dtype, name)
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
    scale = 1.0 / np.sqrt(var + eps) if gamma is None else gamma / np.sqrt(var + eps)
    shift = (0.0 if beta is None else beta) - mean * scale
    kind = compute_dtype(images.dtype)
    nhwc = to_nhwc(images)
    y = empty(nhwc.shape, nhwc.dtype)
    problem = ArrayProblem(images.shape, dtype_name(images.dtype))
    registry.choose("batch_norm", "cpu", problem).kernel.run(
        problem, nhwc.reshape(-1, channels), scale.astype(kind), shift.astype(kind), y.reshape(-1, channels)
    )
    result = from_nhwc(y, is_channels_last(images))
    return result[0] if single else result


def local_response_norm(x: Any, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> Array:
    """x / (k + alpha/size * sum of squares over `size` neighbouring channels)^beta.

    PyTorch's, Caffe's and ONNX's form: alpha is divided by size. The paper's (and Chainer's) is not: pass
    size * alpha for it. x is (N, C, H, W) or (C, H, W). Source: Krizhevsky et al., 2012, section 3.3.
    """
    images, single = image_batch(x, "x")
    if isinstance(size, bool) or not isinstance(size, (int, np.integer)) or size < 1:
        raise ShapeError(f"size: expected a positive int, got {size!r}")
    nhwc = to_nhwc(images)
    y = empty(nhwc.shape, nhwc.dtype)
    channels = images.shape[1]
    problem = ArrayProblem(images.shape, dtype_name(images.dtype))
    registry.choose("local_response_norm", "cpu", problem).kernel.run(
        problem, nhwc.reshape(-1, channels), y.reshape(-1, channels), int(size), alpha, beta, k
    )
    result = from_nhwc(y, is_channels_last(images))
    return result[0] if single else result

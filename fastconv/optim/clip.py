"""Gradients held within bounds, in place: by their norm, or value by value."""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import TrainingError
from ..nn import Parameter

Array = NDArray[Any]


def clip_grad_norm_(
    parameters: Parameter | Iterable[Parameter],
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
) -> Any:
    """Scales all gradients by min(1, max_norm / (norm + 1e-6)), norm being that of all of them as one vector.

    Returns the norm before, a float64 scalar of the gradients' memory (float() of it waits for a GPU). It is summed in
    float64 in a fixed order. Source: Pascanu, Mikolov and Bengio, 2013.

    >>> import numpy as np, fastconv as fc
    >>> p = fc.nn.Parameter(np.zeros(2, np.float32))
    >>> p.grad = np.array([3, 4], np.float32)
    >>> float(fc.optim.clip_grad_norm_([p], 1.0)), p.grad.round(3).tolist()
    (5.0, [0.6000000238418579, 0.800000011920929])
    """
    limit, order = _bound(max_norm, "max_norm"), _bound(norm_type, "norm_type")
    given = _with_gradients(parameters)
    if not given:
        return np.float64(0)
    norms = [_norm(p.grad, order) for p in given]
    if order == math.inf:
        norm = reduce(np.maximum, norms)
    else:
        norm = reduce(np.add, [value**order for value in norms]) ** (1 / order)
    if error_if_nonfinite and not math.isfinite(float(norm)):
        raise TrainingError(f"parameters: the norm of the gradients is {float(norm)}, which cannot be clipped")
    scale = np.minimum(limit / (norm + 1e-6), 1.0)
    for p in given:
        p.grad = p.grad * scale.astype(p.grad.dtype)
    return norm


def clip_grad_value_(parameters: Parameter | Iterable[Parameter], clip_value: float) -> None:
    """Cuts every gradient off at -clip_value and clip_value."""
    limit = _bound(clip_value, "clip_value")
    for p in _with_gradients(parameters):
        bound = p.grad.dtype.type(limit)
        p.grad = np.minimum(np.maximum(p.grad, -bound), bound)


def _norm(grad: Array, order: float) -> Any:
    """A gradient's norm, in float64."""
    exact = grad.astype(np.float64)
    if order == 2.0:
        return np.sqrt(np.square(exact).sum())
    magnitude = np.abs(exact)
    return magnitude.max(initial=0.0) if order == math.inf else (magnitude**order).sum() ** (1 / order)


def _with_gradients(parameters: Parameter | Iterable[Parameter]) -> list[Parameter]:
    given = [parameters] if isinstance(parameters, Parameter) else list(parameters)
    return [p for p in given if p.grad is not None]


def _bound(value: Any, name: str) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not number > 0:
        raise TrainingError(f"{name}: expected a number above 0, got {value!r}")
    return number

"""Dropout, with a generator that needs no state."""

from __future__ import annotations

import operator
from typing import Any

from ..errors import ShapeError
from ._arrays import Array, as_array, dense, dtype_name, empty, find_kernel, from_nhwc, is_channels_last, real, to_nhwc
from .activation import ArrayProblem


def dropout(x: Any, p: float, seed: int, offset: int = 0) -> Array:
    """x / (1 - p) with probability 1 - p, else 0, each element on its own (Srivastava et al., 2014).

    Which elements stay depends on seed, offset and position alone: the same on every device, in either memory format,
    and for the gradient, which is the same call on grad. Calls with different offsets are independent. 4-D arrays
    (N, C, H, W) count positions in channels-last order. Words of Philox4x32-10 (Salmon et al., 2011) decide.

    >>> import numpy as np, fastconv as fc
    >>> fc.ops.dropout(np.ones(4, np.float32), 0.5, seed=0)
    array([0., 2., 2., 2.], dtype=float32)
    """
    array = as_array(x, "x")
    probability = real(p, "p")
    if not 0 <= probability <= 1:
        raise ShapeError(f"p: expected a probability, got {p}")
    numbers = _word(seed, "seed"), _word(offset, "offset")
    images = array.ndim == 4
    view = to_nhwc(array) if images else dense(array)
    y = empty(view, view.shape)
    problem = ArrayProblem(array.shape, dtype_name(array.dtype))
    find_kernel("dropout", view, problem).run(problem, view, y, probability, *numbers)
    return from_nhwc(y, is_channels_last(array)) if images else y


def _word(value: Any, name: str) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        number = -1
    if not 0 <= number < 1 << 64:
        raise ShapeError(f"{name}: expected an integer of 64 bits, not negative, got {value!r}")
    return number

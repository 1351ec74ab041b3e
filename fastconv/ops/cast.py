"""From one storage type to another."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np

from ..errors import DTypeError
from ..problem import ITEM_SIZE
from ._arrays import Array, as_array, dtype_name, empty, find_kernel
from .activation import ArrayProblem, logical_order, memory_order


def cast(x: Any, dtype: Any) -> Array:
    """The same values in another dtype (a name or a NumPy dtype), each rounded once; x itself where it has that
    already.

    float64 to 16 bits is one rounding too, not one to float32 and a second one. The memory format is kept.

    >>> import numpy as np, fastconv as fc
    >>> fc.ops.cast(np.float64([1 + 2**-11 + 2**-40]), "float16") > 1
    array([ True])
    """
    array = as_array(x, "x")
    wanted = _dtype(dtype)
    if wanted == array.dtype:
        return array
    view, axes = memory_order(array)
    y = empty(view, view.shape, wanted)
    problem = ArrayProblem(array.shape, dtype_name(array.dtype))
    find_kernel("cast", view, problem).run(problem, view, y, dtype_name(wanted))
    return logical_order(y, axes)


def _dtype(value: Any) -> np.dtype[Any]:
    try:
        dtype = np.dtype(getattr(ml_dtypes, value, value) if isinstance(value, str) else value)
    except TypeError:
        dtype = np.dtype(np.void)
    if dtype.name not in ITEM_SIZE or not dtype.isnative:
        raise DTypeError(f"dtype: expected one of {', '.join(ITEM_SIZE)}, got {value!r}")
    return dtype

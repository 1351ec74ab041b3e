"""Whose memory an array is, and where it begins. Below all devices: imports none of them."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np


def is_cupy(value: Any) -> bool:
    """Whether this is a CuPy array. CuPy is not imported for it: an array of it exists only where it was."""
    if isinstance(value, np.ndarray):
        return False  # the usual answer, and asked many times a call
    kind = getattr(sys.modules.get("cupy"), "ndarray", None)  # another thread may just be importing it
    return kind is not None and isinstance(value, kind)


def address_of(array: Any) -> int:
    """The address of an array's first element."""
    return int(array.data.ptr) if is_cupy(array) else int(array.ctypes.data)


def array_module(array: Any) -> Any:
    """The module whose functions compute on an array where it is: numpy or cupy."""
    return sys.modules["cupy"] if is_cupy(array) else np

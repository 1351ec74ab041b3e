"""Shapes that files claim."""

from __future__ import annotations

import math
from collections.abc import Sequence


def is_possible(shape: Sequence[int]) -> bool:
    """Whether NumPy can hold such an array: at most 32 axes, and extents whose product, zeros aside, has 48 bits.

    >>> is_possible((0, 3)), is_possible((0, 1 << 30, 1 << 30))
    (True, False)
    """
    return len(shape) <= 32 and min(shape, default=0) >= 0 and math.prod(max(n, 1) for n in shape) < 1 << 48

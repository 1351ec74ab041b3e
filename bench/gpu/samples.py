"""Statistics of times. Pure."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import Any


def summary(microseconds: Sequence[float]) -> dict[str, Any]:
    """Median, minimum, and all samples, to four digits."""
    values = [significant(value) for value in microseconds]
    if not values or not all(math.isfinite(value) for value in values):
        raise ValueError(f"samples: expected finite times, got {values}")
    return {"median": significant(statistics.median(values)), "min": min(values), "samples": values}


def significant(value: float, digits: int = 4) -> float:
    """Rounded to so many significant digits.

    >>> significant(123456.0), significant(0.0123456)
    (123500.0, 0.01235)
    """
    return float(f"{value:.{digits}g}")


def calls_for(estimate: float, target: float = 250.0, most: int = 64) -> int:
    """Calls that a graph repeats, so that it lasts `target` microseconds: its own start then counts for nothing.

    >>> calls_for(5.0), calls_for(1000.0), calls_for(0.0)
    (50, 1, 64)
    """
    return max(1, min(most, math.ceil(target / estimate))) if estimate > 0 else most


def rounds_for(estimate: float) -> int:
    """Samples a contender: fewer of what takes long.

    >>> rounds_for(100.0), rounds_for(5e4)
    (11, 3)
    """
    return 11 if estimate < 5e3 else 5 if estimate < 2e4 else 3

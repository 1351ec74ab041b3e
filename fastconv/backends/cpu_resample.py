"""The CPU's resampling as a row of the registry: one kernel for interpolation of every kind, which is given as tables."""

from __future__ import annotations

from typing import Any

from .. import _core
from .cpu import DTYPE_CODE, Array
from .registry import Kernel, register


def _resample(problem: Any, x: Array, y: Array) -> None:
    rows, cols = problem.taps
    _core.resample(DTYPE_CODE[problem.dtype], x, y, *rows, *cols)


register(Kernel("resample", "cpu", "taps", _resample))

"""The CPU's pooling as rows of the registry: one kernel for windows of every kind, which are given as tables."""

from __future__ import annotations

from functools import partial
from typing import Any

from .. import _core
from .cpu import DTYPE_CODE, Array
from .registry import Kernel, register


def _pool(kind: str, problem: Any, x: Array, y: Array, indices: Array | None) -> None:
    rows, cols = problem.windows
    dilation = [problem.dilation[0], problem.dilation[1]]
    _core.pool(kind, DTYPE_CODE[problem.dtype], x, y, indices, dilation, *rows, *cols)


register(Kernel("max_pool2d", "cpu", "window", partial(_pool, "max")))
register(Kernel("avg_pool2d", "cpu", "window", partial(_pool, "avg")))

"""The CPU as a device: instruction sets, threads, memory; and its `linear` as a row of the registry. The other rows are
in one module a family: cpu_conv, cpu_pool, cpu_norm, cpu_elementwise. Each function there takes dense channels-last
arrays and calls fastconv._core."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import _core
from ..errors import ShapeError
from ..problem import ITEM_SIZE, ConvProblem, LinearProblem
from .registry import Kernel, forget_choices, register

Array = NDArray[Any]

name = "cpu"

DTYPE_CODE = {"float32": 0, "float16": 1, "bfloat16": 2, "float64": 3}
ACTIVATION_CODE = {None: 0, "relu": 1, "relu6": 2, "silu": 3, "sigmoid": 4}
UNARY_CODE = {
    "relu": 0,
    "relu6": 1,
    "silu": 2,
    "sigmoid": 3,
    "leaky_relu": 4,
    "tanh": 5,
    "hard_sigmoid": 6,
    "hard_swish": 7,
}
LOSS_CODE = {"mse_loss": 0, "binary_cross_entropy": 1, "binary_cross_entropy_with_logits": 2}
REDUCTION_CODE = {"none": 0, "sum": 1, "mean": 2}


def available() -> str | None:
    """Why the CPU cannot be used: never."""
    return None


def isa() -> str:
    """The instruction set whose kernels run: portable, avx2 or avx512.

    Raises DeviceError where FASTCONV_ISA names one that this CPU or this build has not.
    """
    return str(_core.isa())


def supported_isas() -> list[str]:
    """What this build and this CPU share, worst to best."""
    return list(_core.supported_isas())


@contextlib.contextmanager
def force_isa(name: str) -> Iterator[None]:
    """Runs the kernels of another instruction set within a block: for tests and comparisons.

    Raises DeviceError for one that this CPU or this build has not.
    """
    before = isa()
    _core.set_isa(name)
    forget_choices()  # costs depend on the ISA
    try:
        yield
    finally:
        _core.set_isa(before)
        forget_choices()


def num_threads() -> int:
    """Threads that kernels use; by default the CPUs that affinity mask and cgroup quota leave."""
    return int(_core.num_threads())


def set_num_threads(threads: int) -> None:
    """Sets the threads that kernels use. Results do not depend on it.

    Raises ShapeError outside 1..1024.
    """
    if not isinstance(threads, int) or isinstance(threads, bool) or not 1 <= threads <= _core.MAX_THREADS:
        raise ShapeError(f"threads: expected an integer in 1..{_core.MAX_THREADS}, got {threads!r}")
    _core.set_num_threads(threads)


@lru_cache(maxsize=1024)
def core_problem(problem: ConvProblem) -> _core.ConvProblem:
    """csrc/problem.h's struct for a problem."""
    (top, _), (left, _) = problem.padding
    return _core.ConvProblem(
        n=problem.n,
        c=problem.c,
        h=problem.h,
        w=problem.w,
        k=problem.k,
        r=problem.r,
        s=problem.s,
        p=problem.p,
        q=problem.q,
        stride_h=problem.stride[0],
        stride_w=problem.stride[1],
        pad_top=top,
        pad_left=left,
        dilation_h=problem.dilation[0],
        dilation_w=problem.dilation[1],
        groups=problem.groups,
    )


def copy(src: Array, dst: Array) -> None:
    """dst[...] = src for equal shapes of up to 4 dimensions and equal dtypes, whatever the strides."""
    _core.copy(src, dst)


def empty(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """An uninitialised C-contiguous array that begins at a cache line (NumPy's own begin 16 bytes after one, so
    that every 64-byte vector would touch two)."""
    size = math.prod(shape) * dtype.itemsize
    if size < 4096:
        return np.empty(shape, dtype)
    memory = np.empty(size + 64, np.uint8)
    start = -memory.ctypes.data % 64
    return memory[start : start + size].view(dtype).reshape(shape)


def _linear(problem: LinearProblem, x: Array, weight: Array, bias: Array | None, y: Array) -> None:
    _core.linear(DTYPE_CODE[problem.dtype], x, weight, bias, y)


register(Kernel("linear", "cpu", "dot", _linear))


assert set(DTYPE_CODE) == set(ITEM_SIZE)

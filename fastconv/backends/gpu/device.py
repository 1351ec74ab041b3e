"""What the kernels' launch code asks of a device that runs CUDA kernels: fastconv.backends.cuda, or .simt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from numpy.typing import NDArray

from .source import KernelSource


class Device(Protocol):
    """A module with these functions."""

    @property
    def name(self) -> str:
        """The registry's name of the device."""

    def launch(
        self,
        kernel: KernelSource,
        grid: tuple[int, int, int],
        block: tuple[int, int, int],
        args: Sequence[object],
        shared_bytes: int = 0,
    ) -> None:
        """Runs a kernel. args: arrays of the device, None, NumPy scalars, or the bytes of a struct."""

    def empty(self, shape: tuple[int, ...], dtype: Any) -> Any:
        """An uninitialised C-contiguous array in the device's memory."""

    def constant(self, array: NDArray[Any]) -> Any:
        """The array in the device's memory, for good: a table that many launches read. Equal arrays are one."""

    def processors(self) -> int:
        """Multiprocessors: how many blocks can run at the same time, at the least."""


# The C++ name of each storage type (csrc/cuda/ptx/dtype.cuh).
CPP_TYPE = {"float32": "float", "float16": "fastconv::Half", "bfloat16": "fastconv::BFloat16", "float64": "double"}


def blocks(count: int, each: int) -> int:
    """Blocks of `each` that cover `count`."""
    return -(-count // each)

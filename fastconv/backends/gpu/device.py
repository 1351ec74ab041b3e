"""What the kernels' launch code asks of a device that runs CUDA kernels: fastconv.backends.cuda, or .simt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from numpy.typing import NDArray

from ... import _core
from ..array_memory import address_of
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
        *,
        cluster: tuple[int, int, int] = (1, 1, 1),
        programmatic: bool = False,
    ) -> None:
        """Runs a kernel. args: arrays of the device, None, NumPy scalars, the bytes of a struct, or what `encode` gives.

        cluster: the blocks that run together. programmatic: it may start before the kernel ahead of it ends, for which
        it waits itself.
        """

    def encode(self, tensor_map: _core.TensorMap, array: Any) -> object:
        """A tensor map over the memory that an array starts at, a multiple of 16 bytes, as an argument of `launch`."""

    def lacks(self, archs: tuple[str, ...]) -> str | None:
        """Why the device cannot run a kernel that is compiled for these architectures alone, or None."""

    def empty(self, shape: tuple[int, ...], dtype: Any) -> Any:
        """An uninitialised C-contiguous array in the device's memory."""

    def constant(self, array: NDArray[Any]) -> Any:
        """The array in the device's memory, for good: a table that many launches read. Equal arrays are one."""

    def copy(self, src: Any, dst: Any) -> None:
        """dst[...] = src for equal shapes of up to 4 dimensions and equal dtypes, whatever the strides."""

    def processors(self) -> int:
        """Multiprocessors: how many blocks can run at the same time, at the least."""


# The C++ name of each storage type (csrc/cuda/ptx/dtype.cuh).
CPP_TYPE = {"float32": "float", "float16": "fastconv::Half", "bfloat16": "fastconv::BFloat16", "float64": "double"}


def blocks(count: int, each: int) -> int:
    """Blocks of `each` that cover `count`."""
    return -(-count // each)


def vector_width(itemsize: int, run: int, *arrays: Any) -> int:
    """How many elements a kernel moves as one: 16 bytes of them where they divide each `run` of contiguous ones and
    all arrays begin at a multiple of 16 bytes, else 1. None stands for an array that is not there.

    >>> vector_width(4, 12), vector_width(4, 6), vector_width(2, 12)
    (4, 1, 1)
    """
    most = 16 // itemsize
    fits = run % most == 0 and all(array is None or address_of(array) % 16 == 0 for array in arrays)
    return most if fits else 1


def aligned(device: Device, array: Any) -> Any:
    """The array, or a copy of it that begins at a multiple of 16 bytes.

    For sums whose order follows from the width of vectors: it must not follow from an address.
    """
    if address_of(array) % 16 == 0:
        return array
    copy = device.empty(array.shape, array.dtype)
    device.copy(array.reshape(-1), copy.reshape(-1))
    return copy

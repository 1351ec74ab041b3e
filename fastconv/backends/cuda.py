"""The device cuda: kernels compiled for the GPU that is there, launched on CuPy's current device and stream.

CuPy gives arrays, memory, streams and graphs. It is imported when CUDA is first used, never before.
"""

from __future__ import annotations

import ctypes
import importlib.util
import sys
from collections.abc import Sequence
from functools import cache, lru_cache
from typing import Any

import numpy as np

from .. import _core
from ..errors import DeviceError, DTypeError
from . import cubins, nvrtc
from .cubins import arch_for
from .gpu import elementwise
from .gpu.source import KernelSource

__all__ = [
    "arch_for",
    "available",
    "constant",
    "copy",
    "describe",
    "empty",
    "encode",
    "finish",
    "from_dlpack",
    "from_numpy",
    "lacks",
    "launch",
    "load",
    "may_share_memory",
    "name",
    "processors",
    "require_current",
]

Extent = tuple[int, int, int]

name = "cuda"


@lru_cache(maxsize=1)
def available() -> str | None:
    """Why CUDA cannot be used here, or None where it can. Never raises."""
    if reason := _core.cuda_unavailable():
        return reason
    if importlib.util.find_spec("cupy") is None:
        return f"CuPy, which holds the arrays, is not installed: {nvrtc.INSTALL}"
    try:
        import cupy

        count = cupy.cuda.runtime.getDeviceCount()
    except Exception as error:  # CuPy of another CUDA than the driver's fails in its own ways
        return f"CuPy does not work: {type(error).__name__}: {error}"
    if count == 0:
        return "no CUDA device: CuPy sees none"
    try:
        major, minor = nvrtc.version()
    except DeviceError as error:
        return str(error)
    driver = _core.cuda_driver_version()
    if driver // 1000 < major:
        return (
            f"NVRTC is of CUDA {major}.{minor}, the driver takes what is compiled by CUDA {driver // 1000}: "
            f"pip install 'fastconv[cu{driver // 1000}]' in an environment without the other, or a newer driver"
        )
    return None


def launch(
    kernel: KernelSource,
    grid: Extent,
    block: Extent,
    args: Sequence[object],
    shared_bytes: int = 0,
    *,
    cluster: Extent = (1, 1, 1),
    programmatic: bool = False,
) -> None:
    """Starts a kernel on CuPy's current device and stream, and does not wait for it.

    An argument is a CuPy array (passed as its address), None (a null pointer), a NumPy or ctypes scalar, or `bytes` (a
    struct passed by value). `shared_bytes` is dynamic shared memory, `cluster` the blocks that run together, and
    `programmatic` lets the kernel start before the one ahead of it ends: it must wait by griddepcontrol.

    Raises DeviceError where CUDA cannot be used or refuses the launch, ValueError where the arguments are not those
    that the kernel takes.
    """
    cupy = _cupy()
    function = load(kernel, cupy.cuda.runtime.getDevice())
    stream = cupy.cuda.get_current_stream().ptr
    values = tuple(_value(argument) for argument in args)
    _core.launch(function, grid, block, cluster, shared_bytes, stream, programmatic, values)


@cache
def load(kernel: KernelSource, device: int) -> _core.CudaFunction:
    """The kernel on a device: compiled or found in the cache, loaded once, never unloaded."""
    capability = _cupy().cuda.Device(device).compute_capability  # "90"
    cubin = cubins.cubin(kernel, arch_for(int(capability[:-1]), int(capability[-1])))
    return _core.load_cubin(cubin.image, cubin.entry, device)


def empty(shape: tuple[int, ...], dtype: Any) -> Any:
    """An uninitialised CuPy array, from CuPy's memory pool: workspaces respect the allocator that users set."""
    return _cupy().empty(shape, dtype)


def copy(src: Any, dst: Any) -> None:
    """dst[...] = src for equal shapes of up to 4 dimensions and equal dtypes, whatever the strides."""
    elementwise.copy(sys.modules[__name__], src, dst)


def constant(array: np.ndarray[Any, Any]) -> Any:
    """A CuPy array that equals a NumPy one, uploaded once to each device: a table that many launches read."""
    key = (array.dtype.str, array.shape, array.tobytes())
    return _constant(_cupy().cuda.runtime.getDevice(), *key)


@lru_cache(maxsize=1024)
def _constant(device: int, dtype: str, shape: tuple[int, ...], content: bytes) -> Any:
    cupy = _cupy()
    uploaded = cupy.asarray(np.frombuffer(content, dtype).reshape(shape))
    cupy.cuda.get_current_stream().synchronize()  # other streams will read it too
    return uploaded


def require_current(array: Any) -> None:
    """Raises DeviceError for an array of another GPU than CuPy's current one, which is where kernels are launched."""
    current = _cupy().cuda.runtime.getDevice()
    if array.device.id != current:
        raise DeviceError(f"x: on GPU {array.device.id}, but GPU {current} is current: compute inside `with x.device:`")


def finish(array: Any) -> None:
    """Waits for what was launched, so that other streams may read an array that is kept.

    Raises DeviceError while a graph is captured: the array would stay empty until the graph is replayed.
    """
    stream = _cupy().cuda.get_current_stream()
    if stream.is_capturing():
        raise DeviceError("weight: prepared for the first time while a graph is captured: call once before capturing")
    stream.synchronize()


def from_numpy(array: np.ndarray[Any, Any]) -> Any:
    """A copy of a NumPy array on CuPy's current device."""
    return _cupy().asarray(array)


def from_dlpack(value: Any) -> Any:
    """A CuPy array over the memory of a DLPack producer on a GPU (a PyTorch CUDA tensor, say); no copy."""
    return _cupy().from_dlpack(value)


def may_share_memory(a: Any, b: Any) -> bool:
    """Whether the memory of two CuPy arrays may overlap (bounds only)."""
    return bool(_cupy().may_share_memory(a, b))


def processors() -> int:
    """Multiprocessors of CuPy's current device."""
    return _processors(_cupy().cuda.runtime.getDevice())


def encode(tensor_map: _core.TensorMap, array: Any) -> bytes:
    """A tensor map over an array's memory, as an argument of `launch`."""
    return _encoded(tensor_map, array.data.ptr, array.device.id)


# The 128 bytes follow from the description and the address alone, never from what lies there.
@lru_cache(maxsize=4096)
def _encoded(tensor_map: _core.TensorMap, address: int, device: int) -> bytes:
    return _core.encode_tensor_map(tensor_map, address, device)


def lacks(archs: tuple[str, ...]) -> str | None:
    """Why a kernel that is compiled for these architectures alone cannot run here, or None.

    Choices of kernels hold for all GPUs of the process, so all of them must be able to.
    """
    return _lacks(archs)


@cache
def _lacks(archs: tuple[str, ...]) -> str | None:
    if reason := available():
        return reason
    cupy = _cupy()
    for index in range(cupy.cuda.runtime.getDeviceCount()):
        capability = cupy.cuda.Device(index).compute_capability
        if arch_for(int(capability[:-1]), int(capability[-1])) not in archs:
            needed = ", ".join(archs)
            return f"GPU {index} has compute capability {capability[:-1]}.{capability[-1]}: takes {needed} alone"
    return None


@cache
def _processors(device: int) -> int:
    return int(_cupy().cuda.Device(device).attributes["MultiProcessorCount"])


def describe() -> str:
    """The GPUs in one line, or why there are none. Never raises."""
    reason = available()
    if reason is not None:
        return reason
    cupy = _cupy()
    driver = _core.cuda_driver_version()
    devices = []
    for index in range(cupy.cuda.runtime.getDeviceCount()):
        properties = cupy.cuda.runtime.getDeviceProperties(index)
        devices.append(
            f"{properties['name'].decode()} ({properties['multiProcessorCount']} SMs, "
            f"{properties['totalGlobalMem'] / 2**30:.0f} GiB, {properties['major']}.{properties['minor']})"
        )
    versions = f"driver of CUDA {driver // 1000}.{driver % 1000 // 10}, NVRTC {'.'.join(map(str, nvrtc.version()))}"
    return f"{', '.join(devices)}; {versions}, CuPy {cupy.__version__}"


@lru_cache(maxsize=1)
def _cupy() -> Any:
    reason = available()
    if reason is not None:
        raise DeviceError(reason)
    import cupy

    return cupy


def _value(argument: object) -> object:
    """What _core.launch takes: an address as int or None, anything else as the bytes it exposes."""
    if argument is None or isinstance(argument, (np.generic, bytes, ctypes._SimpleCData, ctypes.Structure)):
        return argument
    try:
        return argument.data.ptr  # type: ignore[attr-defined]
    except AttributeError:
        raise DTypeError(
            f"argument: expected a CuPy array, None, a NumPy or ctypes scalar or bytes, got {type(argument).__name__}"
        ) from None

"""Arrays at the edge of the engine: what is accepted, in which memory format it came, and conversions.

A tensor has PyTorch's logical shape (N, C, H, W). *Channels-last* is such a view whose memory is NHWC; kernels
see that memory as a dense (N, H, W, C) array. The format of an array whose memory fits both (one channel, or
one pixel) is told by its strides, as PyTorch does; a single element an image counts as contiguous.
"""

from __future__ import annotations

import math
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from ..backends import cpu
from ..errors import DeviceError, DTypeError, ShapeError
from ..problem import ITEM_SIZE

Array = NDArray[Any]

_DLPACK_CPU = 1

# dtype.name is computed anew each time it is asked for.
_NAMES = {np.dtype(getattr(ml_dtypes, name, None) or name): name for name in ITEM_SIZE}


def dtype_name(dtype: np.dtype[Any]) -> str:
    """The name under which kernels know a dtype that `as_array` accepted."""
    return _NAMES[dtype]


def as_array(value: Any, name: str) -> Array:
    """A NumPy array for a NumPy array or a DLPack producer on the CPU, without a copy.

    Raises DTypeError for anything else or a dtype that the engine does not compute in, DeviceError for an array of
    another device.
    """
    if not isinstance(value, np.ndarray):
        if not hasattr(value, "__dlpack__"):
            raise DTypeError(f"{name}: expected a NumPy array or a DLPack producer, got {type(value).__name__}")
        try:
            on_cpu = value.__dlpack_device__()[0] == _DLPACK_CPU
            if on_cpu:
                value = np.from_dlpack(value)
        except (BufferError, RuntimeError, TypeError, ValueError) as error:
            raise DTypeError(f"{name}: {type(value).__name__} cannot be read by DLPack: {error}") from None
        if not on_cpu:
            raise DeviceError(f"{name}: expected an array in CPU memory, got {type(value).__name__} on another device")
    if value.dtype not in _NAMES:
        if not value.dtype.isnative:
            raise DTypeError(f"{name}: expected native byte order, got {value.dtype.str}")
        raise DTypeError(f"{name}: expected dtype {', '.join(ITEM_SIZE)}, got {value.dtype.name}")
    array: Array = value
    return array


def require_same_dtype(expected: np.dtype[Any], array: Array, name: str) -> None:
    """Raises DTypeError where an operand's dtype differs from the input's."""
    if array.dtype != expected:
        raise DTypeError(f"{name}: expected the input's dtype {expected.name}, got {array.dtype.name}")


def compute_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """What a storage dtype is computed in: float64 for itself, float32 for the rest."""
    return np.dtype(np.float64 if dtype == np.float64 else np.float32)


def channel_vector(value: Any, channels: int, dtype: np.dtype[Any], name: str) -> Array | None:
    """A per-channel operand in the compute dtype, dense; None stays None."""
    if value is None:
        return None
    array = as_array(value, name)
    if array.dtype not in (dtype, compute_dtype(dtype)):
        raise DTypeError(f"{name}: expected the input's dtype {dtype.name}, got {array.dtype.name}")
    if array.shape != (channels,):
        raise ShapeError(f"{name}: expected shape ({channels},), got {array.shape}")
    return np.ascontiguousarray(array, compute_dtype(dtype))


def is_channels_last(x: Array) -> bool:
    """Whether a 4-D array is a dense NHWC memory seen as (N, C, H, W)."""
    if x.strides[1] != x.itemsize or x.strides[3] != x.shape[1] * x.itemsize or x.shape[1:] == (1, 1, 1):
        return False
    return bool(x.transpose(0, 2, 3, 1).flags.c_contiguous)


def to_nhwc(x: Array) -> Array:
    """The dense (N, H, W, C) array of a 4-D (N, C, H, W) one: a view where it is channels-last, else a copy."""
    view: Array = x.transpose(0, 2, 3, 1)
    if view.flags.c_contiguous and view.flags.aligned:
        # Strides of axes of extent 1 are arbitrary: make them those of NHWC, so that the format is told by them.
        canonical = view.strides[2:] == (view.shape[3] * view.itemsize, view.itemsize)
        return view if canonical else view.reshape(-1).reshape(view.shape)
    return dense(view)


def dense(x: Array) -> Array:
    """A C-contiguous, aligned array: itself, or a copy (by our own kernel up to 4 dimensions)."""
    if x.flags.c_contiguous and x.flags.aligned:
        return x
    out = empty(x.shape, x.dtype)
    if x.ndim > 4:
        out[...] = x
    else:
        cpu.copy(x, out)
    return out


def empty_nhwc(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """An uninitialised dense (N, H, W, C) array for a logical (N, C, H, W) shape."""
    n, c, h, w = shape
    return empty((n, h, w, c), dtype)


def empty(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """An uninitialised C-contiguous array that begins at a cache line (NumPy's own begin 16 bytes after one, so
    that every 64-byte vector would touch two)."""
    size = math.prod(shape) * dtype.itemsize
    if size < 4096:
        return np.empty(shape, dtype)
    memory = np.empty(size + 64, np.uint8)
    start = -memory.ctypes.data % 64
    return memory[start : start + size].view(dtype).reshape(shape)


def from_nhwc(y: Array, channels_last: bool) -> Array:
    """The logical (N, C, H, W) array: a channels-last view, or a contiguous copy."""
    view = y.transpose(0, 3, 1, 2)
    return view if channels_last else dense(view)


def check_out(out: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """Raises unless `out` is a writable NumPy array of this shape and dtype."""
    if not isinstance(out, np.ndarray):
        raise DTypeError(f"out: expected a NumPy array, got {type(out).__name__}")
    if out.shape != shape:
        raise ShapeError(f"out: expected shape {shape}, got {out.shape}")
    if out.dtype != dtype:
        raise DTypeError(f"out: expected dtype {dtype.name}, got {out.dtype.name}")
    if not out.flags.writeable:
        raise DTypeError("out: expected a writable array, got a read-only one")
    return out


def image_batch(value: Any, name: str) -> tuple[Array, bool]:
    """A (N, C, H, W) array and whether it came as a single (C, H, W) image."""
    x = as_array(value, name)
    if x.ndim not in (3, 4):
        raise ShapeError(f"{name}: expected shape (N, C, H, W) or (C, H, W), got {x.shape}")
    return (x, False) if x.ndim == 4 else (x[np.newaxis], True)


def pair(value: Any, name: str, least: int) -> tuple[int, int]:
    """An int or a pair of ints, each at least `least`.

    >>> pair(3, "stride", 1), pair((1, 2), "stride", 1)
    ((3, 3), (1, 2))
    """
    try:
        if isinstance(value, (tuple, list)) and len(value) == 1:
            (value,) = value  # PyTorch's one-tuple
        first, second = (value, value) if isinstance(value, (int, np.integer)) else value
        result = (_integer(first), _integer(second))
    except (TypeError, ValueError):
        raise ShapeError(f"{name}: expected an int or a pair of ints, got {value!r}") from None
    if min(result) < least:
        raise ShapeError(f"{name}: expected at least {least}, got {value!r}")
    return result


def rows_of(x: Array) -> Array:
    """(rows, last extent) over the memory of a dense array; reshape's -1 cannot do this where the extent is 0."""
    return x.reshape(math.prod(x.shape[:-1]), x.shape[-1])


def real(value: Any, name: str) -> float:
    """A number as float."""
    try:
        return float(value)
    except (TypeError, ValueError):
        raise ShapeError(f"{name}: expected a number, got {value!r}") from None


def _integer(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError
    return int(value)

"""Arrays at the edge of the engine: what is accepted, in which memory format it came, and conversions.

A tensor has PyTorch's logical shape (N, C, H, W). *Channels-last* is such a view whose memory is NHWC; kernels
see that memory as a dense (N, H, W, C) array. The format of an array whose memory fits both (one channel, or
one pixel) is told by its strides, as PyTorch does; a single element an image counts as contiguous.
"""

from __future__ import annotations

import math
import operator
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from ..backends import cuda, registry
from ..backends.array_memory import is_cupy
from ..backends.placement import backend_of, device_of
from ..errors import DeviceError, DTypeError, ShapeError
from ..problem import ITEM_SIZE

Array = NDArray[Any]

# DLPack's device types: memory that the host reads (plain, or pinned for a GPU), and that a GPU does (plain, managed).
_DLPACK_HOST, _DLPACK_CUDA = (1, 3), (2, 13)

# dtype.name is computed anew each time it is asked for.
_NAMES = {np.dtype(getattr(ml_dtypes, name, None) or name): name for name in ITEM_SIZE}
_COMPUTE = {dtype: np.dtype(np.float64 if name == "float64" else np.float32) for dtype, name in _NAMES.items()}


def dtype_name(dtype: np.dtype[Any]) -> str:
    """The name under which kernels know a dtype that `as_array` accepted."""
    return _NAMES[dtype]


def find_kernel(op: str, x: Array, problem: registry.Problem, algo: str | None = None) -> registry.Kernel:
    """The kernel that computes `op` on the device of x."""
    if is_cupy(x):
        cuda.require_current(x)
    return registry.choose(op, device_of(x), problem, algo).kernel


def as_array(value: Any, name: str) -> Array:
    """A NumPy array for a NumPy array or a DLPack producer on the CPU, a CuPy array for one on a GPU; no copy.

    Raises DTypeError for anything else or a dtype that the engine does not compute in, DeviceError for an array of
    another device.
    """
    if not isinstance(value, np.ndarray) and not is_cupy(value):
        if getattr(value, "__fastconv_tensor__", False):
            raise DTypeError(
                f"{name}: expected an array, got a {type(value).__name__}: fastconv.ops computes on arrays and records "
                "nothing; fastconv.nn.functional takes tensors (and .data is the array)"
            )
        if not hasattr(value, "__dlpack__"):
            raise DTypeError(f"{name}: expected a NumPy or CuPy array or a DLPack producer, got {type(value).__name__}")
        try:
            place = int(value.__dlpack_device__()[0])
            if place in _DLPACK_HOST:
                value = np.from_dlpack(value)
            elif place in _DLPACK_CUDA:
                value = cuda.from_dlpack(value)
        except DeviceError:
            raise
        except (BufferError, RuntimeError, TypeError, ValueError) as error:  # NotImplementedError is a RuntimeError
            raise DTypeError(f"{name}: {type(value).__name__} cannot be read by DLPack: {error}") from None
        if place not in (*_DLPACK_HOST, *_DLPACK_CUDA):
            raise DeviceError(f"{name}: expected memory of the CPU or of a CUDA GPU, got {type(value).__name__}")
    if value.dtype not in _NAMES:
        if not value.dtype.isnative:
            raise DTypeError(f"{name}: expected native byte order, got {value.dtype.str}")
        raise DTypeError(f"{name}: expected dtype {', '.join(ITEM_SIZE)}, got {value.dtype.name}")
    array: Array = value
    return array


def require_same_device(x: Array, array: Array, name: str) -> None:
    """Raises DeviceError where an operand is in other memory than the input."""
    if type(x) is not type(array) and is_cupy(array) != is_cupy(x):
        where = {False: "NumPy array", True: "CuPy array"}
        raise DeviceError(f"{name}: expected a {where[is_cupy(x)]} as the input is, got a {where[is_cupy(array)]}")


def require_alike(x: Array, array: Array, name: str) -> None:
    """Raises DTypeError or DeviceError where an operand's dtype or memory differs from the input's."""
    require_same_device(x, array, name)
    if array.dtype != x.dtype:
        raise DTypeError(f"{name}: expected the input's dtype {x.dtype.name}, got {array.dtype.name}")


def compute_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """What a storage dtype is computed in: float64 for itself, float32 for the rest."""
    return _COMPUTE[dtype]


def channel_vector(value: Any, channels: int, x: Array, name: str) -> Array | None:
    """A per-channel operand of the input's memory, in its compute dtype, dense; None stays None."""
    if value is None:
        return None
    array = as_array(value, name)
    require_same_device(x, array, name)
    dtype = compute_dtype(x.dtype)
    if array.dtype not in (dtype, x.dtype):
        raise DTypeError(f"{name}: expected the input's dtype {x.dtype.name}, got {array.dtype.name}")
    if array.shape != (channels,):
        raise ShapeError(f"{name}: expected shape ({channels},), got {array.shape}")
    return dense(array if array.dtype == dtype else array.astype(dtype))


def is_channels_last(x: Array) -> bool:
    """Whether a 4-D array is a dense NHWC memory seen as (N, C, H, W)."""
    if x.strides[1] != x.itemsize or x.strides[3] != x.shape[1] * x.itemsize or x.shape[1:] == (1, 1, 1):
        return False
    return bool(x.transpose(0, 2, 3, 1).flags.c_contiguous)


def to_nhwc(x: Array) -> Array:
    """The dense (N, H, W, C) array of a 4-D (N, C, H, W) one: a view where it is channels-last, else a copy."""
    view: Array = x.transpose(0, 2, 3, 1)
    if is_dense(view):
        # Strides of axes of extent 1 are arbitrary: make them those of NHWC, so that the format is told by them.
        canonical = view.strides[2:] == (view.shape[3] * view.itemsize, view.itemsize)
        return view if canonical else view.reshape(-1).reshape(view.shape)
    return dense(view)


def dense(x: Array) -> Array:
    """A C-contiguous, aligned array: itself, or a copy (by our own kernel up to 4 dimensions)."""
    if is_dense(x):
        return x
    out = empty(x, x.shape)
    if x.ndim > 4:
        out[...] = x
    else:
        backend_of(x).copy(x, out)
    return out


def is_dense(x: Array) -> bool:
    """Whether a kernel can take this memory: C-contiguous and aligned (CuPy's always is)."""
    flags = x.flags
    return bool(flags.c_contiguous and getattr(flags, "aligned", True))


def may_share_memory(a: Array, b: Array) -> bool:
    """Whether the memory of two arrays may overlap (bounds only)."""
    if type(a) is np.ndarray and type(b) is np.ndarray:
        return np.may_share_memory(a, b)
    if is_cupy(a) != is_cupy(b):
        return False
    return bool(cuda.may_share_memory(a, b) if is_cupy(a) else np.may_share_memory(a, b))


def empty_nhwc(like: Array, shape: tuple[int, ...]) -> Array:
    """An uninitialised dense (N, H, W, C) array for a logical (N, C, H, W) shape, in the memory and dtype of `like`."""
    n, c, h, w = shape
    return empty(like, (n, h, w, c))


def empty(like: Array, shape: tuple[int, ...], dtype: np.dtype[Any] | None = None) -> Array:
    """An uninitialised C-contiguous array in the memory of `like`, of its dtype or another."""
    array: Array = backend_of(like).empty(shape, like.dtype if dtype is None else dtype)
    return array


def from_nhwc(y: Array, channels_last: bool) -> Array:
    """The logical (N, C, H, W) array: a channels-last view, or a contiguous copy."""
    view = y.transpose(0, 3, 1, 2)
    return view if channels_last else dense(view)


def check_out(out: Any, shape: tuple[int, ...], x: Array, name: str = "out") -> Array:
    """Raises unless `out`, an argument called `name`, is a writable array of this shape and of the memory and dtype of x."""
    if not isinstance(out, np.ndarray) and not is_cupy(out):
        raise DTypeError(f"{name}: expected a NumPy or CuPy array, got {type(out).__name__}")
    if out.shape != shape:
        raise ShapeError(f"{name}: expected shape {shape}, got {out.shape}")
    if out.dtype != x.dtype:
        raise DTypeError(f"{name}: expected dtype {x.dtype.name}, got {out.dtype.name}")
    require_same_device(x, out, name)
    if isinstance(out, np.ndarray) and not out.flags.writeable:
        raise DTypeError(f"{name}: expected a writable array, got a read-only one")
    array: Array = out
    return array


def image_batch(value: Any, name: str) -> tuple[Array, bool]:
    """A (N, C, H, W) array and whether it came as a single (C, H, W) image."""
    x = as_array(value, name)
    if x.ndim not in (3, 4):
        raise ShapeError(f"{name}: expected shape (N, C, H, W) or (C, H, W), got {x.shape}")
    return (x, False) if x.ndim == 4 else (x[np.newaxis], True)


def image_shape(shape: Any, single: bool) -> tuple[int, ...]:
    """An argument `input_shape` as (N, C, H, W): N = 1 where it is that of a single (C, H, W) image."""
    try:
        extents = tuple(operator.index(extent) for extent in shape)
    except TypeError:
        raise ShapeError(f"input_shape: expected ints, got {shape!r}") from None
    if len(extents) != (3 if single else 4) or min(extents) < 0:
        raise ShapeError(f"input_shape: expected {'(C, H, W)' if single else '(N, C, H, W)'}, got {shape!r}")
    return (1, *extents) if single else extents


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

"""Moving data without computing: memory formats, concatenation, padding."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ..backends.placement import backend_of
from ..errors import DTypeError, ShapeError
from ._arrays import (
    Array,
    as_array,
    dense,
    empty,
    empty_nhwc,
    image_batch,
    is_channels_last,
    real,
    require_alike,
    to_nhwc,
)
from .conv import Padding, resolve_padding


def channels_last(x: Any) -> Array:
    """The same (N, C, H, W) values in NHWC memory: a view where it is that already, else a copy.

    >>> import numpy as np, fastconv as fc
    >>> fc.ops.channels_last(np.zeros((1, 3, 4, 5), np.float32)).strides
    (240, 4, 60, 12)
    """
    array = as_array(x, "x")
    if array.ndim != 4:
        raise ShapeError(f"x: expected shape (N, C, H, W), got {array.shape}")
    view: Array = to_nhwc(array).transpose(0, 3, 1, 2)
    return view


def contiguous(x: Any) -> Array:
    """The same values in C-contiguous memory: itself where it is that already, else a copy."""
    return dense(as_array(x, "x"))


def concat(arrays: Sequence[Any], dim: int = 1) -> Array:
    """Joins arrays of equal dtype along an axis, channels by default (torch.cat's default is 0), in the memory format
    of the first.

    >>> import numpy as np, fastconv as fc
    >>> fc.ops.concat([np.zeros((1, 2, 3, 3), np.float32), np.ones((1, 1, 3, 3), np.float32)]).shape
    (1, 3, 3, 3)
    """
    if not isinstance(arrays, Iterable):
        raise DTypeError(f"arrays: expected a sequence of arrays, got {type(arrays).__name__}")
    parts = [as_array(array, f"arrays[{i}]") for i, array in enumerate(arrays)]
    if not parts:
        raise ShapeError("arrays: expected at least one, got none")
    first = parts[0]
    if not 1 <= first.ndim <= 4:
        raise ShapeError(f"arrays[0]: expected 1 to 4 dimensions, got {first.shape}")
    if not -first.ndim <= dim < first.ndim:
        raise ShapeError(f"dim: expected an axis of shape {first.shape}, got {dim}")
    axis = dim % first.ndim
    for i, part in enumerate(parts):
        require_alike(first, part, f"arrays[{i}]")
        if part.ndim != first.ndim or any(
            a != b for d, (a, b) in enumerate(zip(part.shape, first.shape, strict=True)) if d != axis
        ):
            raise ShapeError(f"arrays[{i}]: expected shape {first.shape} except in dimension {axis}, got {part.shape}")
    shape = list(first.shape)
    shape[axis] = sum(part.shape[axis] for part in parts)
    out = _empty_like(first, tuple(shape))
    at = 0
    for part in parts:
        slices = [slice(None)] * first.ndim
        slices[axis] = slice(at, at + part.shape[axis])
        backend_of(first).copy(part, out[tuple(slices)])
        at += part.shape[axis]
    return out


def pad(x: Any, padding: Any, value: float = 0.0) -> Array:
    """Surrounds the pixels of (N, C, H, W) or (C, H, W) with `value`.

    padding: an int, a pair (height, width) or ((top, bottom), (left, right)), as in `conv2d`; not the flat
    (left, right, top, bottom) of torch.nn.functional.pad.
    """
    images, single = image_batch(x, "x")
    if isinstance(padding, str):
        raise ShapeError(f"padding: expected an int, a pair or two pairs, got {padding!r}")
    sides: Padding = resolve_padding(padding, (1, 1), (1, 1), (1, 1))
    (top, bottom), (left, right) = sides
    n, c, h, w = images.shape
    out = _empty_like(images, (n, c, h + top + bottom, w + left + right))
    out[...] = real(value, "value")
    backend_of(images).copy(images, out[:, :, top : top + h, left : left + w])
    return out[0] if single else out


def _empty_like(x: Array, shape: tuple[int, ...]) -> Array:
    if x.ndim == 4 and is_channels_last(x):
        view: Array = empty_nhwc(x, shape).transpose(0, 3, 1, 2)
        return view
    return empty(x, shape)

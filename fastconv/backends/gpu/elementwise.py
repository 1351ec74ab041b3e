"""Copies between memory formats and between storage types."""

from __future__ import annotations

import struct
from functools import partial
from itertools import permutations
from typing import Any

import numpy as np

from ...problem import ITEM_SIZE
from ..array_memory import address_of
from ..registry import Kernel, register
from .device import CPP_TYPE, Device, blocks
from .source import KernelSource

_WORDS = {1: "uint8_t", 2: "uint16_t", 4: "uint32_t", 8: "uint64_t"}
_THREADS = 256
_TILE = 32
_MOST_BLOCKS = 1 << 16


def _copy_strided(itemsize: int) -> KernelSource:
    return KernelSource("elementwise/copy.cuh", f"fastconv::copy_strided<{_WORDS[itemsize]}>")


def _transpose(itemsize: int) -> KernelSource:
    return KernelSource("elementwise/copy.cuh", f"fastconv::transpose<{_WORDS[itemsize]}>")


def copy(device: Device, src: Any, dst: Any) -> None:
    """dst[...] = src for equal shapes of up to 4 dimensions and equal dtypes, whatever the strides."""
    if dst.size == 0:
        return
    size = src.dtype.itemsize
    if matrix := _as_transposition(src, dst):
        batch, rows, columns = matrix
        tiles = batch * blocks(rows, _TILE) * blocks(columns, _TILE)
        arguments = (src, dst, np.int64(batch), np.int64(rows), np.int64(columns))
        device.launch(_transpose(size), (min(tiles, _MOST_BLOCKS), 1, 1), (_THREADS, 1, 1), arguments)
        return
    extents = (1,) * (4 - src.ndim) + src.shape
    strides = [(0,) * (4 - a.ndim) + tuple(s // size for s in a.strides) for a in (src, dst)]
    shape = struct.pack("<12q", *extents, *strides[0], *strides[1])
    grid = (min(blocks(dst.size, _THREADS), _MOST_BLOCKS), 1, 1)
    device.launch(_copy_strided(size), grid, (_THREADS, 1, 1), (src, dst, shape))


def _as_transposition(src: Any, dst: Any) -> tuple[int, int, int] | None:
    """(batch, rows, columns) where dense src is to be written with its channels moved last, or first; else None."""
    if src.ndim != 4:
        return None
    for forward, backward in (((0, 2, 3, 1), (0, 3, 1, 2)), ((0, 3, 1, 2), (0, 2, 3, 1))):
        # dst is dense as it is; src is a dense array seen with its axes permuted.
        if dst.flags.c_contiguous and src.transpose(backward).flags.c_contiguous:
            n, *rest = src.transpose(backward).shape
            rows, columns = (rest[0], rest[1] * rest[2]) if forward == (0, 2, 3, 1) else (rest[0] * rest[1], rest[2])
            return n, rows, columns
    return None


def _cast_kernel(source: str, target: str, width: int) -> KernelSource:
    return KernelSource("elementwise/cast.cuh", f"fastconv::cast<{CPP_TYPE[source]}, {CPP_TYPE[target]}, {width}>")


def _most_cast(source: str, target: str) -> int:
    """Elements in 16 bytes of the larger type."""
    return 16 // max(ITEM_SIZE[source], ITEM_SIZE[target])


def _cast(device: Device, problem: Any, x: Any, y: Any, target: str) -> None:
    if x.size == 0:
        return
    most = _most_cast(problem.dtype, target)
    aligned = all(address_of(array) % (most * array.dtype.itemsize) == 0 for array in (x, y))
    width = most if aligned else 1
    grid = (min(blocks(x.size, width * _THREADS), _MOST_BLOCKS), 1, 1)
    device.launch(_cast_kernel(problem.dtype, target, width), grid, (_THREADS, 1, 1), (x, y, np.int64(x.size)))


def register_on(device: Device) -> None:
    """Rows for one device."""
    register(Kernel("cast", device.name, "vector", partial(_cast, device)))


def instances() -> list[KernelSource]:
    """Every kernel of this family."""
    copies = [make(size) for make in (_copy_strided, _transpose) for size in _WORDS]
    pairs = list(permutations(CPP_TYPE, 2))
    return copies + [_cast_kernel(*pair, width) for pair in pairs for width in (_most_cast(*pair), 1)]

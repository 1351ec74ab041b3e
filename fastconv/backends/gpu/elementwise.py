"""Copies between memory formats, and functions of one element at a time."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

from .device import Device, blocks
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


def register_on(device: Device) -> None:
    """Rows for one device."""


def instances() -> list[KernelSource]:
    """Every kernel of this family."""
    return [make(size) for make in (_copy_strided, _transpose) for size in _WORDS]

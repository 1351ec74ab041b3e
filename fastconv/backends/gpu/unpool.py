"""Max unpooling and its gradient: elements moved to positions that are given, and back."""

from __future__ import annotations

import struct
from functools import partial
from typing import Any

import numpy as np

from ...errors import AlgorithmError
from ..registry import Kernel, register
from .device import Device, blocks
from .source import KernelSource

_WORDS = {2: "uint16_t", 4: "uint32_t", 8: "uint64_t"}
_THREADS = 256
_MOST_BLOCKS = 1 << 16
_CLAIM = KernelSource("pool/unpool.cuh", "fastconv::claim_places")


def _kernel(name: str, itemsize: int) -> KernelSource:
    return KernelSource("pool/unpool.cuh", f"fastconv::{name}<{_WORDS[itemsize]}>")


def _launch(device: Device, kernel: KernelSource, count: int, arrays: tuple[Any, ...], shape: bytes) -> None:
    grid = (min(blocks(count, _THREADS), _MOST_BLOCKS), 1, 1)
    device.launch(kernel, grid, (_THREADS, 1, 1), (*arrays, shape))


def _shape(small: Any, large: Any) -> bytes:
    """UnpoolShape."""
    n, p, q, c = small.shape
    return struct.pack("<4q", n, p * q, large.shape[1] * large.shape[2], c)


def _unpool(device: Device, problem: Any, x: Any, indices: Any, y: Any) -> None:
    if y.size == 0:
        return
    if x.shape[1] * x.shape[2] >= 1 << 31:
        raise AlgorithmError(f"x: expected an image of fewer than 2^31 pixels, got {x.shape[1]} x {x.shape[2]}")
    winners, shape = device.empty(y.shape, np.int32), _shape(x, y)
    winners[...] = 0
    if x.size:
        _launch(device, _CLAIM, x.size, (indices, winners), shape)
    _launch(device, _kernel("max_unpool", x.dtype.itemsize), y.size, (x, winners, y), shape)


def _unpool_grad(device: Device, problem: Any, grad: Any, indices: Any, gx: Any) -> None:
    if gx.size:
        kernel = _kernel("max_unpool_grad", grad.dtype.itemsize)
        _launch(device, kernel, gx.size, (grad, indices, gx), _shape(gx, grad))


def register_on(device: Device) -> None:
    """Rows for one device."""
    register(Kernel("max_unpool2d", device.name, "claim", partial(_unpool, device)))
    register(Kernel("max_unpool2d_grad", device.name, "gather", partial(_unpool_grad, device)))


def instances() -> list[KernelSource]:
    """Every kernel of this family."""
    return [_CLAIM, *(_kernel(name, size) for name in ("max_unpool", "max_unpool_grad") for size in _WORDS)]

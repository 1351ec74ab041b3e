"""Images times a number a channel, and the gradients."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from ..registry import Kernel, register
from .device import CPP_TYPE, Device, blocks, vector_width
from .pool import WIDTHS
from .source import KernelSource

_THREADS = 256
_MOST_BLOCKS = 1 << 16
_PACKS = 32  # kScalePacks


def _kernel(name: str, dtype: str, width: int) -> KernelSource:
    return KernelSource("elementwise/scale_channels.cuh", f"fastconv::{name}<{CPP_TYPE[dtype]}, {width}>")


def _scale_channels(device: Device, problem: Any, x: Any, scale: Any, y: Any) -> None:
    """Over dense (images, pixels, channels); scale (images, channels)."""
    if x.size == 0:
        return
    width = vector_width(x.dtype.itemsize, x.shape[2], x, scale, y)
    grid = (min(blocks(x.size // width, _THREADS), _MOST_BLOCKS), 1, 1)
    arguments = (x, scale, y, *(np.int64(extent) for extent in x.shape))
    device.launch(_kernel("scale_channels", problem.dtype, width), grid, (_THREADS, 1, 1), arguments)


def _scale_channels_grad(device: Device, problem: Any, grad: Any, x: Any, scale: Any, dx: Any, dscale: Any) -> None:
    if dscale.size == 0:
        return
    _scale_channels(device, problem, grad, scale, dx)
    n, pixels, channels = x.shape
    width = vector_width(x.dtype.itemsize, channels, grad, x, dscale)
    blocks_c = blocks(channels // width, _PACKS)
    arguments = (grad, x, dscale, np.int64(pixels), np.int64(channels), np.int32(blocks_c))
    kernel = _kernel("scale_channels_sums", problem.dtype, width)
    device.launch(kernel, (n * blocks_c, 1, 1), (_THREADS, 1, 1), arguments)


def register_on(device: Device) -> None:
    """Rows for one device."""
    register(Kernel("scale_channels", device.name, "vector", partial(_scale_channels, device)))
    register(Kernel("scale_channels_grad", device.name, "rows", partial(_scale_channels_grad, device)))


def instances() -> list[KernelSource]:
    """Every kernel of this family."""
    return [_kernel(name, *each) for name in ("scale_channels", "scale_channels_sums") for each in WIDTHS]

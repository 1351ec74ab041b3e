"""Losses an element: the squared one and binary cross-entropy, their sums and gradients."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from ..cpu import LOSS_CODE
from ..registry import Kernel, register
from .device import CPP_TYPE, Device, blocks
from .source import KernelSource

_THREADS = 256
_MOST_BLOCKS = 1 << 16
_PART = 2048  # kLossPart


def _kernel(name: str, dtype: str) -> KernelSource:
    return KernelSource("elementwise/loss.cuh", f"fastconv::{name}<{CPP_TYPE[dtype]}>")


def _grid(count: int) -> tuple[int, int, int]:
    return min(blocks(count, _THREADS), _MOST_BLOCKS), 1, 1


def _loss(
    device: Device,
    problem: Any,
    x: Any,
    target: Any,
    weight: Any,
    positive_weight: Any,
    loss: str,
    reduction: str,
    y: Any,
) -> None:
    """y: a loss an element for the reduction "none", else one number, () shaped."""
    block, code = (_THREADS, 1, 1), np.int32(LOSS_CODE[loss])
    operands, count = (x, target, weight, positive_weight), np.int64(x.size)
    if reduction == "none":
        if x.size:
            device.launch(_kernel("losses", problem.dtype), _grid(x.size), block, (*operands, y, count, code))
        return
    parts = device.empty((blocks(x.size, _PART),), np.float64 if problem.dtype == "float64" else np.float32)
    if x.size:
        device.launch(_kernel("loss_sums", problem.dtype), (parts.size, 1, 1), block, (*operands, parts, count, code))
    divisor = np.float64(x.size if reduction == "mean" else 1)
    device.launch(_kernel("merge_losses", problem.dtype), (1, 1, 1), block, (parts, y, np.int64(parts.size), divisor))


def _loss_grad(
    device: Device,
    problem: Any,
    grad: Any,
    x: Any,
    target: Any,
    weight: Any,
    positive_weight: Any,
    loss: str,
    reduction: str,
    dx: Any,
) -> None:
    """grad is of the shape of the forward row's y."""
    if x.size == 0:
        return
    kind = np.float64 if problem.dtype == "float64" else np.float32
    numbers = np.int64(x.size), np.int32(LOSS_CODE[loss]), np.int32(reduction != "none")
    divisor = kind(x.size if reduction == "mean" else 1)
    arguments = (grad, x, target, weight, positive_weight, dx, *numbers, divisor)
    device.launch(_kernel("loss_gradient", problem.dtype), _grid(x.size), (_THREADS, 1, 1), arguments)


def register_on(device: Device) -> None:
    """Rows for one device."""
    register(Kernel("loss", device.name, "parts", partial(_loss, device)))
    register(Kernel("loss_grad", device.name, "element", partial(_loss_grad, device)))


def instances() -> list[KernelSource]:
    """Every kernel of this family."""
    return [
        _kernel(name, dtype) for name in ("losses", "loss_sums", "merge_losses", "loss_gradient") for dtype in CPP_TYPE
    ]

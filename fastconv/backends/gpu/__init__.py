"""What the devices cuda and simt share: the CUDA kernels, how each is instantiated, chosen and launched.

One module a family. Each has `register_on(device)`, which fills the registry, and `instances()`, every kernel that
its operations may ask for.
"""

from __future__ import annotations

from . import (
    activation,
    conv,
    depthwise,
    dropout,
    elementwise,
    loss,
    norm,
    optimizer,
    pool,
    resample,
    scale_channels,
    stem,
    unpool,
)
from .device import Device
from .source import KernelSource

__all__ = ["Device", "KernelSource", "catalog", "register_on"]

_FAMILIES = (
    activation,
    conv,
    depthwise,
    dropout,
    elementwise,
    loss,
    norm,
    optimizer,
    pool,
    resample,
    scale_channels,
    stem,
    unpool,
)


def catalog() -> list[KernelSource]:
    """Every kernel that the operations may ask for."""
    return [kernel for family in _FAMILIES for kernel in family.instances()]


def register_on(device: Device) -> None:
    """Adds all families' kernels to the registry, for one device."""
    for family in _FAMILIES:
        family.register_on(device)

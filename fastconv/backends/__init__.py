"""What a device can run: the kernel table (registry) and one module per device that fills it."""

from __future__ import annotations

from ..errors import DeviceError
from . import cpu, registry

__all__ = ["cpu", "device", "devices", "registry"]


def devices() -> list[str]:
    """The devices that this process can compute on."""
    return ["cpu"]


class device:
    """``with fastconv.device("cpu"):`` names the device that NumPy arrays are computed on.

    Raises DeviceError for a device that is not there.
    """

    def __init__(self, name: str) -> None:
        if name not in devices():
            raise DeviceError(f"device: expected one of {', '.join(devices())}, got {name!r}")
        self.name = name

    def __enter__(self) -> device:
        return self

    def __exit__(self, *exc: object) -> None:
        return None

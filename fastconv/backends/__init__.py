"""What a device can run: the kernel table (registry), one module per device, and the CUDA kernels (gpu)."""

from __future__ import annotations

from contextvars import ContextVar

from ..errors import DeviceError
from . import cpu, cpu_conv, cpu_elementwise, cpu_norm, cpu_optimizer, cpu_pool, cpu_resample, cuda, gpu, registry, simt
from .placement import BACKENDS, numpy_device

__all__ = [
    "cpu",
    "cpu_conv",
    "cpu_elementwise",
    "cpu_norm",
    "cpu_optimizer",
    "cpu_pool",
    "cpu_resample",
    "cuda",
    "device",
    "devices",
    "gpu",
    "registry",
    "simt",
]

for _device in (cuda, simt):
    gpu.register_on(_device)


# The devices to go back to: of this thread or task, since several may share one `device`.
_entered: ContextVar[tuple[str, ...]] = ContextVar("fastconv_entered_devices", default=())


def devices() -> list[str]:
    """The devices that this process can compute on: cpu always, simt with a C++ compiler, cuda with CuPy and a GPU."""
    return ["cpu", *(module.name for module in (simt, cuda) if module.available() is None)]


class device:
    """``with fastconv.device("simt"):`` names the device that NumPy arrays are computed on.

    cpu is the default; simt executes the CUDA kernels on the CPU and checks them. CuPy arrays are always computed on
    the GPU that holds them; device("cuda") only makes sure that there is one. Raises DeviceError, which says what is
    missing, for a device that cannot be used.

    >>> import numpy as np, fastconv as fc
    >>> with fc.device("cpu"):
    ...     float(fc.ops.relu(np.float32([-1, 2])).sum())
    2.0
    """

    def __init__(self, name: str) -> None:
        if name not in BACKENDS:
            raise DeviceError(f"device: expected one of {', '.join(BACKENDS)}, got {name!r}")
        if name != "cpu" and (missing := BACKENDS[name].available()):
            raise DeviceError(missing)
        self.name = name

    def __enter__(self) -> device:
        _entered.set((*_entered.get(), numpy_device.get()))
        numpy_device.set("cpu" if self.name == "cuda" else self.name)
        return self

    def __exit__(self, *exc: object) -> None:
        *before, name = _entered.get()
        _entered.set(tuple(before))
        numpy_device.set(name)

"""Where an array is computed on: its memory's device, or for NumPy arrays the one that ``fastconv.device`` names."""

from __future__ import annotations

from contextvars import ContextVar
from types import ModuleType
from typing import Any

from . import cpu, cuda, simt
from .array_memory import is_cupy

BACKENDS: dict[str, ModuleType] = {"cpu": cpu, "cuda": cuda, "simt": simt}

# Of NumPy arrays; a context variable, so that a device chosen in one thread is not chosen in another.
numpy_device: ContextVar[str] = ContextVar("fastconv_numpy_device", default="cpu")


def device_of(array: Any) -> str:
    """cuda for CuPy arrays; for NumPy arrays cpu, or simt inside ``with fastconv.device("simt")``."""
    return "cuda" if is_cupy(array) else numpy_device.get()


def move(array: Any, device: str) -> Any:
    """The array in the memory of a device (cpu or cuda): itself where it is there already, else a copy."""
    if device == "cuda":
        return array if is_cupy(array) else cuda.from_numpy(array)
    return array.get() if is_cupy(array) else array


def backend_of(array: Any) -> Any:
    """The module that allocates, copies and computes for an array."""
    return BACKENDS[device_of(array)]

"""safetensors, by the library of that name: arrays and text metadata, in and out."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DTypeError, FileFormatError

Array = NDArray[Any]


def read(path: Path) -> tuple[dict[str, Array], dict[str, str]]:
    """(arrays, metadata) of a file. Raises FileFormatError where it is not whole, or holds what NumPy has not."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "numpy") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118  (no mapping)
    except (SafetensorError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise FileFormatError(f"safetensors: {error}") from None


def write(arrays: Mapping[str, Array], path: Path, metadata: Mapping[str, str]) -> None:
    """Writes a file: whatever happens, the path holds the old one or the new one.

    Raises DTypeError for a dtype that the format lacks, OSError where the file cannot be written.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    partial = path.with_name(path.name + ".partial")
    dense = {name: np.array(value, order="C") for name, value in arrays.items()}
    for name, value in dense.items():
        if value.dtype.kind not in "biufV":  # V: those of ml_dtypes
            raise DTypeError(f"{name}: expected numbers that safetensors holds, got {value.dtype.name}")
    try:
        save_file(dense, partial, dict(metadata) or None)
    except (SafetensorError, KeyError, ValueError) as error:
        raise OSError(str(error)) from None
    _sync(partial)  # what is renamed must be on the disk, or a crash leaves a name without contents
    partial.replace(path)
    _sync(path.parent)


def _sync(path: Path) -> None:
    """Waits until a file, or a folder's list of names, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

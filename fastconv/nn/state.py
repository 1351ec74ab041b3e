"""Weights on disk: safetensors in and out, NumPy's .npz in. Never pickle."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import FileFormatError
from .module import Module

Array = NDArray[Any]


# A file whose metadata has this key holds more than weights: they are the tensors whose names begin with its value.
WEIGHTS_PREFIX = "fastconv_weights"


def save(state: Module | Mapping[str, Array], path: str | os.PathLike[str]) -> None:
    """Writes a module's state dict, or any dict of arrays, as a safetensors file (atomically).

    Raises FileFormatError where the name does not end in .safetensors or the file cannot be written.
    """
    write_file(state.state_dict() if isinstance(state, Module) else state, path, {})


def load(path: str | os.PathLike[str]) -> dict[str, Array]:
    """Reads a .safetensors or .npz file as a dict of arrays; of a training run's checkpoint, the weights.

    Raises FileFormatError where the file is missing, truncated, or neither of the two.
    """
    arrays, metadata = read_file(path)
    prefix = metadata.get(WEIGHTS_PREFIX, "")
    return {name[len(prefix) :]: value for name, value in arrays.items() if name.startswith(prefix)}


def write_file(arrays: Mapping[str, Array], path: str | os.PathLike[str], metadata: Mapping[str, str]) -> None:
    """Writes arrays and text as a safetensors file: whatever happens, the path holds the old file or the new one.

    Raises FileFormatError where the name does not end in .safetensors or the file cannot be written.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    target = Path(path)
    if target.suffix != ".safetensors":
        raise FileFormatError(f"weights {str(path)!r}: expected a name that ends in .safetensors")
    partial = target.with_name(target.name + ".partial")
    dense = {name: np.array(value, order="C") for name, value in arrays.items()}
    try:
        save_file(dense, partial, dict(metadata) or None)
        _sync(partial)  # what is renamed must be on the disk, or a crash leaves a name without contents
        partial.replace(target)
        _sync(target.parent)
    except (OSError, SafetensorError) as error:
        raise FileFormatError(f"weights {str(target)!r}: cannot be written: {error}") from None


def read_file(path: str | os.PathLike[str]) -> tuple[dict[str, Array], dict[str, str]]:
    """The arrays of a .safetensors or .npz file, and the metadata of the former. Raises FileFormatError, see `load`."""
    source = Path(path)
    if not source.is_file():
        raise FileFormatError(f"weights {str(path)!r}: no such file")
    from safetensors import SafetensorError, safe_open
    from safetensors.numpy import load_file

    try:
        with source.open("rb") as file:
            is_zip = file.read(4) == b"PK\x03\x04"
        if not is_zip:
            with safe_open(source, "numpy") as opened:
                metadata = opened.metadata() or {}
            return dict(load_file(source)), metadata
        with np.load(source, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except SafetensorError as error:
        raise FileFormatError(
            f"weights {str(path)!r}: neither a whole safetensors file ({error}) nor an .npz"
        ) from None
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise FileFormatError(f"weights {str(path)!r}: not a whole .npz of plain arrays ({error})") from None
    if not all(isinstance(value, np.ndarray) for value in arrays.values()):
        raise FileFormatError(f"weights {str(path)!r}: not an .npz of plain arrays")
    return arrays, {}


def _sync(path: Path) -> None:
    """Waits until a file, or a folder's list of names, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

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


def save(state: Module | Mapping[str, Array], path: str | os.PathLike[str]) -> None:
    """Writes a module's state dict, or any dict of arrays, as a safetensors file (atomically)."""
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    arrays = state.state_dict() if isinstance(state, Module) else state
    target = Path(path)
    partial = target.with_name(target.name + ".partial")
    try:
        save_file({name: np.array(value, order="C") for name, value in arrays.items()}, partial)
        partial.replace(target)
    except (OSError, SafetensorError) as error:
        raise FileFormatError(f"weights {str(target)!r}: cannot be written: {error}") from None


def load(path: str | os.PathLike[str]) -> dict[str, Array]:
    """Reads a .safetensors or .npz file as a dict of arrays.

    Raises FileFormatError where the file is missing, truncated, or neither of the two.
    """
    source = Path(path)
    if not source.is_file():
        raise FileFormatError(f"weights {str(source)!r}: no such file")
    try:
        if source.suffix == ".npz":
            with np.load(source, allow_pickle=False) as archive:
                return {name: archive[name] for name in archive.files}
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        try:
            return dict(load_file(source))
        except SafetensorError as error:
            raise FileFormatError(f"weights {str(source)!r}: not a whole safetensors file: {error}") from None
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
        if isinstance(error, FileFormatError):
            raise
        raise FileFormatError(f"weights {str(source)!r}: cannot be read: {error}") from None

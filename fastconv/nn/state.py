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
    """Writes a module's state dict, or any dict of arrays, as a safetensors file (atomically).

    Raises FileFormatError where the name does not end in .safetensors or the file cannot be written.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    arrays = state.state_dict() if isinstance(state, Module) else state
    target = Path(path)
    if target.suffix != ".safetensors":
        raise FileFormatError(f"weights {str(path)!r}: expected a name that ends in .safetensors")
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
        raise FileFormatError(f"weights {str(path)!r}: no such file")
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        with source.open("rb") as file:
            is_zip = file.read(4) == b"PK\x03\x04"
        if not is_zip:
            return dict(load_file(source))
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
    return arrays

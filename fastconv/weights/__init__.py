"""Weights in files: safetensors in and out; NumPy's .npz, PyTorch's .pth and Caffe's .caffemodel in.

One short file a format. None of them executes anything that a file says, and none takes memory for what a header merely
claims: sizes are compared with the bytes that are there first.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DTypeError, FileFormatError
from ..nn.module import Module, numpy_dtype
from ..problem import ITEM_SIZE
from . import caffe, npz, safetensors_file, torch_file
from .archive import Archive
from .names import canonical_names, state_of

Array = NDArray[Any]

__all__ = ["WEIGHTS_PREFIX", "canonical_names", "load", "read_file", "save", "write_file"]

WEIGHTS_PREFIX = "fastconv_weights"
"""A safetensors file whose metadata has this key holds more than weights: they are the arrays whose names begin with its
value (a training run's checkpoint, say)."""


def load(path: str | os.PathLike[str]) -> dict[str, Array]:
    """Reads a file of weights as a dict of arrays.

    What a file is, is told by its first bytes; only .caffemodel, which has no mark, by its name:

    - safetensors, every dtype that NumPy (with ml_dtypes) has;
    - .npz of plain arrays;
    - PyTorch's .pth and .pt, both the zip form and the one before PyTorch 1.6, without PyTorch. Only tensors, plain
      containers, strings and numbers are made; anything else that the pickle names is refused, not imported. From a
      checkpoint the state dict in it is taken, and old spellings are mapped (see `canonical_names`). Tensors that
      share a storage come back as views of one buffer;
    - .caffemodel, both generations: names are "layer.weight", "layer.bias", "layer.running_mean", ...

    Raises FileFormatError, which says what is wrong and where, for a file that is missing, damaged or something else.

    >>> import tempfile, numpy as np, fastconv as fc
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     fc.save({"a": np.arange(3)}, folder + "/a.safetensors")
    ...     fc.load(folder + "/a.safetensors")
    {'a': array([0, 1, 2])}
    """
    arrays, metadata = read_file(path)
    prefix = metadata.get(WEIGHTS_PREFIX, "")
    return {name[len(prefix) :]: value for name, value in arrays.items() if name.startswith(prefix)}


def read_file(path: str | os.PathLike[str]) -> tuple[dict[str, Array], dict[str, str]]:
    """All arrays of a file that `load` reads, and the metadata of a safetensors file. Raises FileFormatError."""
    source = Path(path)
    if not source.is_file():
        raise FileFormatError(f"weights {str(path)!r}: no such file")
    try:
        with source.open("rb") as file:
            head = file.read(9)
        return safetensors_file.read(source) if head[8:9] == b"{" else (_load(source, head), {})
    except FileFormatError as error:
        raise FileFormatError(f"weights {str(path)!r}: {error}") from None
    except OSError as error:
        raise FileFormatError(f"weights {str(path)!r}: cannot be read: {error}") from None


def _load(source: Path, head: bytes) -> dict[str, Array]:
    if source.suffix == ".caffemodel":
        return caffe.read(_content(source))
    if head.startswith(b"PK\x03\x04"):
        with Archive(source) as archive:
            if (pickle := torch_file.pickle_of(archive)) is not None:
                return canonical_names(state_of(torch_file.read_zip(archive, pickle)))
            return npz.read(archive)
    if head[:1] == b"\x80":
        return canonical_names(state_of(torch_file.read_legacy(_content(source))))
    raise FileFormatError("neither safetensors, .npz, PyTorch's .pth nor a .caffemodel")


def _content(source: Path) -> Array:
    """The bytes of a file, writable, so that arrays may be views of them."""
    content: Array = np.fromfile(source, np.uint8)
    return content


def save(state: Module | Mapping[str, Array], path: str | os.PathLike[str], dtype: str | None = None) -> None:
    """Writes a module's state dict, or any dict of arrays, as a safetensors file (atomically).

    dtype ("float16", "bfloat16", "float32", "float64") casts what is floating-point; counters stay as they are.

    Raises FileFormatError where the name does not end in .safetensors or the file cannot be written, DTypeError for
    another dtype or an array that the format cannot hold.
    """
    arrays = state.state_dict() if isinstance(state, Module) else state
    if dtype is not None and dtype not in ITEM_SIZE:
        raise DTypeError(f"dtype: expected one of {', '.join(ITEM_SIZE)}, got {dtype!r}")
    host = {name: _on_host(value) for name, value in arrays.items()}
    if dtype is not None:
        kind = numpy_dtype(dtype)
        host = {name: value.astype(kind) if value.dtype.name in ITEM_SIZE else value for name, value in host.items()}
    write_file(host, path, {})


def write_file(arrays: Mapping[str, Array], path: str | os.PathLike[str], metadata: Mapping[str, str]) -> None:
    """Writes NumPy arrays and text as a safetensors file (atomically). Raises as `save` does."""
    target = Path(path)
    if target.suffix != ".safetensors":
        raise FileFormatError(f"weights {str(path)!r}: expected a name that ends in .safetensors")
    try:
        safetensors_file.write(arrays, target, metadata)
    except OSError as error:
        raise FileFormatError(f"weights {str(target)!r}: cannot be written: {error}") from None


def _on_host(value: Any) -> Array:
    array: Array = value.get() if hasattr(value, "get") else np.asarray(value)  # CuPy's way to the host
    return array

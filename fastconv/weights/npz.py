"""NumPy's .npz: a zip of .npy members, each a magic word, a version, a header in Python's spelling, and the values.

(numpy.load evaluates the header, and takes memory for the shape that it claims.)
Source: numpy.lib.format's description of the format.
"""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import FileFormatError
from .archive import Archive
from .shape import is_possible

Array = NDArray[Any]

_MAGIC = b"\x93NUMPY"
_LENGTH_BYTES = {1: 2, 2: 4, 3: 4}  # of the header's length, by version

# L: what Python 2 wrote behind a large integer.
_HEADER = re.compile(
    r"\{\s*'descr': '([<>|=]?[biufcSU]\d+)', 'fortran_order': (True|False), 'shape': \(((?:\d+L?,? ?)*)\),?\s*\}\s*"
)


def read(archive: Archive) -> dict[str, Array]:
    """The arrays of an .npz: numbers, truth values, text; nothing that would need pickle."""
    if any(not name.endswith(".npy") for name in archive.names):
        raise FileFormatError(f"zip: neither an .npz nor PyTorch's .pth: it holds {', '.join(archive.names)[:200]}")
    return {name.removesuffix(".npy"): _array(name, archive.read(name)) for name in archive.names}


def _array(name: str, content: bytearray) -> Array:
    size = _LENGTH_BYTES.get(content[6], 0) if content.startswith(_MAGIC) and len(content) > 6 else 0
    if size == 0:
        raise FileFormatError(f"npz: {name}: expected an .npy of version 1 to 3, got {bytes(content[:8])!r}")
    begin = 8 + size + int.from_bytes(content[8 : 8 + size], "little")
    text = content[8 + size : begin].decode("latin1")
    header = _HEADER.fullmatch(text)
    if header is None:
        raise FileFormatError(f"npz: {name}: expected a header of plain numbers and their shape, got {text!r:.150}")
    dtype = _dtype(name, header[1])
    shape = tuple(map(int, re.findall(r"\d{1,18}", header[3])))
    wanted, there = math.prod(shape) * dtype.itemsize, len(content) - begin
    if wanted != there or not is_possible(shape):
        raise FileFormatError(f"npz: {name}: {dtype} of shape {shape} needs {wanted:,} bytes, {there:,} are there")
    values = np.frombuffer(content, dtype, offset=begin) if wanted else np.zeros(0, dtype)
    array: Array = values.reshape(shape, order="F" if header[2] == "True" else "C")
    return array if array.flags.aligned else array.copy()


def _dtype(name: str, text: str) -> np.dtype[Any]:
    try:
        dtype = np.dtype(text)
    except (TypeError, ValueError):
        raise FileFormatError(f"npz: {name}: expected numbers, got dtype {text!r:.50}") from None
    if dtype.itemsize == 0:
        raise FileFormatError(f"npz: {name}: expected numbers, got dtype {text!r:.50}")
    return dtype

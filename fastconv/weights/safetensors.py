"""safetensors: 8 bytes of length, a JSON header {name: {dtype, shape, data_offsets}}, then the values, little-endian.

Source: the format's description at github.com/huggingface/safetensors.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from ..errors import DTypeError, FileFormatError
from .shape import is_possible

Array = NDArray[Any]

DTYPES: dict[str, np.dtype[Any]] = {
    "F64": np.dtype(np.float64),
    "F32": np.dtype(np.float32),
    "F16": np.dtype(np.float16),
    "BF16": np.dtype(ml_dtypes.bfloat16),
    "F8_E4M3": np.dtype(ml_dtypes.float8_e4m3fn),
    "F8_E5M2": np.dtype(ml_dtypes.float8_e5m2),
    "C64": np.dtype(np.complex64),
    "I64": np.dtype(np.int64),
    "I32": np.dtype(np.int32),
    "I16": np.dtype(np.int16),
    "I8": np.dtype(np.int8),
    "U64": np.dtype(np.uint64),
    "U32": np.dtype(np.uint32),
    "U16": np.dtype(np.uint16),
    "U8": np.dtype(np.uint8),
    "BOOL": np.dtype(np.bool_),
}
_NAMES = {dtype: name for name, dtype in DTYPES.items()}


def read(content: Array) -> dict[str, Array]:
    """The arrays of a file whose bytes are `content`, as views of it."""
    length = int.from_bytes(content[:8].tobytes(), "little")
    if 8 + length > content.size:
        raise FileFormatError(f"safetensors: the header should have {length:,} bytes, {content.size - 8:,} are there")
    header, data = _header(content[8 : 8 + length].tobytes()), content[8 + length :]
    arrays, spans = {}, []
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        dtype, shape, (begin, end) = _entry(name, entry)
        if end > data.size:
            raise FileFormatError(f"safetensors: {name}: ends at byte {end:,} of the values, {data.size:,} are there")
        values = data[begin:end].view(dtype)
        arrays[name] = (values if values.flags.aligned else values.copy()).reshape(shape)
        spans.append((begin, end))
    at = 0
    for begin, end in sorted(spans):
        if begin != at:
            raise FileFormatError(
                f"safetensors: expected an array to start at byte {at:,} of the values, got {begin:,}"
            )
        at = end
    if at != data.size:
        raise FileFormatError(f"safetensors: the arrays have {at:,} bytes, {data.size:,} are there")
    return arrays


def _header(text: bytes) -> dict[str, Any]:
    try:
        header = json.loads(text.decode(), object_pairs_hook=_without_repeats)
    except (ValueError, RecursionError) as error:
        raise FileFormatError(f"safetensors: the header is not JSON: {error}") from None
    if not isinstance(header, dict):
        raise FileFormatError(f"safetensors: expected a header of names, got a {type(header).__name__}")
    return header


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) != len(pairs):
        raise ValueError("a name is there twice")
    return table


def _entry(name: str, entry: Any) -> tuple[np.dtype[Any], list[int], tuple[int, int]]:
    """dtype, shape and bytes of one array, which agree with each other."""
    wanted = {"dtype", "shape", "data_offsets"}
    if not isinstance(entry, dict) or set(entry) != wanted or not all(map(_are_extents, _lists(entry))):
        raise FileFormatError(
            f"safetensors: {name}: expected a dtype, a shape and two data_offsets, got {entry!r:.200}"
        )
    if entry["dtype"] not in DTYPES:
        raise FileFormatError(f"safetensors: {name}: expected dtype {', '.join(DTYPES)}, got {entry['dtype']!r:.100}")
    dtype, shape, offsets = DTYPES[entry["dtype"]], entry["shape"], entry["data_offsets"]
    size = math.prod(shape) * dtype.itemsize
    if len(offsets) != 2 or offsets[1] - offsets[0] != size or not is_possible(shape):
        raise FileFormatError(
            f"safetensors: {name}: {entry['dtype']} of shape {shape} does not fill the bytes {offsets!r:.100}"
        )
    return dtype, shape, (offsets[0], offsets[1])


def _lists(entry: dict[str, Any]) -> tuple[Any, Any]:
    return entry["shape"], entry["data_offsets"]


def _are_extents(values: Any) -> bool:
    return isinstance(values, list) and all(type(v) is int and 0 <= v < 1 << 48 for v in values)


def write(arrays: Mapping[str, Array], path: Path) -> None:
    """Writes the arrays in their order, each aligned to 8 bytes at least (wide dtypes come first).

    Raises DTypeError for a dtype that the format lacks.
    """
    for name, array in arrays.items():
        if array.dtype.newbyteorder("=") not in _NAMES:
            raise DTypeError(f"{name}: safetensors holds {', '.join(d.name for d in _NAMES)}, got {array.dtype.name}")
    order = sorted(arrays, key=lambda name: -arrays[name].dtype.itemsize)
    header: dict[str, Any] = {}
    at = 0
    for name in order:
        array = arrays[name]
        header[name] = {
            "dtype": _NAMES[array.dtype.newbyteorder("=")],
            "shape": list(array.shape),
            "data_offsets": [at, at + array.nbytes],
        }
        at += array.nbytes
    text = json.dumps({name: header[name] for name in arrays}, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name in order:
            file.write(_little_endian(arrays[name]).tobytes())


def _little_endian(array: Array) -> Array:
    native = array.astype(array.dtype.newbyteorder("="), copy=False)
    return native if sys.byteorder == "little" else native.byteswap()

"""PyTorch's files: a zip with a pickle and one member a storage, or (before 1.6) pickles with the storages after them.

Source: torch/serialization.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import FileFormatError
from . import torch_pickle
from .archive import Archive
from .torch_pickle import Storage, Tensor, shown

Array = NDArray[Any]

_MAGIC = 0x1950A86A20F9469CFC6C  # the first pickle of the old form
_PROTOCOL = 1001  # and the second


def pickle_of(archive: Archive) -> str | None:
    """The name of the member that makes a zip one of PyTorch's; None where it is something else."""
    found = [name for name in archive.names if re.fullmatch(r"([^/]+/)?data\.pkl", name)]
    return found[0] if found else None


def read_zip(archive: Archive, pickle: str) -> Any:
    """What torch.save was given, tensors as arrays; storages of entries that are no tensors of it are not read."""
    folder = pickle.removesuffix("data.pkl")
    if f"{folder}constants.pkl" in archive.names:
        raise FileFormatError("a TorchScript program, not weights: save its state_dict() instead")
    if f"{folder}byteorder" in archive.names and archive.read(f"{folder}byteorder") != b"little":
        raise FileFormatError(f"zip: {folder}byteorder: values are big-endian: expected little-endian ones")

    def read(storage: Storage) -> Array:
        name = f"{folder}data/{storage.key}"
        content = archive.read(name)
        if len(content) != storage.count * storage.dtype.itemsize:
            raise FileFormatError(
                f"zip: {name}: expected {storage.count:,} {storage.dtype.name}, got {len(content):,} bytes"
            )
        values: Array = np.frombuffer(content, storage.dtype)
        return values

    cursor = Cursor(memoryview(archive.read(pickle)))
    return _with_arrays(torch_pickle.load(cursor, _storages(read)))


def read_legacy(content: Array) -> Any:
    """The same of the old form: magic number, protocol and system as pickles, then the object, then its storages."""
    cursor = Cursor(content.data)
    if torch_pickle.load(cursor, _no_storage) != _MAGIC:
        raise FileFormatError("a pickle, but not one of PyTorch's: only those are read")
    if (protocol := torch_pickle.load(cursor, _no_storage)) != _PROTOCOL:
        raise FileFormatError(f"PyTorch's protocol {shown(protocol)}: expected {_PROTOCOL}")
    system = torch_pickle.load(cursor, _no_storage)
    if not isinstance(system, dict) or system.get("little_endian") is not True:
        raise FileFormatError("values are big-endian: expected little-endian ones")
    known: dict[str, Storage] = {}
    loaded = torch_pickle.load(cursor, _storages(_not_there, known))
    keys = torch_pickle.load(cursor, _no_storage)
    if not isinstance(keys, list):
        raise FileFormatError(f"byte {cursor.tell():,}: expected the list of storages, got a {type(keys).__name__}")
    for key in keys:
        if not isinstance(key, str) or key not in known:
            raise FileFormatError(f"byte {cursor.tell():,}: storage {shown(key)} is not mentioned before")
        storage = known[key]
        count = int.from_bytes(cursor.read(8), "little")
        size = count * storage.dtype.itemsize
        if count != storage.count or cursor.tell() + size > content.size:
            raise FileFormatError(
                f"byte {cursor.tell():,}: storage {shown(key)} should have {storage.count:,} {storage.dtype.name}, "
                f"got {count:,} with {content.size - cursor.tell():,} bytes left"
            )
        values = content[cursor.tell() : cursor.tell() + size].view(storage.dtype)
        storage.values = values if values.flags.aligned else values.copy()
        cursor.read(size)
    return _with_arrays(loaded)


def _storages(read: Callable[[Storage], Array], known: dict[str, Storage] | None = None) -> Callable[[Any], Storage]:
    """The function from persistent ids to storages; each key is one storage, also where it is mentioned again."""
    table: dict[str, Storage] = {} if known is None else known

    def persistent(identity: Any) -> Storage:
        if not isinstance(identity, tuple) or len(identity) not in (5, 6) or identity[0] != "storage":
            raise FileFormatError(f"pickle: expected the id of a storage, got {shown(identity)}")
        kind, key, _, count = identity[1:5]
        dtype = torch_pickle.storage_dtype(kind)
        if not isinstance(key, str) or type(count) is not int or not 0 <= count < 1 << 48:
            raise FileFormatError(f"pickle: storage {shown(key)} of {shown(count)} elements is impossible")
        storage = table.setdefault(key, Storage(key, dtype, count, read))
        if (storage.dtype, storage.count) != (dtype, count):
            raise FileFormatError(f"pickle: storage {shown(key)} is mentioned with two sizes or dtypes")
        if len(identity) == 6 and identity[5] is not None:
            return _part(storage, identity[5])
        return storage

    return persistent


def _part(storage: Storage, part: Any) -> Storage:
    """A view of a storage, which files of PyTorch before 0.4 have: (its key, offset, count)."""
    if not isinstance(part, tuple) or len(part) != 3 or not all(type(n) is int and n >= 0 for n in part[1:]):
        raise FileFormatError(f"pickle: expected key, offset and count of a storage's part, got {shown(part)}")
    key, offset, count = part

    def read(own: Storage) -> Array:
        values = storage.array()[offset : offset + count]
        if values.size != count:
            raise FileFormatError(f"pickle: part {shown(key)} ends outside storage {storage.key!r:.50}")
        return values

    return Storage(shown(key), storage.dtype, count, read)


def _not_there(storage: Storage) -> Array:
    raise FileFormatError(f"storage {storage.key!r:.50} is missing at the end of the file")


def _no_storage(identity: Any) -> Storage:
    raise FileFormatError("pickle: a storage where none belongs")


def _with_arrays(loaded: Any) -> Any:
    """Tensors as arrays, in a dict and in the dicts right below it: where a state dict can be."""
    if not isinstance(loaded, dict):
        return loaded.array() if isinstance(loaded, Tensor) else loaded
    return {name: _arrays_of(value) for name, value in loaded.items()}


def _arrays_of(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: item.array() if isinstance(item, Tensor) else item for name, item in value.items()}
    return value.array() if isinstance(value, Tensor) else value


class Cursor:
    """A place in bytes, with what pickletools asks of a file. Never takes more memory than there are bytes."""

    def __init__(self, content: memoryview) -> None:
        self._content, self._at = content, 0

    def tell(self) -> int:
        """The place."""
        return self._at

    def read(self, count: int) -> bytes:
        """The next `count` bytes, fewer at the end."""
        start, self._at = self._at, min(self._at + max(count, 0), len(self._content))
        return bytes(self._content[start : self._at])

    def readline(self) -> bytes:
        """Up to and with the next newline, or 4,096 bytes: names and numbers are shorter."""
        line = bytes(self._content[self._at : self._at + 4096]).partition(b"\n")
        return self.read(len(line[0]) + len(line[1]))

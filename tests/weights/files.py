"""Small files of weights, written byte by byte: what other programs would write, without those programs."""

from __future__ import annotations

import io
import pickle
import struct
import zipfile

import numpy as np


class Named:
    """Pickles as the global `module.name`, which need not exist."""

    def __init__(self, text: str) -> None:
        self.module, self.name = text.rsplit(".", 1)


class Call:
    """Pickles as a call of a global."""

    def __init__(self, function: str, *arguments) -> None:
        self.function, self.arguments = Named(function), arguments


class Stored:
    """Pickles as a persistent id."""

    def __init__(self, *identity) -> None:
        self.identity = identity


class _Pickler(pickle._Pickler):
    """The pickler in Python, which lets itself be told what to write."""

    def persistent_id(self, value):
        return value.identity if isinstance(value, Stored) else None

    def save(self, value, save_persistent_id=True):
        if isinstance(value, Named):
            self.write(pickle.GLOBAL + f"{value.module}\n{value.name}\n".encode())
        elif isinstance(value, Call):
            self.save(value.function)
            self.save(tuple(value.arguments))
            self.write(pickle.REDUCE)
        else:
            super().save(value, save_persistent_id)


def dumps(value) -> bytes:
    """A pickle of protocol 2, as PyTorch writes them."""
    file = io.BytesIO()
    _Pickler(file, 2).dump(value)
    return file.getvalue()


def tensor(key: str, size: tuple[int, ...], stride=None, offset=0, count=None, kind="torch.FloatStorage") -> Call:
    """A tensor of a storage, as PyTorch describes it."""
    steps = tuple(int(np.prod(size[i + 1 :])) for i in range(len(size))) if stride is None else stride
    stored = Stored("storage", Named(kind), key, "cpu", int(np.prod(size)) if count is None else count)
    return Call("torch._utils._rebuild_tensor_v2", stored, offset, size, steps, False, Call("collections.OrderedDict"))


def zip_file(value, storages: dict[str, bytes], extra: dict[str, bytes] | None = None) -> bytes:
    """PyTorch's zip form."""
    members = {"data.pkl": dumps(value), "byteorder": b"little", "version": b"3\n"}
    members.update({f"data/{key}": content for key, content in storages.items()})
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in {**members, **(extra or {})}.items():
            archive.writestr(f"archive/{name}", content)
    return file.getvalue()


def legacy_file(value, storages: dict[str, tuple[int, bytes]], little_endian=True) -> bytes:
    """PyTorch's form before 1.6."""
    system = {"protocol_version": 1001, "little_endian": little_endian, "type_sizes": {"short": 2, "int": 4, "long": 4}}
    parts = [dumps(0x1950A86A20F9469CFC6C), dumps(1001), dumps(system), dumps(value), dumps(list(storages))]
    parts += [struct.pack("<q", count) + content for count, content in storages.values()]
    return b"".join(parts)


def varint(value: int) -> bytes:
    """protobuf's base-128 integer."""
    parts = bytearray()
    while value >= 0x80:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*parts, value])


def field(number: int, value: int | bytes | str) -> bytes:
    """One field of a protobuf message."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    content = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(content)) + content


def blob(values: np.ndarray, old_shape: bool = False) -> bytes:
    """Caffe's BlobProto."""
    if old_shape:
        four = (1,) * (4 - values.ndim) + values.shape
        shape = b"".join(field(number, extent) for number, extent in enumerate(four, start=1))
    else:
        shape = field(7, field(1, b"".join(map(varint, values.shape))))
    return shape + field(5 if values.dtype == np.float32 else 8, values.tobytes())


def caffe_layer(name: str, kind: str, *arrays: np.ndarray) -> bytes:
    """A LayerParameter in a NetParameter."""
    return field(100, field(1, name) + field(2, kind) + b"".join(field(7, blob(array)) for array in arrays))


def caffe_v1_layer(name: str, kind: int, *arrays: np.ndarray) -> bytes:
    """A V1LayerParameter in a NetParameter."""
    blobs = b"".join(field(6, blob(array, old_shape=True)) for array in arrays)
    return field(2, field(2, "data") + field(4, name) + field(5, kind) + blobs)

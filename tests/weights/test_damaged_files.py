"""Files that are cut, flipped or lie: always FileFormatError, never memory for what only a header claims."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest

import fastconv as fc

from . import files

FIXTURES = Path(__file__).parent / "fixtures"
SEEDS = range(6)
TRIALS = 150  # for each seed and kind of file


def small_safetensors():
    header = (
        b'{"__metadata__":{"a":"b"},"w":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},'
        b'"half":{"dtype":"BF16","shape":[4],"data_offsets":[24,32]},"none":{"dtype":"I64","shape":[0],'
        b'"data_offsets":[32,32]}}'
    )
    return struct.pack("<Q", len(header)) + header + bytes(range(32))


def small_npz(compressed=False):
    file = io.BytesIO()
    save = np.savez_compressed if compressed else np.savez
    save(file, a=np.arange(12.0).reshape(3, 4), b=np.asfortranarray(np.ones((2, 3), np.float16)), c=np.array("text"))
    return file.getvalue()


def small_caffemodel():
    weight, bias = np.ones((2, 1, 3, 3), np.float32), np.zeros(2, np.float32)
    return (
        files.field(1, "net")
        + files.caffe_layer("conv", "Convolution", weight, bias)
        + files.caffe_v1_layer("fc", 14, np.ones((4, 5), np.float32), bias)
    )


KINDS = {
    "safetensors": small_safetensors(),
    "npz": small_npz(),
    "compressed.npz": small_npz(True),
    "zip.pth": (FIXTURES / "checkpoint_zip.pth").read_bytes(),
    "legacy.pth": (FIXTURES / "checkpoint_legacy.pth").read_bytes(),
    "caffemodel": small_caffemodel(),
}


def load(path, content):
    """Loads, or gives the text of the FileFormatError; any other exception passes."""
    path.write_bytes(content)
    try:
        return fc.load(path)
    except fc.FileFormatError as error:
        assert str(error).startswith("weights ")
        return str(error)


@pytest.mark.parametrize("kind", KINDS)
def test_whole_files_are_read(tmp_path, kind):
    assert len(load(tmp_path / f"file.{kind}", KINDS[kind])) >= 3


@pytest.mark.parametrize("kind", KINDS)
def test_every_cut_is_noticed(tmp_path, kind):
    content = KINDS[kind]
    for length in range(0, len(content), max(len(content) // 400, 1)):
        got = load(tmp_path / f"file.{kind}", content[:length])
        # A .caffemodel has no length of its own: cut between two layers it is a smaller one.
        assert isinstance(got, str) or (kind == "caffemodel" and set(got) < {"conv.weight", "conv.bias", "fc.weight"})


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", KINDS)
def test_flipped_bytes_raise_nothing_else(tmp_path, kind, seed):
    random = np.random.default_rng(seed)
    whole = np.frombuffer(KINDS[kind], np.uint8)
    tracemalloc.start()
    try:
        for _ in range(TRIALS):
            content = whole.copy()
            for _ in range(random.integers(1, 6)):
                at = random.integers(len(content)) if random.random() < 0.7 else random.integers(min(len(content), 300))
                content[at] = random.choice([random.integers(256), 0, 255, content[at] ^ (1 << random.integers(8))])
            load(tmp_path / f"file.{kind}", content.tobytes())
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 16 << 20, f"{peak:,} bytes for files of {len(whole):,}"


def npy(shape: str, descr: str = "<f4", values: bytes = b"\0" * 16) -> bytes:
    """An .npz with one member of a header that may lie."""
    header = f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + values)
    return file.getvalue()


def tensors(header: str, data: bytes = b"\0" * 16) -> bytes:
    """A safetensors file."""
    return struct.pack("<Q", len(header)) + header.encode() + data


def claims(size: int) -> bytes:
    """A zip whose directory claims that a member of 16 bytes has `size`."""
    content = bytearray(npy("(4,)"))
    at = content.index(b"PK\x01\x02")
    content[at + 24 : at + 28] = struct.pack("<I", size)
    return bytes(content)


LIES = {
    "header longer than the file": (struct.pack("<Q", 1 << 60) + b"{" + b" " * 20, "safetensors: "),
    "array beyond the end": (
        tensors('{"a":{"dtype":"F32","shape":[1099511627776],"data_offsets":[0,4398046511104]}}'),
        "safetensors: ",
    ),
    "shape and bytes differ": (
        tensors('{"a":{"dtype":"F32","shape":[5],"data_offsets":[0,16]}}'),
        "safetensors: ",
    ),
    "a hole": (
        tensors('{"a":{"dtype":"U8","shape":[8],"data_offsets":[8,16]}}'),
        "safetensors: ",
    ),
    "an overlap": (
        tensors(
            '{"a":{"dtype":"U8","shape":[16],"data_offsets":[0,16]},"b":{"dtype":"U8","shape":[8],"data_offsets":[8,16]}}'
        ),
        "safetensors: ",
    ),
    "something left over": (tensors('{"a":{"dtype":"U8","shape":[8],"data_offsets":[0,8]}}'), "safetensors: "),
    "a name twice": (
        tensors('{"a":{"dtype":"U8","shape":[16],"data_offsets":[0,16]},"a":1}'),
        "safetensors: ",
    ),
    "unknown dtype": (tensors('{"a":{"dtype":"F4","shape":[4],"data_offsets":[0,16]}}'), "safetensors: "),
    "negative extent": (tensors('{"a":{"dtype":"U8","shape":[-4,-4],"data_offsets":[0,16]}}'), "safetensors: "),
    "deep JSON": (tensors('{"a":' + "[" * 100_000), "safetensors: "),
    "deep npy header": (npy("(" * 5_000), "a.npy: expected a header of plain numbers"),
    "huge npy": (npy("(1000000000000,)"), "needs 4,000,000,000,000 bytes, 16 are there"),
    "negative npy": (npy("(-4,)"), "expected a header of plain numbers"),
    "empty and huge npy": (npy("(0, 10000000000, 10000000000)", values=b""), "needs 0 bytes"),
    "objects": (npy("(2,)", "|O"), "expected a header of plain numbers"),
    "no size": (npy("(4,)", "<U0"), "expected numbers"),
    "zip member that claims more than it can hold": (claims(1 << 31), "cannot hold the 2,147,483,648 it claims"),
    "zip of something else": (files.zip_file({}, {}).replace(b"data.pkl", b"data.pkx"), "neither an .npz nor"),
    "text": (b"hello, this is text", "neither safetensors, .npz"),
    "nothing": (b"", "neither safetensors, .npz"),
}


@pytest.mark.parametrize("lie", LIES)
def test_lies_are_told(tmp_path, lie):
    content, text = LIES[lie]
    with pytest.raises(fc.FileFormatError, match=text):
        fc.load(_written(tmp_path / "file", content))


def _written(path, content):
    path.write_bytes(content)
    return path


def test_a_folder_and_nothing_at_all(tmp_path):
    for path in (tmp_path, tmp_path / "missing.pth"):
        with pytest.raises(fc.FileFormatError, match="no such file"):
            fc.load(path)

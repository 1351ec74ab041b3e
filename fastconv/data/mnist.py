"""MNIST and Fashion-MNIST, from their original files, packed by gzip or not."""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..errors import FileFormatError
from .dataset import Dataset
from .originals import Originals, PathLike, check_split

Array = NDArray[Any]

# The third byte of an idx file (LeCun, Cortes and Burges, "The MNIST database of handwritten digits"): big-endian types.
_IDX_TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def read_idx(path: PathLike) -> Array:
    """The array in an idx file: 0, 0, type, number of dimensions, sizes (big-endian, 32 bits), elements.

    A name that ends in .gz is unpacked. Raises FileFormatError where the file is missing, truncated or something else.
    """
    source = Path(path)
    return _parse_idx(_contents(source), source)


def _contents(path: Path) -> bytes:
    try:
        content = path.read_bytes()
        return gzip.decompress(content) if path.suffix == ".gz" else content
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise FileFormatError(f"idx file {str(path)!r}: expected a whole gzip file: {error}") from None
    except OSError as error:
        raise FileFormatError(f"idx file {str(path)!r}: cannot be read: {error}") from None


def _parse_idx(content: bytes, path: Path) -> Array:
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] not in _IDX_TYPES:
        raise FileFormatError(f"idx file {str(path)!r}: expected to begin with 0, 0 and a type, got {content[:4]!r}")
    dtype, ndim = np.dtype(_IDX_TYPES[content[2]]), content[3]
    header = 4 + 4 * ndim
    if len(content) < header:
        raise FileFormatError(f"idx file {str(path)!r}: expected a header of {header} bytes, got {len(content)}")
    shape = struct.unpack(f">{ndim}I", content[4:header])
    expected = header + math.prod(shape) * dtype.itemsize
    if len(content) != expected:
        raise FileFormatError(
            f"idx file {str(path)!r}: expected {expected:,} bytes for shape {shape}, got {len(content):,}"
        )
    return np.frombuffer(content, dtype, offset=header).reshape(shape)


class _IdxDataset(Dataset):
    """Images and labels in two idx files a split."""

    originals: ClassVar[Originals]
    names: ClassVar[tuple[str, ...]]

    def __init__(self, root: PathLike | None = None, split: str = "train") -> None:
        self.split = check_split(split)
        prefix = "train" if split == "train" else "t10k"
        files = [f"{prefix}-images-idx3-ubyte", f"{prefix}-labels-idx1-ubyte"]
        images, labels = (self._read(root, name) for name in files)
        super().__init__(images[..., None], labels, self.names)

    def _read(self, root: PathLike | None, name: str) -> Array:
        for folder in self.originals.candidates(root):
            for path in (folder / f"{name}.gz", folder / name):
                if path.is_file():
                    try:
                        content = _contents(path)
                    except FileFormatError as error:
                        raise self.originals.error(path, str(error)) from None
                    self.originals.verify(name, content, path)
                    return _parse_idx(content, path)
        raise self.originals.missing(root, f"{name}.gz or {name}")

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.split}, {len(self):,} images, {len(self.classes)} classes)"


class MNIST(_IdxDataset):
    """Handwritten digits, 28 x 28 x 1, white on black: 60,000 to train on, 10,000 to test (LeCun and others, 1998).

    Looked for in root's folders mnist, MNIST/raw and root itself; root: see `fastconv.data`. Raises FileFormatError
    where a file is missing, truncated, or not the published one.
    """

    originals = Originals(
        "MNIST",
        ("mnist", "MNIST/raw", "."),
        {
            "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
            "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
            "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
            "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        },
        "https://ossci-datasets.s3.amazonaws.com/mnist/ (four .gz files)",
    )
    names = tuple("0123456789")


class FashionMNIST(_IdxDataset):
    """Photographs of clothes in the format of MNIST: 60,000 to train on, 10,000 to test (Xiao and others, 2017).

    Looked for in root's folders fashion_mnist, FashionMNIST/raw and root itself. Errors as MNIST.
    """

    originals = Originals(
        "FashionMNIST",
        ("fashion_mnist", "FashionMNIST/raw", "."),
        {
            "train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
            "train-labels-idx1-ubyte": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
            "t10k-images-idx3-ubyte": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
            "t10k-labels-idx1-ubyte": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
        },
        "https://github.com/zalandoresearch/fashion-mnist (data/fashion, four .gz files)",
    )
    names = (
        "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
    )  # fmt: skip

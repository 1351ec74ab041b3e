"""CIFAR-10, from any form of its files: the binary version, the Python version, or grids of lossless WebP.

Whatever the form, a batch becomes the bytes of the binary version: 10,000 rows of label, red, green and blue plane. The
published SHA-256 of those six files holds for all forms.
"""

from __future__ import annotations

import io
import pickle
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..errors import FileFormatError
from .dataset import Dataset
from .image_file import open_image
from .originals import Originals, PathLike, check_split

Array = NDArray[Any]

_ROWS = 10_000
_PLANES = 3 * 32 * 32


def _read_binary(path: Path) -> Array:
    content = path.read_bytes()
    if len(content) != _ROWS * (1 + _PLANES):
        raise FileFormatError(f"expected {_ROWS * (1 + _PLANES):,} bytes, got {len(content):,}")
    return np.frombuffer(content, np.uint8).reshape(_ROWS, 1 + _PLANES)


class _Pixels:
    """Stands in for numpy.ndarray while a batch is unpickled: takes bytes and a shape, and runs no code of NumPy's."""

    def __init__(self, *arguments: Any) -> None:
        self.array: Array = np.empty(0, np.uint8)

    def __setstate__(self, state: Any) -> None:
        _, shape, dtype, column_major, content = state
        if not (isinstance(dtype, _ByteType) and dtype.of_bytes and isinstance(content, bytes)) or column_major:
            raise FileFormatError("expected a row-major array of uint8")
        self.array = np.frombuffer(content, np.uint8).reshape(shape)


class _ByteType:
    """Stands in for numpy.dtype."""

    def __init__(self, name: Any, *flags: Any) -> None:
        self.of_bytes = name in ("u1", b"u1")

    def __setstate__(self, state: Any) -> None:
        """Byte order and the like, which bytes do not have."""


def _reconstruct(*arguments: Any) -> _Pixels:
    return _Pixels()


class _BatchUnpickler(pickle.Unpickler):
    """Makes numbers, text, bytes, lists, dicts and arrays of bytes, and refuses everything else that a pickle can do."""

    _NAMES: ClassVar[dict[tuple[str, str], Any]] = {
        ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
        ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
        ("numpy", "ndarray"): _Pixels,
        ("numpy", "dtype"): _ByteType,
    }

    def find_class(self, module: str, name: str) -> Any:
        try:
            return self._NAMES[module, name]
        except KeyError:
            raise FileFormatError(f"expected arrays, lists and dicts alone, and it asks for {module}.{name}") from None


def _read_python(path: Path) -> Array:
    """A batch of the Python version; its pickle is read by an unpickler that runs nothing that the file names."""
    try:
        batch = _BatchUnpickler(io.BytesIO(path.read_bytes()), encoding="bytes").load()
        entries = {key.decode() if isinstance(key, bytes) else key: value for key, value in batch.items()}
        planes = entries["data"].array.reshape(_ROWS, _PLANES)
        return np.concatenate([np.array(entries["labels"], np.uint8).reshape(_ROWS, 1), planes], axis=1)
    except (FileFormatError, OSError):
        raise
    except Exception as error:  # a damaged pickle fails in many ways
        raise FileFormatError(f"expected a pickled batch: {type(error).__name__}: {error}") from None


def _read_grid(path: Path) -> Array:
    """A lossless grid of 100 x 100 images, and its labels beside it: NAME.webp and NAME_labels.u8."""
    labels = np.frombuffer(path.with_name(f"{path.stem}_labels.u8").read_bytes(), np.uint8)
    pixels = np.asarray(open_image(path, "RGB"))
    if pixels.shape != (3200, 3200, 3) or labels.shape != (_ROWS,):
        raise FileFormatError(f"expected 3200 x 3200 pixels and {_ROWS} labels, got {pixels.shape} and {len(labels)}")
    planes = pixels.reshape(100, 32, 100, 32, 3).transpose(0, 2, 4, 1, 3).reshape(_ROWS, _PLANES)
    return np.concatenate([labels[:, None], planes], axis=1)


_FORMS: tuple[tuple[str, str, Callable[[Path], Array]], ...] = (
    ("binary version", "{}.bin", _read_binary),
    ("Python version", "{}", _read_python),
    ("WebP grids", "{}.webp", _read_grid),
)


class CIFAR10(Dataset):
    """Small photographs, 32 x 32 x 3, in ten classes: 50,000 to train on, 10,000 to test (Krizhevsky, 2009).

    Looked for in root's folders cifar-10-batches-bin, cifar-10-batches-py, cifar10 and root itself; root: see
    `fastconv.data`. The pickles of the Python version are read without running what they say. Of WebP grids (which need
    Pillow) those that are there are used, and a warning says how many images are not. Raises FileFormatError where a
    file is missing, truncated, or not the published one.
    """

    originals = Originals(
        "CIFAR10",
        ("cifar-10-batches-bin", "cifar-10-batches-py", "cifar10", "."),
        {
            "data_batch_1": "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5",
            "data_batch_2": "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed",
            "data_batch_3": "bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67",
            "data_batch_4": "014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48",
            "data_batch_5": "755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add",
            "test_batch": "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b",
        },
        "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz or cifar-10-python.tar.gz beside it, unpacked",
    )
    names = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

    def __init__(self, root: PathLike | None = None, split: str = "train") -> None:
        self.split = check_split(split)
        wanted = [f"data_batch_{i}" for i in range(1, 6)] if split == "train" else ["test_batch"]
        folder, present, self.form = self._find(root, wanted)
        pattern, read = next((pattern, read) for form, pattern, read in _FORMS if form == self.form)
        missing = [name for name in wanted if name not in present]
        if missing and self.form != "WebP grids":
            raise self.originals.error(folder / pattern.format(missing[0]), "no such file")
        rows = np.concatenate([self._read(folder / pattern.format(name), name, read) for name in present])
        self._all = len(wanted) * _ROWS
        super().__init__(
            np.ascontiguousarray(rows[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)), rows[:, 0], self.names
        )
        if missing:
            warnings.warn(
                f"CIFAR10: {len(self):,} of {self._all:,} images: {folder} lacks {', '.join(missing)}", stacklevel=2
            )

    def _find(self, root: PathLike | None, wanted: list[str]) -> tuple[Path, list[str], str]:
        """The folder, batches and form of the first complete set of files; else of the first that has any."""
        found: list[tuple[Path, list[str], str]] = []
        for folder in self.originals.candidates(root):
            for form, pattern, _ in _FORMS:
                present = [name for name in wanted if (folder / pattern.format(name)).is_file()]
                if len(present) == len(wanted):
                    return folder, present, form
                if present:
                    found.append((folder, present, form))
        if found:
            return found[0]
        raise self.originals.missing(root, f"{wanted[0]}.bin, {wanted[0]} or {wanted[0]}.webp")

    def _read(self, path: Path, name: str, read: Callable[[Path], Array]) -> Array:
        try:
            rows = read(path)
        except OSError as error:
            raise self.originals.error(path, f"cannot be read: {error}") from None
        except FileFormatError as error:
            raise self.originals.error(path, str(error)) from None
        self.originals.verify(name, np.ascontiguousarray(rows).reshape(-1).data, path)
        return rows

    def __repr__(self) -> str:
        count = f"{len(self):,}" if len(self) == self._all else f"{len(self):,} of {self._all:,}"
        return f"CIFAR10({self.split}, {count} images, 10 classes, {self.form})"

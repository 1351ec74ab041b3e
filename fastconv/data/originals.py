"""Where the files of a published data set lie, and whether they are what was published.

Nothing is downloaded. What is missing or altered is named, with the place to get it from.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ..errors import FileFormatError, ShapeError

PathLike = str | os.PathLike[str]


def data_root(root: PathLike | None) -> Path:
    """The folder of data sets: root, else what FASTCONV_DATA names, else ~/.cache/fastconv."""
    if root is not None:
        return Path(root)
    named = os.environ.get("FASTCONV_DATA")
    return Path(named) if named else Path.home() / ".cache" / "fastconv"


@dataclass(frozen=True)
class Originals:
    """A published data set: folders below the root where it may lie, SHA-256 of the plain contents, sources."""

    title: str
    folders: tuple[str, ...]
    sha256: Mapping[str, str]
    source: str

    def candidates(self, root: PathLike | None) -> Iterator[Path]:
        """The folders to look in, best first."""
        base = data_root(root)
        return (base / folder for folder in self.folders)

    def error(self, path: Path, found: str) -> FileFormatError:
        """What is wrong with a file, and how to get a good one."""
        return FileFormatError(f"{self.title}: {str(path)!r}: {found}. The originals: {self.source}")

    def missing(self, root: PathLike | None, expected: str) -> FileFormatError:
        """No file of that description in any of the folders."""
        base = data_root(root)
        places = ", ".join(str(Path(folder)) for folder in self.folders)
        return self.error(base, f"no such files: expected {expected} in one of its folders {places}")

    def verify(self, name: str, content: bytes | memoryview, path: Path) -> None:
        """Raises FileFormatError where content is not, byte for byte, what was published under that name."""
        digest = hashlib.sha256(content).hexdigest()
        if digest != self.sha256[name]:
            raise self.error(
                path, f"not the published file: expected contents of SHA-256 {self.sha256[name]}, got {digest}"
            )


def check_split(split: str) -> str:
    """split, "train" or "test"; else a ShapeError."""
    if split not in ("train", "test"):
        raise ShapeError(f"split: expected 'train' or 'test', got {split!r}")
    return split

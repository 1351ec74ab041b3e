"""Zip files, read member by member: what .npz and PyTorch's .pth are."""

from __future__ import annotations

import struct
import zipfile
import zlib
from pathlib import Path
from types import TracebackType

from ..errors import FileFormatError

# What zipfile raises for files that are damaged, encrypted or odd.
_ERRORS = (zipfile.BadZipFile, zlib.error, EOFError, KeyError, RuntimeError, ValueError, OverflowError, struct.error)

_DEFLATE_RATIO = 1032  # the most that deflate packs into a byte


class Archive:
    """The members of a zip file. Raises FileFormatError for whatever is wrong with it."""

    def __init__(self, path: Path) -> None:
        self._length = path.stat().st_size
        try:
            self._zip = zipfile.ZipFile(path)
        except _ERRORS as error:
            raise FileFormatError(f"zip: {_text(error)}") from None

    def __enter__(self) -> Archive:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._zip.close()

    @property
    def names(self) -> list[str]:
        """Names of all members."""
        return self._zip.namelist()

    def read(self, name: str) -> bytearray:
        """A member's bytes. Its size is held against that of the file before memory is taken for it."""
        try:
            member = self._zip.getinfo(name)
            if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise FileFormatError(f"zip: {name}: expected it stored or deflated, got method {member.compress_type}")
            if member.compress_size > self._length:
                raise FileFormatError(f"zip: {name}: {self._length:,} bytes cannot hold its {member.compress_size:,}")
            if member.file_size > member.compress_size * _DEFLATE_RATIO:
                raise FileFormatError(
                    f"zip: {name}: {member.compress_size:,} bytes cannot hold the {member.file_size:,} it claims"
                )
            content = bytearray(self._zip.read(name))
        except FileFormatError:
            raise
        except _ERRORS as error:
            raise FileFormatError(f"zip: {name}: {_text(error)}") from None
        if len(content) != member.file_size:
            raise FileFormatError(f"zip: {name}: expected {member.file_size:,} bytes, got {len(content):,}")
        return content


def _text(error: Exception) -> str:
    return str(error) or type(error).__name__

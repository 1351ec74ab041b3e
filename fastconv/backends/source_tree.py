"""Where the kernel sources are: in the repository, or in the installed package."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from ..errors import DeviceError

_PACKAGE = Path(__file__).resolve().parent.parent


def source_root() -> Path:
    """The folder that holds cuda/, simt/ and problem.h, and that kernels are compiled with -I of.

    A wheel carries it as fastconv/csrc; in a checkout it is the repository's own csrc/, so that an edited
    kernel needs no reinstall. Raises DeviceError where neither is there.
    """
    for folder in (_PACKAGE / "csrc", _PACKAGE.parent / "csrc"):
        if (folder / "problem.h").is_file():
            return folder
    raise DeviceError(f"kernel sources: expected {_PACKAGE / 'csrc'}, which is not there: reinstall fastconv")


_INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]+"([^"]+)"', re.MULTILINE)


def included_sources(text: str) -> list[str]:
    """Names and contents, in turn, of all files under `source_root` that a source includes, directly or not: what a
    compiled kernel depends on besides its own text. (Read once a process: an edit is seen by the next one.)"""
    found: dict[str, str] = {}
    pending = _INCLUDE.findall(text)
    while pending:
        name = pending.pop()
        if name not in found and (content := _content(name)) is not None:
            found[name] = content
            pending += _INCLUDE.findall(content)
    return [part for name in sorted(found) for part in (name, found[name])]


@cache
def _content(name: str) -> str | None:
    file = source_root() / name  # an absolute name stays what it is
    return file.read_text() if file.is_file() else None

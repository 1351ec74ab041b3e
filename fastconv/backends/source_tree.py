"""Where the kernel sources are: in the repository, or in the installed package."""

from __future__ import annotations

import os
import re
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


def included_sources(text: str, root: Path, but: str | None = None) -> list[str]:
    """Names and contents, in turn, of all files that a source includes by quotes, directly or not, as far as they are
    there: what a compiled kernel depends on besides its own text. `root` is where -I leads; what lies below its folder
    `but` is left out.
    """
    found: dict[Path, str] = {}
    pending = [(name, root) for name in _INCLUDE.findall(text)]
    while pending:
        name, folder = pending.pop()
        for file in (
            (folder / name).resolve(),
            (root / name).resolve(),
        ):  # beside the file that includes it, or below -I
            if file in found or not file.is_file() or (but is not None and file.is_relative_to(root / but)):
                continue
            found[file] = file.read_text()
            pending += [(more, file.parent) for more in _INCLUDE.findall(found[file])]
    return [part for file in sorted(found) for part in (os.path.relpath(file, root), found[file])]

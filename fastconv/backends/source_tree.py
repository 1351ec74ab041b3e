"""Where the kernel sources are: in the repository, or in the installed package."""

from __future__ import annotations

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

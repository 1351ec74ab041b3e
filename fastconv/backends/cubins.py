"""From a KernelSource to a cubin: compiled when first asked for, then kept on disk. Needs no GPU."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import DeviceError
from . import nvrtc
from .disk_cache import DiskCache, key_of
from .gpu.source import KernelSource
from .source_tree import source_root

# No contraction, as on the CPU: where kernels want a fused multiply-add they say so.
OPTIONS = (*nvrtc.DEFAULT_OPTIONS, "-fmad=false")

# The newest that each generation is compiled for. An "a" turns on what only that very chip has (wgmma on sm_90a), and
# such a cubin runs on no other.
ARCHS = {
    (8, 0): "sm_80",
    (8, 6): "sm_86",
    (8, 9): "sm_89",
    (9, 0): "sm_90a",
    (10, 0): "sm_100a",
    (12, 0): "sm_120a",
}

_INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*"([^"]+)"', re.MULTILINE)


@dataclass(frozen=True)
class Cubin:
    """A compiled kernel: the image, the mangled name of its function, the compiler's log; `fresh` if compiled now."""

    image: bytes
    entry: str
    log: str
    fresh: bool


def arch_for(major: int, minor: int) -> str:
    """What a GPU of this compute capability is compiled for.

    Cubins run on later minor versions of their generation, not on other generations: a GPU that is not in the table
    gets the latest of its generation before it, or the generation's first, without what is special to that chip.

    >>> arch_for(9, 0), arch_for(8, 7), arch_for(12, 1), arch_for(11, 0)
    ('sm_90a', 'sm_86', 'sm_120', 'sm_110')
    """
    if (major, minor) < (8, 0):
        raise DeviceError(f"compute capability {major}.{minor}: the CUDA kernels need 8.0 (Ampere) or later")
    if (major, minor) in ARCHS:
        return ARCHS[major, minor]
    before = [known for known in ARCHS if known[0] == major and known[1] < minor]
    return ARCHS[max(before)].rstrip("a") if before else f"sm_{major}0"


def translation_unit(files: Sequence[str]) -> str:
    """What NVRTC is given for kernels of these files."""
    return "".join(f'#include "cuda/{file}"\n' for file in files)


def compile_together(kernels: Sequence[KernelSource], arch: str) -> nvrtc.Compiled:
    """Compiles several kernels in one go, past the cache: much quicker than one by one."""
    files = list(dict.fromkeys(kernel.file for kernel in kernels))
    expressions = list(dict.fromkeys(kernel.expression for kernel in kernels))
    return nvrtc.compile_cubin(translation_unit(files), expressions, arch, [source_root()], OPTIONS)


def cache() -> DiskCache:
    """Where cubins are kept."""
    return DiskCache("cubins")


def cubin(kernel: KernelSource, arch: str) -> Cubin:
    """The compiled kernel, from the cache where it is there.

    Raises CompileError for a kernel that does not compile, DeviceError where the compiler is missing.
    """
    key = cubin_key(kernel, arch)
    disk = cache()
    if kept := _unpack(disk.get(key)):
        return kept
    with disk.locked(key):
        if kept := _unpack(disk.get(key)):  # another process compiled it while we waited
            return kept
        compiled = compile_together([kernel], arch)
        made = Cubin(compiled.cubin, compiled.lowered[kernel.expression], compiled.log, fresh=True)
        head = json.dumps({"entry": made.entry, "log": made.log}).encode()
        disk.put(key, head + b"\n" + made.image)
    return made


def cubin_key(kernel: KernelSource, arch: str) -> str:
    """Depends on all that the cubin depends on: sources, options, architecture and compiler."""
    from .. import __version__  # not there yet while fastconv is being imported

    root = source_root()
    parts: list[str | bytes] = [kernel.file, kernel.expression, arch, *OPTIONS]
    parts += [*map(str, nvrtc.version()), nvrtc.headers_version(), __version__]
    for path in included(root / "cuda" / kernel.file, root):
        parts += [path.relative_to(root).as_posix(), path.read_bytes()]
    return key_of(*parts)


def included(file: Path, root: Path) -> list[Path]:
    """The file and all that it includes by quotes, directly or not, as far as it is below root.

    What kernels include for the executor alone is left out. Raises DeviceError for a file that is not there.
    """
    if not file.is_file():
        raise DeviceError(f"kernel file: expected one below {root / 'cuda'}, got {str(file)!r}")
    found = {file: None}  # in the order of discovery
    waiting = [file]
    while waiting:
        current = waiting.pop()
        for name in _INCLUDE.findall(current.read_text()):
            for candidate in (current.parent / name, root / name):
                path = candidate.resolve()
                inside = path.is_relative_to(root) and not path.is_relative_to(root / "simt")
                if inside and path.is_file() and path not in found:
                    found[path] = None
                    waiting.append(path)
    return list(found)


def _unpack(entry: bytes | None) -> Cubin | None:
    if entry is None:
        return None
    head, image = entry.split(b"\n", 1)
    fields = json.loads(head)
    return Cubin(image, fields["entry"], fields["log"], fresh=False)

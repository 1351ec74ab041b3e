"""From a KernelSource to a cubin: compiled when first asked for, then kept on disk. Needs no GPU."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import DeviceError
from . import nvrtc
from .disk_cache import DiskCache, key_of
from .gpu.source import KernelSource
from .source_tree import included_sources, source_root

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
    """What NVRTC is given for kernels of these files: ours by their names, anybody's by their absolute paths."""
    return "".join(f'#include "{file if Path(file).is_absolute() else f"cuda/{file}"}"\n' for file in files)


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

    file = source_root() / "cuda" / kernel.file
    if not file.is_file():
        raise DeviceError(f"kernel file: expected one below {source_root() / 'cuda'}, got {str(file)!r}")
    parts = [kernel.file, kernel.expression, arch, *OPTIONS]
    parts += [*map(str, nvrtc.version()), nvrtc.headers_version(), __version__]
    # What kernels include for the executor alone does not count.
    return key_of(*parts, *included_sources(translation_unit([kernel.file]), source_root(), but="simt"))


def _unpack(entry: bytes | None) -> Cubin | None:
    if entry is None:
        return None
    head, image = entry.split(b"\n", 1)
    fields = json.loads(head)
    return Cubin(image, fields["entry"], fields["log"], fresh=False)

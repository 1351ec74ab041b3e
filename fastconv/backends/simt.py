"""The device ``simt``: CUDA kernels executed, and checked, on the CPU.

A kernel is compiled by the host's C++ compiler (CXX, else g++ or clang++) on first use, kept in the disk cache,
and run one fiber a CUDA thread. Whatever is wrong with it (a race, an access out of bounds, a barrier that not all
threads reach, ...) raises `KernelError` with the places in the source. See docs/simt.md.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from .. import _core
from ..errors import DeviceError, KernelError
from . import cpu
from .disk_cache import DiskCache, key_of
from .gpu import elementwise
from .gpu.source import KernelSource
from .source_tree import included_sources, source_root

ORDERS = ("forward", "reverse", "random", "skew")
COPIES = ("eager", "lazy", "random")
NUMERICS = ("float32", "ampere", "hopper")


@dataclass(frozen=True)
class Options:
    """How the executor runs kernels.

    order: which of the threads that can run does: forward, reverse, random, or skew (one warp far ahead).
    copies: when cp.async moves its bytes: eager (at once), lazy (when waited for), random.
    numerics: how mma.sync adds: float32 (a rounding each addition), or as the tensor cores of ampere or hopper do
        (aligned, cut off, rounded toward zero).
    seed: of the random ones.
    check: whether accesses are checked; without, kernels run two to ten times faster.
    """

    order: str = "forward"
    copies: str = "eager"
    numerics: str = "ampere"
    seed: int = 0
    check: bool = True

    def __post_init__(self) -> None:
        for name, names in (("order", ORDERS), ("copies", COPIES), ("numerics", NUMERICS)):
            if getattr(self, name) not in names:
                raise DeviceError(f"{name}: expected one of {', '.join(names)}, got {getattr(self, name)!r}")


name = "simt"
_DEFAULTS = Options()
_options: ContextVar[Options] = ContextVar("fastconv_simt_options", default=_DEFAULTS)


@contextlib.contextmanager
def options(**changes: Any) -> Iterator[Options]:
    """Runs the kernels within a block with some `Options` changed.

    >>> from fastconv.backends import simt
    >>> with simt.options(order="skew", copies="lazy", seed=7) as now:
    ...     now.order
    'skew'
    """
    now = replace(_options.get(), **changes)
    token = _options.set(now)
    try:
        yield now
    finally:
        _options.reset(token)


def current_options() -> Options:
    """What `options` has set."""
    return _options.get()


def available() -> str | None:
    """Why the executor cannot be used here, or None if it can."""
    try:
        _executor()
        _compiler()
    except DeviceError as error:
        return str(error)
    return None


def launch(
    kernel: KernelSource,
    grid: tuple[int, int, int],
    block: tuple[int, int, int],
    args: Sequence[object],
    shared_bytes: int = 0,
    *,
    cluster: tuple[int, int, int] = (1, 1, 1),
    programmatic: bool = False,
) -> None:
    """Runs a kernel to its end. Raises KernelError for what is wrong with it.

    args: NumPy arrays (their memory is what the kernel may touch), None for a null pointer, NumPy scalars, the bytes of
    a struct, or what `encode` gives. cluster: the blocks that run together; the other blocks run one after the other.
    programmatic: a launch here waits for the one ahead of it in any case.
    """
    library = compile_library(translation_unit(kernel), kernel.expression)
    memory = []
    packed = []
    for position, value in enumerate(args):
        if isinstance(value, np.ndarray):
            memory.append((*_extent(value), f"argument {position}", value.flags.writeable))
            packed.append(np.uint64(value.ctypes.data).tobytes())
        elif isinstance(value, EncodedMap):
            memory.append((*_extent(value.array), f"argument {position}", value.array.flags.writeable))
            packed.append(_executor().tensor_map(value.description, value.array.ctypes.data))
        else:
            packed.append(pack_argument(value, position))
    now = _options.get()
    report = _executor().launch(
        _load(library),
        grid,
        block,
        cluster,
        shared_bytes,
        packed,
        memory,
        ORDERS.index(now.order),
        COPIES.index(now.copies),
        NUMERICS.index(now.numerics),
        now.seed,
        now.check,
    )
    if report is not None:
        kind, headline, notes = report
        if kind == "interrupted":
            raise KeyboardInterrupt
        raise KernelError(kind, _explain(kernel, library, headline, notes))


@dataclass(frozen=True)
class EncodedMap:
    """A tensor map over an array's memory, as an argument of `launch`."""

    description: bytes
    array: np.ndarray[Any, Any]


def encode(tensor_map: _core.TensorMap, array: np.ndarray[Any, Any]) -> EncodedMap:
    """A tensor map over the memory that an array starts at. Raises DeviceError for what no sm_90 takes."""
    reason = tensor_map.refusal
    if reason is None and array.ctypes.data % 16:
        reason = "address: a tensor map takes multiples of 16 bytes"
    if reason is not None:
        raise DeviceError(reason)
    return EncodedMap(tensor_map.description, array)


def _extent(array: np.ndarray[Any, Any]) -> tuple[int, int]:
    """(first byte, number of bytes) of the memory from an array's lowest element to its highest."""
    if array.size == 0:
        return array.ctypes.data, 0
    reach = [(extent - 1) * stride for extent, stride in zip(array.shape, array.strides, strict=True)]
    low = sum(min(r, 0) for r in reach)
    return array.ctypes.data + low, sum(max(r, 0) for r in reach) - low + array.itemsize


def empty(shape: tuple[int, ...], dtype: Any) -> np.ndarray[Any, Any]:
    """An uninitialised array."""
    return cpu.empty(shape, np.dtype(dtype))


def copy(src: np.ndarray[Any, Any], dst: np.ndarray[Any, Any]) -> None:
    """dst[...] = src for equal shapes of up to 4 dimensions and equal dtypes, whatever the strides."""
    if src.flags.aligned and dst.flags.aligned:
        elementwise.copy(sys.modules[__name__], src, dst)
    else:
        dst[...] = src  # no array of a GPU lies so


def lacks(archs: tuple[str, ...]) -> None:
    """The executor has the instructions of every architecture."""
    return None


def constant(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The array itself: kernels read it where it is."""
    return array


def processors() -> int:
    """Of the device that stands for all: an H200's, so that choices are those of a large GPU."""
    return 132


def pack_argument(value: object, position: int) -> bytes:
    """The bytes of an argument that is not an array."""
    if value is None:
        return bytes(8)
    if isinstance(value, bytes):
        return value
    if isinstance(value, np.generic):
        return value.tobytes()
    raise DeviceError(
        f"argument {position}: expected an array, None, a NumPy scalar or bytes, got {type(value).__name__}"
    )


@lru_cache(maxsize=1)
def _executor() -> ModuleType:
    try:
        from .. import _simt  # type: ignore[attr-defined, unused-ignore]
    except ImportError as error:
        raise DeviceError(f"simt: this build of fastconv has no executor ({error})") from None
    module: ModuleType = _simt
    return module


def compiler() -> str:
    """What compiles kernels, as it names itself."""
    return _compiler()[1].split("\n", 1)[0]


@lru_cache(maxsize=1)
def _compiler() -> tuple[list[str], str]:
    """The command and what it says of itself."""
    for command in (os.environ.get("CXX"), "g++", "clang++", "c++"):
        try:
            parts = shlex.split(command or "")
        except ValueError as error:
            raise DeviceError(f"CXX: expected a command, got {command!r}: {error}") from None
        if parts and shutil.which(parts[0]):
            version = subprocess.run([*parts, "--version"], capture_output=True, text=True, check=False).stdout
            return parts, version
    raise DeviceError("simt: kernels are compiled when first run, and no C++ compiler was found (g++, clang++ or CXX)")


# The compiler reports every access to hooks of ours (csrc/simt/hooks.cc); libtsan and libubsan are not linked.
# DWARF 4: addr2line up to binutils 2.40 takes DWARF 5's file numbers for the wrong files.
# No contraction: both sides, the GPU and this one, fuse a multiply-add where the kernel says fmaf and nowhere else.
_FLAGS = [
    "-std=c++17",
    "-O1",
    "-gdwarf-4",
    "-fPIC",
    "-fvisibility=hidden",
    "-fno-strict-aliasing",
    "-ffp-contract=off",
    "-fno-optimize-sibling-calls",
    "-fno-exceptions",
    "-fsanitize=thread,alignment,bounds,shift,integer-divide-by-zero,signed-integer-overflow",
    "-Wall",
    "-Wno-unknown-pragmas",
]


# Struct copies that the compiler makes calls of are reported too.
_LINK_FLAGS = ["-Wl,-z,defs", *(f"-Wl,--wrap={function}" for function in ("memcpy", "memmove", "memset"))]


@lru_cache(maxsize=1)
def _machine_flags() -> list[str]:
    return ["-mavx2", "-mfma", "-mf16c"] if "avx2" in _core.supported_isas() else []


def translation_unit(kernel: KernelSource) -> str:
    """The source that is compiled for a kernel: of ours, or of anybody's file (named by its absolute path)."""
    file = f"cuda/{kernel.file}"
    if Path(kernel.file).is_absolute():
        file = kernel.file
        if not Path(file).is_file():
            raise DeviceError(f"kernel file: expected one, got {file!r}, which is not there")
        # So that an edit, of the file or of what it includes, makes another unit within this process, too.
        text = f'#include "{file}"'
        version = f"// {key_of(*included_sources(text, source_root()))}\n"
    else:
        version = ""
    return f'{version}#include "cuda/platform.cuh"\n#include "{file}"\nFC_SIMT_KERNEL({kernel.expression});\n'


@cache
def compile_library(source: str, name: str) -> Path:
    """Compiles a translation unit that ends in FC_SIMT_KERNEL. Raises KernelError with what the compiler says."""
    command, version = _compiler()
    executor = Path(str(_executor().__file__))
    flags = [*_FLAGS, *_machine_flags(), f"-I{source_root()}"]
    key = key_of(
        source,
        " ".join([*command, *flags, *_LINK_FLAGS]),
        version,
        str(executor),
        *included_sources(source, source_root()),
    )

    def make(target: Path) -> None:
        unit, obj = target.with_suffix(".cc"), target.with_suffix(".o")
        unit.write_text(source)
        _run([*command, *flags, "-c", str(unit), "-o", str(obj)], name)
        _run([*command, "-shared", *_LINK_FLAGS, str(obj), str(executor), "-o", str(target)], name)

    return DiskCache("simt").get_file(key, ".so", make)


def _run(command: list[str], name: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise KernelError("compile", f"{name} does not compile for the executor:\n{done.stderr.strip()}")


@cache
def _load(library: Path) -> Any:
    return _executor().Library(str(library))


def _explain(kernel: KernelSource, library: Path, headline: str, notes: Sequence[tuple[str, int]]) -> str:
    lines = [f"{kernel.expression}: {headline}"]
    places = _places(library, [offset for _, offset in notes])
    for (text, _), place in zip(notes, places, strict=True):
        lines.append(f"  {text}" + (f": {place}" if place else ""))
    return "\n".join(lines)


def _places(library: Path, offsets: Sequence[int]) -> list[str]:
    """Where instructions of a library come from: "gemm.cuh:61", with the callers that the compiler inlined it into."""
    tool = shutil.which("addr2line") or shutil.which("llvm-symbolizer")
    if tool is None:
        return ["" if offset < 0 else f"instruction {offset:#x} (addr2line is not installed)" for offset in offsets]
    places = []
    for offset in offsets:
        if offset < 0:
            places.append("")
            continue
        command = [tool, "-i", "-e", str(library), hex(offset)]
        if "symbolizer" in tool:
            command = [tool, "--inlining", "--output-style=GNU", f"--obj={library}", hex(offset)]
        frames = subprocess.run(command, capture_output=True, text=True, check=False).stdout.split()
        places.append(_innermost_of_kernel([frame for frame in frames if ":" in frame]))
    return places


def _innermost_of_kernel(frames: Sequence[str]) -> str:
    """The innermost line that is a kernel's own, and not a wrapper's around one instruction."""
    own = [frame for frame in frames if "/simt/" not in frame and "/cuda/ptx/" not in frame and "?" not in frame]
    chosen = (own or list(frames) or ["an unknown place"])[0]
    root = f"{source_root()}{os.sep}"
    return os.path.normpath(chosen).removeprefix(root)

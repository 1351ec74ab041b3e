"""NVRTC, NVIDIA's compiler as a library: CUDA C++ in, a cubin out. Needs no GPU and no driver.

Bound by ctypes rather than through CuPy, which asks the current device for its architecture before it compiles.
"""

from __future__ import annotations

import ctypes
import importlib.metadata
import os
import re
from collections.abc import Iterator, Sequence
from ctypes import POINTER, byref, c_char_p, c_int, c_size_t, c_void_p
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from ..errors import DeviceError

# NVRTC has no standard library. Kernels, and problem.h that they share with the host, need only this of it.
_CSTDINT = """
#pragma once
typedef signed char int8_t;
typedef short int16_t;
typedef int int32_t;
typedef long long int64_t;
typedef unsigned char uint8_t;
typedef unsigned short uint16_t;
typedef unsigned int uint32_t;
typedef unsigned long long uint64_t;
typedef unsigned long long uintptr_t;
namespace std {
using ::int8_t; using ::int16_t; using ::int32_t; using ::int64_t;
using ::uint8_t; using ::uint16_t; using ::uint32_t; using ::uint64_t; using ::uintptr_t;
}
"""
_CSTDDEF = """
#pragma once
typedef decltype(sizeof(0)) size_t;
typedef long ptrdiff_t;
namespace std { using ::size_t; using ::ptrdiff_t; }
"""
HEADERS = {"cstdint": _CSTDINT, "stdint.h": _CSTDINT, "cstddef": _CSTDDEF, "stddef.h": _CSTDDEF}

# -v makes ptxas report registers, stack and spills, and with them its warnings, in the log.
DEFAULT_OPTIONS = ("-std=c++17", "--ptxas-options=-v")

INSTALL = "pip install 'fastconv[cu13]', or 'fastconv[cu12]' for a driver older than 580"


class CompileError(DeviceError):
    """Source that NVRTC refuses; the text holds its log."""


@dataclass(frozen=True)
class Compiled:
    """A cubin, the mangled name of each expression that was asked for, and what the compiler said."""

    cubin: bytes
    lowered: dict[str, str]
    log: str


def compile_cubin(
    source: str,
    name_expressions: Sequence[str],
    arch: str,
    include_dirs: Sequence[str | os.PathLike[str]] = (),
    options: Sequence[str] = DEFAULT_OPTIONS,
) -> Compiled:
    """Compiles CUDA C++ for an architecture such as "sm_90a"; threads may do so at the same time.

    CUDA's own headers are searched after `include_dirs`, where they are installed. Raises CompileError with the log for
    source that does not compile, DeviceError where there is no NVRTC.
    """
    nvrtc = library()
    headers = cuda_headers()
    folders = [*(os.fspath(folder) for folder in include_dirs), *([str(headers)] if headers else [])]
    arguments = [f"-arch={arch}", *options, *(f"-I{folder}" for folder in folders)]
    program = c_void_p()
    texts = (c_char_p * len(HEADERS))(*(text.encode() for text in HEADERS.values()))
    names = (c_char_p * len(HEADERS))(*(name.encode() for name in HEADERS))
    _check(
        nvrtc,
        nvrtc.nvrtcCreateProgram(byref(program), source.encode(), b"fastconv.cu", len(HEADERS), texts, names),
        "nvrtcCreateProgram",
    )
    try:
        for expression in name_expressions:
            _check(nvrtc, nvrtc.nvrtcAddNameExpression(program, expression.encode()), f"name {expression!r}")
        encoded = (c_char_p * len(arguments))(*(argument.encode() for argument in arguments))
        status = nvrtc.nvrtcCompileProgram(program, len(arguments), encoded)
        log = _fetch(nvrtc, program, "ProgramLog").rstrip(b"\0\n").decode(errors="replace")
        if status != 0:
            reason = nvrtc.nvrtcGetErrorString(status).decode()
            raise CompileError(f"NVRTC {'.'.join(map(str, version()))} for {arch}: {reason}\n{log}".rstrip())
        lowered = {}
        for expression in name_expressions:
            name = c_char_p()
            _check(nvrtc, nvrtc.nvrtcGetLoweredName(program, expression.encode(), byref(name)), expression)
            lowered[expression] = (name.value or b"").decode()
        return Compiled(_fetch(nvrtc, program, "CUBIN"), lowered, log)
    finally:
        nvrtc.nvrtcDestroyProgram(byref(program))


@lru_cache(maxsize=1)
def library() -> ctypes.CDLL:
    """libnvrtc. Raises DeviceError that says what to install where there is none."""
    tried = []
    for candidate in _candidates():
        try:
            nvrtc = ctypes.CDLL(candidate)
        except OSError as error:
            tried.append(str(error))
            continue
        return _declare(nvrtc)
    raise DeviceError(f"NVRTC, which compiles the CUDA kernels, was not found ({tried[-1]}): {INSTALL}")


def version() -> tuple[int, int]:
    """NVRTC's version, that of the CUDA toolkit it belongs to."""
    major, minor = c_int(), c_int()
    _check(library(), library().nvrtcVersion(byref(major), byref(minor)), "nvrtcVersion")
    return major.value, minor.value


@lru_cache(maxsize=1)
def cuda_headers() -> Path | None:
    """The folder of cuda_fp16.h and its like, or None: fastconv's own kernels do without."""
    package = "nvidia-cuda-runtime" if version()[0] >= 13 else "nvidia-cuda-runtime-cu12"
    beside = [Path(library()._name).resolve().parent.parent / "include"]
    installed = [toolkit / "include" for toolkit in _toolkits()] + [Path("/usr/include")]
    for folder in [*(path.parent for path in _packaged(package, "cuda_fp16.h")), *beside, *installed]:
        if (folder / "cuda_fp16.h").is_file():
            return folder
    return None


@lru_cache(maxsize=1)
def headers_version() -> str:
    """CUDA_VERSION of the headers, as 13000 for 13.0; "" without any."""
    headers = cuda_headers()
    header = headers / "cuda.h" if headers else None
    found = re.search(r"#define CUDA_VERSION (\d+)", header.read_text()) if header and header.is_file() else None
    return found[1] if found else ""


def _candidates() -> Iterator[str]:
    for package in ("nvidia-cuda-nvrtc", "nvidia-cuda-nvrtc-cu12"):
        yield from map(str, _packaged(package, "libnvrtc.so."))
    for toolkit in _toolkits():
        for folder in ("lib64", "lib"):
            yield from map(str, sorted((toolkit / folder).glob("libnvrtc.so.*"), reverse=True))
    try:  # comes with CuPy, and knows where conda and others put it
        from cuda.pathfinder import load_nvidia_dynamic_lib

        yield str(load_nvidia_dynamic_lib("nvrtc").abs_path)
    except Exception:  # it has errors of its own for "not found"
        pass
    yield from ("libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so")


def _packaged(package: str, start: str) -> list[Path]:
    """Files of an installed package whose names begin so."""
    try:
        files = importlib.metadata.files(package) or []
    except importlib.metadata.PackageNotFoundError:
        return []
    return [Path(str(file.locate())) for file in files if file.name.startswith(start)]


def _toolkits() -> list[Path]:
    named = [Path(os.environ[name]) for name in ("CUDA_PATH", "CUDA_HOME") if os.environ.get(name)]
    return [*named, Path("/usr/local/cuda"), *sorted(Path("/usr/local").glob("cuda-*"), reverse=True)]


def _declare(nvrtc: ctypes.CDLL) -> ctypes.CDLL:
    nvrtc.nvrtcGetErrorString.restype = c_char_p
    strings = POINTER(c_char_p)
    for name, types in {
        "nvrtcVersion": [POINTER(c_int), POINTER(c_int)],
        "nvrtcCreateProgram": [POINTER(c_void_p), c_char_p, c_char_p, c_int, strings, strings],
        "nvrtcAddNameExpression": [c_void_p, c_char_p],
        "nvrtcCompileProgram": [c_void_p, c_int, strings],
        "nvrtcGetLoweredName": [c_void_p, c_char_p, POINTER(c_char_p)],
        "nvrtcGetProgramLogSize": [c_void_p, POINTER(c_size_t)],
        "nvrtcGetProgramLog": [c_void_p, c_char_p],
        "nvrtcGetCUBINSize": [c_void_p, POINTER(c_size_t)],
        "nvrtcGetCUBIN": [c_void_p, c_char_p],
        "nvrtcDestroyProgram": [POINTER(c_void_p)],
    }.items():
        getattr(nvrtc, name).argtypes = types
    return nvrtc


def _fetch(nvrtc: ctypes.CDLL, program: c_void_p, what: str) -> bytes:
    size = c_size_t()
    _check(nvrtc, getattr(nvrtc, f"nvrtcGet{what}Size")(program, byref(size)), what)
    buffer = ctypes.create_string_buffer(size.value)
    _check(nvrtc, getattr(nvrtc, f"nvrtcGet{what}")(program, buffer), what)
    return buffer.raw


def _check(nvrtc: ctypes.CDLL, status: int, what: str) -> None:
    if status != 0:
        raise DeviceError(f"NVRTC: {what}: {nvrtc.nvrtcGetErrorString(status).decode()}")

"""Compiling at run time: NVRTC, cubins and their keys. No GPU needed."""

from __future__ import annotations

import ctypes
import shutil
from concurrent.futures import ThreadPoolExecutor

import pytest

from fastconv import DeviceError
from fastconv.backends import cubins, gpu
from fastconv.backends.gpu.source import KernelSource
from fastconv.backends.source_tree import source_root
from fastconv.cli import main

SOURCE = """
#include <cstdint>
namespace test {
template <class T> __global__ void scale(T* x, int64_t n) { if (threadIdx.x < n) x[threadIdx.x] *= T(2); }
}
"""
EXPRESSIONS = ["test::scale<float>", "test::scale<double>"]


@pytest.fixture
def sources(tmp_path, monkeypatch):
    """A copy of the kernel sources, to be edited."""
    copy = tmp_path / "csrc"
    shutil.copytree(source_root(), copy, ignore=shutil.ignore_patterns("*.cc"))
    monkeypatch.setattr(cubins, "source_root", lambda: copy)
    (copy / "cuda" / "probe.cuh").write_text('#include "probe.h"\n  #  include "cuda/platform.cuh"\n' + SOURCE)
    (copy / "cuda" / "probe.h").write_text("#pragma once\n")
    return copy


PROBE = KernelSource("probe.cuh", EXPRESSIONS[0])


@pytest.mark.parametrize("arch", ["sm_80", "sm_86", "sm_89", "sm_90a"])
def test_a_cubin_and_the_names_in_it(nvrtc, arch):
    compiled = nvrtc.compile_cubin(SOURCE, EXPRESSIONS, arch)
    assert compiled.cubin.startswith(b"\x7fELF")
    assert list(compiled.lowered) == EXPRESSIONS
    for name in compiled.lowered.values():
        assert name.encode() in compiled.cubin and f"'{name}' for '{arch}'" in compiled.log


def test_threads_compile_at_the_same_time(nvrtc):
    def compile_for(arch):
        return nvrtc.compile_cubin(SOURCE, EXPRESSIONS, arch).cubin

    archs = ["sm_80", "sm_90a"] * 6
    with ThreadPoolExecutor(4) as pool:
        images = list(pool.map(compile_for, archs))
    assert all(image == compile_for(arch) for image, arch in zip(images, archs, strict=True))


def test_errors_carry_the_log(nvrtc):
    with pytest.raises(nvrtc.CompileError, match=r"(?s)for sm_80: NVRTC_ERROR_COMPILATION.*\"nothing\" is undefined"):
        nvrtc.compile_cubin("__global__ void k() { nothing(); }", ["k"], "sm_80")
    with pytest.raises(nvrtc.CompileError, match="no member"):
        nvrtc.compile_cubin(SOURCE, ["test::other"], "sm_80")
    with pytest.raises(nvrtc.CompileError, match=r"for sm_12: .*(?s:.*)invalid value for --gpu-architecture"):
        nvrtc.compile_cubin(SOURCE, EXPRESSIONS, "sm_12")
    assert issubclass(nvrtc.CompileError, DeviceError)


def test_without_nvrtc(nvrtc, monkeypatch):
    monkeypatch.setattr(nvrtc, "_candidates", lambda: iter(["/nowhere/libnvrtc.so.13"]))
    nvrtc.library.cache_clear()
    try:
        with pytest.raises(DeviceError, match=r"NVRTC, which compiles .* not found .*pip install 'fastconv\[cu13\]'"):
            nvrtc.library()
    finally:
        monkeypatch.undo()
        nvrtc.library.cache_clear()
        assert isinstance(nvrtc.library(), ctypes.CDLL)


@pytest.mark.parametrize(
    ("capability", "arch"),
    [
        ((8, 0), "sm_80"),
        ((8, 6), "sm_86"),
        ((8, 7), "sm_86"),
        ((8, 9), "sm_89"),
        ((9, 0), "sm_90a"),
        ((10, 0), "sm_100a"),
        ((10, 3), "sm_100"),
        ((11, 0), "sm_110"),
        ((12, 0), "sm_120a"),
        ((12, 1), "sm_120"),
    ],
)
def test_architectures(capability, arch):
    assert cubins.arch_for(*capability) == arch


@pytest.mark.parametrize("capability", [(7, 5), (6, 1)])
def test_gpus_that_are_too_old(capability):
    with pytest.raises(DeviceError, match=r"compute capability \d\.\d: the CUDA kernels need 8.0 \(Ampere\) or later"):
        cubins.arch_for(*capability)


def test_a_kernel_is_compiled_once(nvrtc, fresh_cache, sources):
    first, second = cubins.cubin(PROBE, "sm_80"), cubins.cubin(PROBE, "sm_80")
    assert (first.fresh, second.fresh) == (True, False)
    assert (first.image, first.entry, first.log) == (second.image, second.entry, second.log)
    assert cubins.cubin(PROBE, "sm_90a").fresh


def test_a_damaged_cubin_is_compiled_again(nvrtc, fresh_cache, sources):
    first = cubins.cubin(PROBE, "sm_80")
    path = cubins.cache().path(cubins.cubin_key(PROBE, "sm_80"))
    path.write_bytes(path.read_bytes()[:-100])
    again = cubins.cubin(PROBE, "sm_80")
    assert again.fresh and again.image == first.image


def test_keys_follow_what_the_kernel_includes(nvrtc, sources):
    def key():
        return cubins.cubin_key(PROBE, "sm_80")

    before = key()
    assert before == key()
    for path in ("cuda/probe.cuh", "cuda/probe.h", "cuda/platform.cuh", "integers.h"):
        file = sources / path
        text = file.read_text()
        file.write_text(text + "// edited\n")
        assert key() != before, path
        file.write_text(text)
    (sources / "cuda" / "unrelated.cuh").write_text("")
    for path in (sources / "simt").glob("*.h"):
        path.write_text("// the executor's: NVRTC never sees it")
    assert key() == before
    assert cubins.cubin_key(KernelSource("probe.cuh", EXPRESSIONS[1]), "sm_80") != before
    assert cubins.cubin_key(PROBE, "sm_86") != before


def test_a_file_that_is_not_there(nvrtc):
    with pytest.raises(DeviceError, match=r"kernel file: expected one below .*cuda.*, got .*nothing\.cuh"):
        cubins.cubin(KernelSource("nothing.cuh", "k"), "sm_80")


def test_prebuild(nvrtc, fresh_cache, sources, capsys, monkeypatch):
    monkeypatch.setattr(gpu, "catalog", lambda: [KernelSource("probe.cuh", expression) for expression in EXPRESSIONS])
    arguments = ["prebuild", "--arch", "sm_80", "--arch", "sm_90a"]
    assert main(arguments) == 0
    place = f"in {fresh_cache / 'cubins'}\n"
    assert capsys.readouterr().out == f"4 kernels for sm_80, sm_90a: 4 compiled, 0 there already, {place}"
    assert main(arguments) == 0
    assert capsys.readouterr().out == f"4 kernels for sm_80, sm_90a: 0 compiled, 4 there already, {place}"

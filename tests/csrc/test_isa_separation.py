"""Code of one instruction set must not leak into another: a shared function compiled for AVX-512 would crash
every older CPU. Read from the built module, by nm and objdump."""

from __future__ import annotations

import platform
import re
import shutil
import subprocess

import pytest

from fastconv import _core

pytestmark = [
    pytest.mark.skipif(platform.machine() != "x86_64", reason="one ISA only on this architecture"),
    pytest.mark.skipif(not shutil.which("nm") or not shutil.which("objdump"), reason="binutils are not installed"),
]


def output(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="module")
def symbols():
    lines = output("nm", "-C", "--defined-only", _core.__file__).splitlines()
    if "__asan_init" in output("nm", "-D", _core.__file__):
        pytest.skip("built with sanitizers: the code is not the product's")
    return [line.split(" ", 2)[2] for line in lines if line.count(" ") >= 2]


@pytest.mark.parametrize("isa", ["portable", "avx2", "avx512"])
def test_each_isa_has_its_own_kernels(symbols, isa):
    names = [name for name in symbols if f"fastconv::{isa}::" in name]
    for family in (
        "gemm_tile<",
        "implicit_gemm<",
        "im2col_gemm<",
        "strip_tile<",
        "weight_grad_row<",
        "linear_dot<",
        "max_pool<",
        "softmax<",
    ):
        assert any(f"fastconv::{isa}::{family}" in name for name in names), family


def test_the_module_exports_only_its_init():
    """Nothing else can be merged with, or replaced by, a symbol of another library in the process."""
    exported = [line.split()[-1] for line in output("nm", "-D", "--defined-only", _core.__file__).splitlines()]
    ours = [name for name in exported if "fastconv" in name or name.startswith("PyInit")]
    assert ours == ["PyInit__core"]


def functions():
    """(demangled name, its instructions) of the module's code."""
    name, body = None, []
    for line in output("objdump", "-d", "-C", "--no-show-raw-insn", _core.__file__).splitlines():
        if match := re.match(r"[0-9a-f]+ <(.*)>:$", line):
            if name:
                yield name, "\n".join(body)
            name, body = match.group(1), []
        elif name:
            body.append(line)
    if name:
        yield name, "\n".join(body)


def test_wide_instructions_stay_in_their_namespace(symbols):
    leaks, seen = [], {"avx2": 0, "avx512": 0}
    for name, body in functions():
        wide = "avx512" if re.search(r"%zmm|%k[1-7]|%[xy]mm(1[6-9]|2\d|3[01])\b", body) else ""
        wide = wide or ("avx2" if re.search(r"%ymm|\tv[a-z]", body) else "")
        if not wide:
            continue
        # Names that are too deeply nested for the demangler stay mangled: _ZN8fastconv6avx512...
        of_avx512 = "fastconv::avx512::" in name or (name.startswith("_Z") and "6avx512" in name)
        of_avx2 = "fastconv::avx2::" in name or (name.startswith("_Z") and "4avx2" in name)
        if of_avx512 or (wide == "avx2" and of_avx2):
            seen[wide] += 1
        else:
            leaks.append(f"{name}: {wide}")
    assert not leaks, leaks[:5]
    assert seen["avx512"] > 50 and seen["avx2"] > 20


# Per ISA, the inner kernels and the multiply-adds that a full one holds: rows x vectors; a strip's outputs x taps of a row.
INNER_KERNELS = {
    "avx512": {"gemm_tile<float, 14, 2>": 28, "outer_tile<float, 14, 2>": 28},
    "avx2": {"gemm_tile<float, 6, 2>": 12, "outer_tile<float, 6, 2>": 12},
}
for _kernels in INNER_KERNELS.values():
    for _s, _stride in ((3, 1), (3, 2), (5, 1), (5, 2), (7, 1), (7, 2)):
        for _edge in ("false", "true"):
            _kernels[f"strip_tile<float, OwnChannel, {_s}, {_stride}, 7, {_edge}, false>"] = 7 * _s
        _kernels[f"weight_grad_row<float, {_s}, {_stride}, false>"] = 4 * _s
    for _s, _stride in ((3, 1), (3, 2), (5, 1)):
        for _edge in ("false", "true"):
            _kernels[f"strip_tile<float, GroupChannels, {_s}, {_stride}, 7, {_edge}, false>"] = 7 * _s


@pytest.mark.parametrize(("isa", "register"), [("avx512", "zmm"), ("avx2", "ymm")])
def test_inner_kernels_do_not_spill(symbols, isa, register):
    """They keep their sums in registers: no vector goes to the stack anywhere in them."""
    namespace = f"fastconv::{isa}::"
    bodies = {name: body for name, body in functions() if namespace in name}
    for kernel, multiply_adds in INNER_KERNELS[isa].items():
        found = [body for name, body in bodies.items() if f" {kernel}(" in name.replace(namespace, "")]
        assert found, kernel
        for body in found:
            assert len(re.findall(r"vfmadd", body)) >= multiply_adds, kernel
            assert not re.search(rf"(%{register}\d+,.*\(%r[sb]p\))|(\(%r[sb]p\).*,%{register}\d+)", body), kernel

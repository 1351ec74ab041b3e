"""csrc/launch against a driver that computes nothing but says what it was asked: no GPU needed."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from fastconv import _core
from fastconv.backends import nvrtc
from tests.cuda.conftest import PACKAGES

pytestmark = pytest.mark.skipif(not PACKAGES, reason="no package of CUDA's headers for this platform")


@pytest.fixture(scope="session")
def fake_driver(tmp_path_factory):
    """Runs Python code in a process whose libcuda is ours."""
    compiler = next((c for c in (os.environ.get("CC", ""), "cc", "gcc", "clang") if c and shutil.which(c)), None)
    assert compiler, "a C compiler, which the build needs too"
    folder = tmp_path_factory.mktemp("driver")
    source = Path(__file__).with_name("fake_driver.c")
    command = [*shlex.split(compiler), "-shared", "-fPIC", f"-I{nvrtc.cuda_headers()}", str(source)]
    subprocess.run([*command, "-o", str(folder / "libcuda.so.1")], check=True)

    def run(code, **environment):
        assert _core.HAVE_CUDA, "built without CUDA's headers: is nvidia-cuda-runtime installed?"
        child = subprocess.run(
            [sys.executable, "-c", f"from fastconv import _core\n{code}"],
            check=False,
            capture_output=True,
            text=True,
            env={**os.environ, "LD_LIBRARY_PATH": str(folder), **environment},
        )
        return child.stdout if child.returncode == 0 else child.stderr

    return run


WHY = "print(_core.cuda_unavailable())"


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, ""),
        ({"FAKE_VERSION": "12020"}, ""),
        ({"FAKE_WITHOUT": "cuFuncGetParamInfo"}, ""),
        (
            {"FAKE_VERSION": "11040"},
            "no CUDA device: fastconv needs a driver of CUDA 12.0 or later (525), this one is of CUDA 11.4",
        ),
        (
            {"FAKE_WITHOUT": "cuLaunchKernelEx"},
            "no CUDA device: fastconv needs a driver of CUDA 12.0 or later (525), "
            "this one is of CUDA 13.0 and has no cuLaunchKernelEx",
        ),
        ({"FAKE_INIT": "100"}, "no CUDA device: the driver sees none (CUDA_VISIBLE_DEVICES may hide it)"),
        ({"FAKE_DEVICES": "0"}, "no CUDA device: the driver sees none (CUDA_VISIBLE_DEVICES may hide it)"),
        ({"FAKE_INIT": "803"}, "no CUDA device: the driver does not start: error 803, fake words"),
    ],
)
def test_what_is_missing_is_said(fake_driver, environment, expected):
    assert fake_driver(WHY, **environment).strip() == expected


def test_without_a_driver(tmp_path):
    """An empty file where libcuda would be: it cannot be opened, as if it were not there."""
    (tmp_path / "libcuda.so.1").write_bytes(b"")
    command = [sys.executable, "-c", f"from fastconv import _core; {WHY}; _core.cuda_device_count()"]
    environment = {**os.environ, "LD_LIBRARY_PATH": str(tmp_path)}
    child = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)
    if child.returncode == 0:
        pytest.skip("this machine has a driver in a folder that the loader asks anyway")
    text = "no CUDA device: libcuda.so.1, which comes with NVIDIA's driver, is not there"
    assert child.stdout.strip() == text
    assert child.stderr.strip().endswith(f"fastconv.errors.DeviceError: {text}")


LAUNCH = """
import ctypes, numpy as np
f = _core.load_cubin(b"image", "kernel", 0)
def launch(*args, grid=(5, 6, 7), cluster=(1, 1, 1), programmatic=False):
    _core.launch(f, grid, (32, 4, 1), cluster, 4096, 11, programmatic, args)
TRIPLE = np.array([1, 2, 3], np.int32).tobytes()
"""
LINE = "launch grid 5 6 7 block 32 4 1 shared 4096 stream 11 context 1 args"


def test_a_launch_hands_on_what_it_is_given(fake_driver):
    out = fake_driver(LAUNCH + "launch(1 << 40, np.int32(-5), TRIPLE); launch(None, ctypes.c_int32(8), TRIPLE)")
    assert f"{LINE} {1 << 40} -5 1 2 3\n{LINE} 0 8 1 2 3\n" in out
    assert "cluster" not in out and "programmatic" not in out
    # All the shared memory that the kernel does not have already; clusters of any size.
    assert "set 8 231424\n" in out and "set 14 1\n" in out


def test_cluster_and_programmatic_attributes(fake_driver):
    out = fake_driver(LAUNCH + "launch(1, np.int32(2), TRIPLE, cluster=(2, 1, 1), programmatic=True)")
    assert out.endswith("cluster 2 1 1\nprogrammatic 1\n")
    out = fake_driver(LAUNCH + "launch(1, np.int32(2), TRIPLE, programmatic=True)")
    assert out.endswith("1 2 1 2 3\nprogrammatic 1\n")


@pytest.mark.parametrize(
    ("call", "error"),
    [
        ("launch(1, np.int32(2))", "ValueError: kernel: expected 3 arguments, got 2"),
        ("launch(1, np.int64(2), TRIPLE)", "ValueError: kernel: argument 1: expected 4 bytes, got 8"),
        ("launch(1, 2.0, TRIPLE)", "TypeError: a bytes-like object is required, not 'float'"),
        ("launch(-1, np.int32(2), TRIPLE)", "OverflowError: can't convert negative int to unsigned"),
        ("launch(*[1] * 65)", "ValueError: expected at most 64 arguments"),
        ("launch(bytes(5000))", "ValueError: expected at most 4096 bytes of arguments"),
        (
            "launch(1, np.int32(2), TRIPLE, grid=(0, 1, 1))",
            "fastconv.errors.DeviceError: kernel: CUDA_ERROR_INVALID_VALUE, invalid argument",
        ),
        (
            "_core.load_cubin(b'bad', 'kernel', 0)",
            "fastconv.errors.DeviceError: loading the cubin of kernel: CUDA_ERROR_INVALID_VALUE, invalid argument",
        ),
    ],
)
def test_errors(fake_driver, call, error):
    assert fake_driver(LAUNCH + call).strip().endswith(error)


def test_sizes_are_not_checked_where_the_driver_does_not_tell(fake_driver):
    code = LAUNCH + "print(f.parameter_sizes); launch(1, np.int64(2), TRIPLE)"
    out = fake_driver(code, FAKE_WITHOUT="cuFuncGetParamInfo")
    assert "[]" in out and f"{LINE} 1 2 1 2 3" in out


MAPS = """
rows = _core.tensor_map_rows(1, ROWS, 24, 32, 64, 16, 128)
print(_core.encode_tensor_map(rows, 4096, 0)[8:16].hex())
print(_core.encode_tensor_map(rows, 4096, 0)[8:16].hex())
"""
ROWS = "tiled type 6 rank 2 extents 24 {} stride 64 box 16 64 swizzle 3\n"


@pytest.mark.parametrize(
    ("rows", "version", "cleared"),
    [
        (2047, "13010", True),
        (2047, "12040", True),
        (2047, "13020", False),
        (2049, "13010", False),  # 2048 * 64 + 48 bytes are not less than 131072
    ],
)
def test_small_maps_lose_the_bit_that_old_drivers_set_wrongly(fake_driver, rows, version, cleared):
    word = "ffffdfffffffffff" if cleared else "ffffffffffffffff"
    out = fake_driver(MAPS.replace("ROWS", str(rows)), FAKE_VERSION=version)
    assert out == ROWS.format(rows) + f"{word}\n{word}\n"  # encoded once


def test_im2col_maps_reach_the_driver_as_they_are(fake_driver):
    code = """
problem = _core.ConvProblem(n=2, c=64, h=9, w=12, k=8, r=2, s=5, p=5, q=9, stride_h=2, stride_w=1, pad_top=1,
                            pad_left=0, dilation_h=1, dilation_w=2, groups=1)
problem_map = _core.tensor_map_input(problem, 2, 32, 128, 64)
print(len(_core.encode_tensor_map(problem_map, 1 << 20, 0)))
"""
    assert fake_driver(code) == (
        "im2col type 9 rank 4 extents 64 12 9 2 strides 128 1536 13824 lower 0 -1 upper -3 -1 "
        "channels 32 pixels 128 element strides 1 1 2 1 swizzle 2\n128\n"
    )


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        ("_core.encode_tensor_map(_core.tensor_map_rows(1, 4, 20, 20, 4, 16, 0), 4096, 0)", "multiples of 16"),
        ("_core.encode_tensor_map(_core.tensor_map_rows(1, 4, 24, 24, 4, 16, 0), 4098, 0)", "multiples of 16 bytes"),
    ],
)
def test_maps_that_break_a_limit_do_not_reach_the_driver(fake_driver, call, reason):
    out = fake_driver(call)
    assert "fastconv.errors.DeviceError" in out and out.strip().endswith(reason)

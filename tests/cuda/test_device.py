"""The device cuda where there is no GPU: one clear text for whatever is missing, and no import of CuPy before its time."""

from __future__ import annotations

import ctypes
import subprocess
import sys
import types

import numpy as np
import pytest

import fastconv as fc
from fastconv import _core
from fastconv.backends import cuda, nvrtc
from fastconv.backends.gpu.source import KernelSource
from fastconv.backends.source_tree import source_root


@pytest.fixture
def forgetful():
    """What was found out about this machine is asked anew, before the test and after it."""

    def forget():
        cuda.available.cache_clear()
        cuda._cupy.cache_clear()

    forget()
    yield
    forget()


def fake_cupy(monkeypatch, count=1):
    def get_device_count():
        if isinstance(count, Exception):
            raise count
        return count

    cupy = types.ModuleType("cupy")
    cupy.cuda = types.SimpleNamespace(runtime=types.SimpleNamespace(getDeviceCount=get_device_count))
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    monkeypatch.setattr(cuda.importlib.util, "find_spec", lambda name: object())


def has_driver(monkeypatch, version=13000):
    monkeypatch.setattr(_core, "cuda_unavailable", lambda: "")
    monkeypatch.setattr(_core, "cuda_driver_version", lambda: version, raising=False)


def test_the_driver_comes_first(forgetful, monkeypatch):
    monkeypatch.setattr(_core, "cuda_unavailable", lambda: "no CUDA device: because")
    assert cuda.available() == cuda.describe() == "no CUDA device: because"
    for call in (
        lambda: cuda.empty((1,), "float32"),
        lambda: cuda.launch(KernelSource("a.cuh", "a"), (1, 1, 1), (1, 1, 1), ()),
        cuda.processors,
        lambda: fc.device("cuda"),
    ):
        with pytest.raises(fc.DeviceError, match=r"^no CUDA device: because$"):
            call()


def test_then_cupy(forgetful, monkeypatch):
    has_driver(monkeypatch)
    monkeypatch.setattr(cuda.importlib.util, "find_spec", lambda name: None)
    assert cuda.available() == (
        "CuPy, which holds the arrays, is not installed: "
        "pip install 'fastconv[cu13]', or 'fastconv[cu12]' for a driver older than 580"
    )


def test_a_cupy_that_does_not_work(forgetful, monkeypatch):
    has_driver(monkeypatch)
    fake_cupy(monkeypatch, count=RuntimeError("libcudart.so.13 not found"))
    assert cuda.available() == "CuPy does not work: RuntimeError: libcudart.so.13 not found"


def test_a_cupy_without_devices(forgetful, monkeypatch):
    has_driver(monkeypatch)
    fake_cupy(monkeypatch, count=0)
    assert cuda.available() == "no CUDA device: CuPy sees none"


def test_then_nvrtc(forgetful, monkeypatch):
    has_driver(monkeypatch)
    fake_cupy(monkeypatch)

    def missing():
        raise fc.DeviceError("NVRTC was not found")

    monkeypatch.setattr(nvrtc, "version", missing)
    assert cuda.available() == "NVRTC was not found"


@pytest.mark.parametrize(("driver", "works"), [(12080, False), (13000, True), (13020, True), (14000, True)])
def test_nvrtc_must_not_be_of_a_later_cuda_than_the_driver(forgetful, monkeypatch, driver, works):
    has_driver(monkeypatch, driver)
    fake_cupy(monkeypatch)
    monkeypatch.setattr(nvrtc, "version", lambda: (13, 5))
    expected = (
        "NVRTC is of CUDA 13.5, the driver takes what is compiled by CUDA 12: "
        "pip install 'fastconv[cu12]' in an environment without the other, or a newer driver"
    )
    assert cuda.available() == (None if works else expected)


def test_a_build_without_cuda(forgetful, monkeypatch):
    if _core.HAVE_CUDA:
        pytest.skip("this build has CUDA")
    with pytest.raises(fc.DeviceError, match=r"this build of fastconv has no CUDA.*nvidia-cuda-runtime"):
        cuda.empty((1,), "float32")


def test_asking_for_cuda_without_a_driver_imports_nothing():
    code = "import sys, fastconv as fc; fc.devices(); fc.backends.cuda.describe(); print('cupy' in sys.modules)"
    child = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    if _core.cuda_unavailable() == "":
        pytest.skip("there is a driver here")
    assert child.stdout.strip() == "False"


def test_info_has_a_line_on_cuda(capsys, monkeypatch):
    from fastconv.cli import main

    monkeypatch.setattr(cuda, "describe", lambda: "as described")
    assert main(["info"]) == 0
    assert "\ncuda            as described\n" in capsys.readouterr().out


def test_arguments():
    array = types.SimpleNamespace(data=types.SimpleNamespace(ptr=4096))
    assert cuda._value(array) == 4096
    for passed in (None, np.int32(1), np.float64(2), b"struct", ctypes.c_int64(3)):
        assert cuda._value(passed) is passed
    for refused in (1, 2.0, True, np.ones(3), "text", [1]):
        with pytest.raises(fc.DTypeError, match=rf"argument: expected a CuPy array.* got {type(refused).__name__}"):
            cuda._value(refused)


def test_the_kernel_sources_are_there():
    root = source_root()
    assert (root / "cuda" / "platform.cuh").is_file() and (root / "simt" / "cuda_surface.h").is_file()

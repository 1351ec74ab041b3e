"""Fixtures that several test files share."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

import fastconv as fc
from fastconv.backends import cpu, placement

settings.register_profile(
    "fastconv", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
settings.load_profile("fastconv")


@pytest.fixture(params=cpu.supported_isas())
def isa(request):
    """Runs the test once per instruction set that this machine has."""
    with cpu.force_isa(request.param):
        yield request.param


@pytest.fixture
def threads():
    """Sets the thread count within a test; the old one comes back after it."""
    before = cpu.num_threads()
    yield cpu.set_num_threads
    cpu.set_num_threads(before)


@pytest.fixture(scope="session")
def data():
    """The folder of real data, or a skip that says how to get it."""
    folder = os.environ.get("FASTCONV_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("FASTCONV_DATA does not name a folder with the real data (see CONTRIBUTING.md)")
    return Path(folder)


class OnDevice:
    """A device under test: `put` moves a NumPy array to it, `get` brings a result back."""

    def __init__(self, name: str) -> None:
        self.name = name

    def put(self, array):
        if self.name != "cuda" or array is None:
            return array
        import cupy

        return cupy.asarray(array)

    def get(self, array):
        return array.get() if self.name == "cuda" else array


_CUDA = pytest.param("cuda", marks=pytest.mark.gpu)

# For tests of kernels: each device, and on the CPU each instruction set that this machine has.
on_every_isa = pytest.mark.parametrize(
    "device", [*(f"cpu-{isa}" for isa in cpu.supported_isas()), "simt", _CUDA], indirect=True
)


@pytest.fixture(params=["cpu", "simt", _CUDA])
def device(request):
    """Runs the test on each device: the CPU's kernels, the CUDA kernels in the executor, and on a GPU."""
    name, _, isa = request.param.partition("-")
    if missing := placement.BACKENDS[name].available():
        pytest.skip(missing)
    with fc.device(name), cpu.force_isa(isa or cpu.isa()):
        yield OnDevice(name)


class Ops:
    """fastconv.ops on a device under test: NumPy arrays in and out, wherever they are computed."""

    def __init__(self, device):
        self.device = device

    def __getattr__(self, name):
        function = getattr(fc.ops, name)

        def put(value):
            array = isinstance(value, (np.ndarray, np.generic))
            return self.device.put(np.asarray(value) if isinstance(value, np.generic) else value) if array else value

        def call(*arguments, **named):
            result = function(*map(put, arguments), **{key: put(value) for key, value in named.items()})
            return tuple(map(self.device.get, result)) if isinstance(result, tuple) else self.device.get(result)

        return call


@pytest.fixture
def ops(device):
    """fastconv.ops taking and giving NumPy arrays, on the device of the test."""
    return Ops(device)


@pytest.fixture
def direct_only():
    """Leaves out what transforms its operands, and so is not exact on integers."""
    with fc.allow_winograd(False):
        yield

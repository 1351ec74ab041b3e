"""What compiling without a GPU needs."""

from __future__ import annotations

import importlib.metadata
import platform
import sys
from pathlib import Path

import numpy as np
import pytest

import fastconv as fc

PACKAGES = sys.platform == "linux" and platform.machine() in ("x86_64", "aarch64")


@pytest.fixture(scope="session")
def nvrtc():
    """The compiler; where the registry has a package of it, the extra `test` has brought it, and its lack is a failure."""
    if not PACKAGES:
        pytest.skip("no NVRTC package for this platform")
    from fastconv.backends import nvrtc

    nvrtc.library()
    return nvrtc


@pytest.fixture(scope="session")
def cuobjdump():
    """The path of cuobjdump, from its package."""
    if not PACKAGES:
        pytest.skip("no cuobjdump package for this platform")
    files = importlib.metadata.files("nvidia-cuda-cuobjdump") or []
    return Path(str(next(file.locate() for file in files if file.name == "cuobjdump")))


@pytest.fixture
def fresh_cache(tmp_path, monkeypatch):
    """An empty disk cache for the test."""
    monkeypatch.setenv("FASTCONV_CACHE_DIR", str(tmp_path))
    return tmp_path


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

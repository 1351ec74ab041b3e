"""What compiling without a GPU needs."""

from __future__ import annotations

import importlib.metadata
import platform
import sys
from pathlib import Path

import pytest

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

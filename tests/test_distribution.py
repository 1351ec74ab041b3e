"""What is shipped: every source in the sdist, every option in its own build folder."""

from __future__ import annotations

import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

pytestmark = pytest.mark.skipif(not (ROOT / "setup.py").exists(), reason="not run from a source tree")


def test_the_sdist_holds_every_source(tmp_path):
    command = [sys.executable, "setup.py", "-q", "egg_info", "--egg-base", tmp_path, "sdist", "-d", tmp_path]
    child = subprocess.run(list(map(str, command)), check=False, cwd=ROOT, capture_output=True, text=True)
    assert child.returncode == 0, child.stderr[-800:]
    (archive,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(archive) as file:
        shipped = {name.split("/", 1)[1] for name in file.getnames() if "/" in name}
    wanted = [
        path
        for folder in ("csrc", "fastconv", "tests", "bench")
        for path in (ROOT / folder).rglob("*")
        if path.is_file()
    ]
    kinds = {".h", ".cc", ".c", ".cuh", ".py", ".pyi", ".txt", ".typed"}
    missing = [
        str(path.relative_to(ROOT))
        for path in wanted
        if (path.suffix in kinds or path.name == "py.typed") and str(path.relative_to(ROOT)) not in shipped
    ]
    assert not missing
    assert {"pyproject.toml", "setup.py", "README.md", "LICENSE"} <= shipped


def test_the_wheel_holds_the_kernel_sources(tmp_path):
    """They are compiled when first used; what the build alone needs stays out."""
    command = [sys.executable, "setup.py", "-q", "egg_info", "--egg-base", tmp_path, "build_py", "-d", tmp_path / "lib"]
    child = subprocess.run(list(map(str, command)), check=False, cwd=ROOT, capture_output=True, text=True)
    assert child.returncode == 0, child.stderr[-800:]
    shipped = tmp_path / "lib" / "fastconv" / "csrc"
    names = {str(path.relative_to(shipped)) for path in shipped.rglob("*") if path.is_file()}
    wanted = {
        str(path.relative_to(ROOT / "csrc"))
        for folder in ("cuda", "simt")
        for path in (ROOT / "csrc" / folder).rglob("*")
        if path.suffix in (".h", ".cuh")
    }
    assert wanted < names and "problem.h" in names
    assert not any(name.startswith(("cpu", "launch", "bindings")) or name.endswith(".cc") for name in names)


def test_build_folders_are_keyed_on_the_options(tmp_path):
    """A sanitizer's objects must never be linked into an ordinary build, nor the other way round."""
    code = (
        "import os, sys; os.environ['FASTCONV_SANITIZE'] = sys.argv[1]; sys.argv = ['setup.py', '-q']; "
        "import runpy; namespace = runpy.run_path('setup.py'); "
        "from setuptools.dist import Distribution; command = namespace['BuildPerISA'](Distribution()); "
        "command.ensure_finalized(); print(command.build_temp)"
    )
    folders = {
        subprocess.run(
            [sys.executable, "-c", code, option], check=True, cwd=ROOT, capture_output=True, text=True
        ).stdout.splitlines()[-1]
        for option in ("", "address", "undefined")
    }
    assert len(folders) == 3

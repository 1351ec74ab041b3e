"""What the environment decides: ISA, threads, and a process without any GPU package."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

import fastconv as fc
from fastconv import _core
from fastconv.backends import cpu


def python(code, **environment):
    command = [sys.executable, "-c", code]
    return subprocess.run(command, check=False, capture_output=True, text=True, env={**os.environ, **environment})


@pytest.mark.parametrize("name", cpu.supported_isas())
def test_the_environment_forces_an_isa(name):
    child = python("from fastconv.backends import cpu; print(cpu.isa())", FASTCONV_ISA=name)
    assert child.stdout.strip() == name


@pytest.mark.parametrize("name", ["sse9", "AVX2"])
def test_an_impossible_isa_is_one_clear_line(name):
    child = python("import fastconv.cli as c, sys; sys.exit(c.main(['info']))", FASTCONV_ISA=name)
    assert child.returncode == 2
    assert (
        child.stderr.strip()
        == f"fastconv: FASTCONV_ISA: unknown ISA '{name}'; usable: {', '.join(cpu.supported_isas())}"
    )
    child = python("import fastconv as fc, numpy as np; fc.ops.relu(np.ones(3, np.float32))", FASTCONV_ISA=name)
    assert "fastconv.errors.DeviceError: FASTCONV_ISA" in child.stderr
    with pytest.raises(fc.DeviceError, match="unknown ISA"), cpu.force_isa(name):
        pass


def test_threads_follow_the_affinity_mask():
    if not hasattr(os, "sched_setaffinity"):
        pytest.skip("no affinity on this system")
    one = min(os.sched_getaffinity(0))
    child = python(f"import os; os.sched_setaffinity(0, {{{one}}}); import fastconv; print(fastconv.num_threads())")
    assert child.stdout.strip() == "1"
    assert 1 <= _core.available_cpus() <= len(os.sched_getaffinity(0))


def test_import_pulls_in_no_framework():
    """No GPU, no CuPy, no torch, and nothing that only some commands need."""
    child = python(
        "import sys, fastconv; print([m for m in ('cupy', 'torch', 'matplotlib', 'PIL', 'rich') if m in sys.modules])"
    )
    assert child.stdout.strip() == "[]"


def test_devices():
    assert fc.devices()[0] == "cpu"
    assert set(fc.devices()) <= {"cpu", "simt", "cuda"}
    with fc.device("cpu"):
        assert (fc.ops.relu(np.ones(3, np.float32)) == 1).all()


def test_workers_sleep_when_nothing_is_to_do(threads):
    """A pool that spins for ever would burn a core: idle CPU time stays far below wall time."""
    threads(2)
    code = (
        "import time, numpy as np, fastconv as fc; fc.set_num_threads(2); "
        "fc.ops.conv2d(np.ones((1, 8, 64, 64), np.float32), np.ones((64, 8, 3, 3), np.float32)); "
        "a = time.process_time(); time.sleep(0.5); print(time.process_time() - a)"
    )
    assert float(python(code).stdout) < 0.25

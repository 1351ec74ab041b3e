"""Every seeded bug is reported, in every order of threads and copies, with its kind and its line."""

from __future__ import annotations

import re
import subprocess
import sys
import threading

import numpy as np
import pytest

from fastconv.backends import simt
from fastconv.errors import KernelError

from .bugs import BUGS
from .running import PRELUDE, VARIANTS, launch, numbers

pytestmark = pytest.mark.skipif(simt.available() is not None, reason=str(simt.available()))


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_the_bug_is_reported(bug, tmp_path):
    if bug.kind == "misaligned" and "float4" in bug.body and "clang" in simt.compiler():
        pytest.skip("clang makes vector copies calls of memcpy, which takes any address")
    source = (PRELUDE + bug.body).splitlines()
    for order, copies in VARIANTS:
        x, y = numbers(), np.zeros(64, np.float32)
        launched = {"block": bug.block, "grid": bug.grid, "shared": bug.shared}
        with pytest.raises(KernelError) as caught:
            launch(tmp_path, bug.body, (x, y, np.int32(64)), **launched, order=order, copies=copies, seed=5)
        text = str(caught.value)
        assert caught.value.kind == bug.kind, text
        assert all(part in text for part in bug.also), text
        if bug.line:
            named = {int(line) for line in re.findall(r"kernel\.cu:(\d+)", text)}
            assert any(bug.line in source[line - 1] for line in named), text


def test_both_threads_and_both_lines_of_a_race_are_named(tmp_path):
    body = """__global__ void kernel(float* y) {
  FC_SHARED(float, s, [64]);
  s[threadIdx.x] = 0;
  __syncthreads();
  s[threadIdx.x] = 1;
  y[threadIdx.x] = s[(threadIdx.x + 1) % 64];
}"""
    with pytest.raises(KernelError) as caught:
        launch(tmp_path, body, (np.zeros(64, np.float32),), order="reverse")
    lines = str(caught.value).splitlines()
    assert "race in shared memory" in lines[0] and "4 bytes" in lines[0]
    assert "read by thread (62,0,0) of block (0,0,0)" in lines[1] and "kernel.cu:10" in lines[1]
    assert "after a write by thread (63,0,0) of block (0,0,0)" in lines[2] and "kernel.cu:9" in lines[2]


def test_a_kernel_that_does_not_compile_says_where(tmp_path):
    with pytest.raises(KernelError, match=r"kernel\.cu:5") as caught:
        launch(tmp_path, "__global__ void kernel() { nonsense(); }", ())
    assert caught.value.kind == "compile" and "nonsense" in str(caught.value)


def test_arguments_that_are_not_the_kernels(tmp_path):
    body = "__global__ void kernel(float* y, int n) {}"
    y = np.zeros(4, np.float32)
    with pytest.raises(ValueError, match="takes 2 arguments, got 1"):
        launch(tmp_path, body, (y,))
    with pytest.raises(ValueError, match="argument 1 has 4 bytes, got 8"):
        launch(tmp_path, body, (y, np.int64(4)))


def test_a_read_only_array_is_not_written(tmp_path):
    y = np.zeros(64, np.float32)
    y.flags.writeable = False
    with pytest.raises(KernelError, match="in the read-only array argument 0") as caught:
        launch(tmp_path, "__global__ void kernel(float* y) { y[threadIdx.x] = 1; }", (y,))
    assert caught.value.kind == "read-only"


def test_static_variables_are_counted_together(tmp_path):
    body = """__global__ void kernel(float* y) {
  FC_SHARED(float, a, [8000]);
  FC_SHARED(float, b, [8000]);
  a[threadIdx.x] = b[threadIdx.x] = 1;
  y[threadIdx.x] = a[threadIdx.x] + b[threadIdx.x];
}"""
    with pytest.raises(KernelError, match="shared variable b does not fit: static variables take 64000 of 49152"):
        launch(tmp_path, body, (np.zeros(64, np.float32),))


def test_a_name_that_nothing_defines_is_an_error_of_compiling(tmp_path):
    with pytest.raises(KernelError, match="nowhere") as caught:
        launch(tmp_path, "void nowhere();\n__global__ void kernel() { nowhere(); }", ())
    assert caught.value.kind == "compile"


def test_threads_of_a_block_may_wait_for_each_other_by_atomics(tmp_path):
    body = """__global__ void kernel(int* flag, int* y) {
  if (threadIdx.x < 32) while (atomicAdd(flag, 0) == 0) {}
  if (threadIdx.x == 32) atomicExch(flag, 1);
  y[threadIdx.x] = 1;
}"""
    for order in simt.ORDERS:
        y = np.zeros(64, np.int32)
        launch(tmp_path, body, (np.zeros(1, np.int32), y), order=order, seed=3)
        assert y.all()


def test_an_edit_of_what_a_kernel_includes_is_seen(tmp_path):
    header = tmp_path / "value.h"
    for value in (1, 2):
        header.write_text(f"constexpr float kValue = {value};\n")
        y = np.zeros(64, np.float32)
        launch(tmp_path, '#include "value.h"\n__global__ void kernel(float* y) { y[threadIdx.x] = kValue; }', (y,))
        assert (y == value).all()


def test_options_of_one_thread_are_not_those_of_another():
    seen = []
    with simt.options(order="skew", seed=4):
        thread = threading.Thread(target=lambda: seen.append(simt.current_options()))
        thread.start()
        thread.join()
        assert simt.current_options().order == "skew"
    assert seen[0].order == "forward"


INTERRUPTED = """
import os, signal, sys, threading
import numpy as np
from fastconv.backends import simt
from fastconv.backends.gpu import KernelSource

signal.signal(signal.SIGINT, signal.default_int_handler)  # a test run in the background has it ignored
kernel = KernelSource(sys.argv[1], sys.argv[2])
y = np.ones(32, np.float32)
simt.launch(kernel, (1, 1, 1), (32, 1, 1), (y,))  # compiled, and ends
threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
try:
    simt.launch(kernel, (1 << 30, 1, 1), (32, 1, 1), (np.zeros(32, np.float32),))
except KeyboardInterrupt:
    simt.launch(kernel, (1, 1, 1), (32, 1, 1), (y,))
    print("interrupted")
"""


@pytest.mark.parametrize("kernel", ["grid", "spin"])
def test_a_launch_without_end_can_be_interrupted(kernel, tmp_path):
    path = tmp_path / "kernel.cu"
    path.write_text(
        '#include "cuda/platform.cuh"\n'
        "__global__ void grid(float* y) { if (blockIdx.x == 0) y[threadIdx.x] = 1; }\n"
        "__global__ void spin(volatile float* y) { while (y[0] == 0) {} }\n"
    )
    command = [sys.executable, "-c", INTERRUPTED, str(path), kernel]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.stdout.strip() == "interrupted", done.stderr

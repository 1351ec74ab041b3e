"""Every seeded bug is reported, in every order of threads and copies, with its kind and its line."""

from __future__ import annotations

import re

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

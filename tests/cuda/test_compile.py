"""Every kernel compiles for the GPUs that matter, without a GPU here: no spills, no local memory, no serialised wgmma.

Kernels of one file go through NVRTC together. What the compiler says and what the machine code holds are both asked.
"""

from __future__ import annotations

import itertools
import re
import subprocess

import pytest

from fastconv.backends import cubins, gpu
from fastconv.backends.gpu.source import KernelSource

ARCHS = ("sm_80", "sm_90a")
TOGETHER = 12  # kernels of one file that a test compiles


def groups():
    kernels = sorted(gpu.catalog(), key=lambda kernel: (kernel.file, kernel.archs))
    for (file, archs), of_file in itertools.groupby(kernels, key=lambda kernel: (kernel.file, kernel.archs)):
        members = list(of_file)
        for begin in range(0, len(members), TOGETHER):
            for arch in archs or ARCHS:
                yield pytest.param(members[begin : begin + TOGETHER], arch, id=f"{file}-{begin // TOGETHER}-{arch}")


def run(tool, option, file):
    return subprocess.run([tool, option, file], check=True, capture_output=True, text=True).stdout


def complaints(kernels, arch, cuobjdump, folder):
    """What is wrong with the compiled kernels, one line each."""
    compiled = cubins.compile_together(kernels, arch)
    found = [line for line in compiled.log.splitlines() if re.search(r"C75\d\d", line)]
    image = folder / "kernels.cubin"
    image.write_bytes(compiled.cubin)
    usage = {}
    for name, numbers in re.findall(r"Function (\S+):\n\s*(.*)", run(cuobjdump, "-res-usage", image)):
        usage[name] = {key: int(value) for key, value in re.findall(r"(\w+):(\d+)", numbers)}
    spills = dict(re.findall(r"properties for (\S+)\n.*?(\d+ bytes spill stores, \d+ bytes spill loads)", compiled.log))
    code = {}
    for part in run(cuobjdump, "-sass", image).split("Function : ")[1:]:
        name, text = part.split("\n", 1)
        code[name.strip()] = set(
            re.findall(r"^\s*/\*[0-9a-f]+\*/\s+(?:@!?U?P\w+ )?([A-Z][A-Z0-9]*)", text, re.MULTILINE)
        )
    for kernel in kernels:
        name = compiled.lowered[kernel.expression]
        used, instructions = usage[name], code[name]
        if spills[name] != "0 bytes spill stores, 0 bytes spill loads":
            found.append(f"{kernel.expression}: {spills[name]}")
        if used["STACK"] or used["LOCAL"] or instructions & {"LDL", "STL"}:
            found.append(f"{kernel.expression}: stack {used['STACK']}, local memory {used['LOCAL']} bytes")
        if used["REG"] > kernel.max_registers:
            found.append(f"{kernel.expression}: {used['REG']} registers, expected at most {kernel.max_registers}")
        if missing := set(kernel.sass) - instructions:
            found.append(f"{kernel.expression}: no {', '.join(sorted(missing))} among its instructions")
    return found


@pytest.mark.parametrize(("kernels", "arch"), list(groups()))
def test_kernels(kernels, arch, nvrtc, cuobjdump, tmp_path):
    found = complaints(kernels, arch, cuobjdump, tmp_path)
    assert not found, "\n".join(found)


PROBES = """
#include "integers.h"
__global__ void good(float* x) { x[threadIdx.x] *= 2; }
__global__ void dynamic_array(float* x, int i) {
  float local[64] = {};
  for (int j = 0; j < 64; ++j) local[(j * i) & 63] += x[j];
  for (int j = 0; j < 64; ++j) x[j] = local[(j ^ i) & 63];
}
__global__ void __launch_bounds__(1024, 2) spilling(float* x) {
  float r[96];
#pragma unroll
  for (int j = 0; j < 96; ++j) r[j] = x[j * 1024 + threadIdx.x];
  __syncthreads();
#pragma unroll
  for (int j = 0; j < 96; ++j) x[j * 1024 + threadIdx.x * 3] = r[j] * r[(j * 7 + 5) % 96];
}
"""


@pytest.mark.parametrize(
    ("kernel", "expected"),
    [
        (KernelSource("probes.cuh", "good", sass=("LDG", "STG", "FADD"), max_registers=64), None),
        (KernelSource("probes.cuh", "good", sass=("HMMA",)), "good: no HMMA among its instructions"),
        (KernelSource("probes.cuh", "good", max_registers=4), r"good: \d+ registers, expected at most 4"),
        (KernelSource("probes.cuh", "dynamic_array"), r"dynamic_array: stack 256, local memory \d+ bytes"),
        (KernelSource("probes.cuh", "spilling"), r"spilling: [1-9]\d* bytes spill stores, [1-9]\d* bytes spill loads"),
    ],
)
def test_the_checks_see_what_they_look_for(kernel, expected, nvrtc, cuobjdump, tmp_path, monkeypatch):
    monkeypatch.setattr(cubins, "translation_unit", lambda files: PROBES)
    found = complaints([kernel], "sm_90a", cuobjdump, tmp_path)
    assert re.search(expected, "\n".join(found)) if expected else found == []


def test_serialised_wgmma_is_in_the_log(nvrtc):
    """ptxas says C7510..C7519 as a mere remark: here an accumulator is read between commit and wait."""
    source = """
extern "C" __global__ void serialised(float* x, unsigned long long a, unsigned long long b) {
  float d[4] = {x[0], x[1], x[2], x[3]};
  asm volatile("wgmma.fence.sync.aligned;");
  for (int i = 0; i < x[5]; ++i) {
    asm volatile("{ .reg .pred p; setp.ne.b32 p, 1, 0;"
      "wgmma.mma_async.sync.aligned.m64n8k16.f32.f16.f16 {%0, %1, %2, %3}, %4, %5, p, 1, 1, 0, 0; }"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]) : "l"(a + i), "l"(b));
    asm volatile("wgmma.commit_group.sync.aligned;");
    d[0] += x[4];
  }
  asm volatile("wgmma.wait_group.sync.aligned 0;");
  x[threadIdx.x] = d[0] + d[1] + d[2] + d[3];
}
"""
    assert re.search(r"C75\d\d", nvrtc.compile_cubin(source, [], "sm_90a").log)

"""Running a piece of CUDA C++ in the executor, as a kernel writer would."""

from __future__ import annotations

import numpy as np

from fastconv.backends import simt
from fastconv.backends.gpu import KernelSource

# Every order with every way of copying: a right kernel passes in all, a wrong one is reported in all.
VARIANTS = [(order, copies) for order in simt.ORDERS for copies in simt.COPIES]

PRELUDE = """
#include "cuda/ptx/matrix.cuh"
#include "cuda/ptx/barrier.cuh"
using namespace fastconv;
"""


def launch(folder, body, args, *, block=64, grid=1, shared=0, expression="kernel", **options):
    """Writes the source to a file, and runs its `kernel`."""
    path = folder / "kernel.cu"
    path.write_text(PRELUDE + body)
    with simt.options(**options):
        simt.launch(KernelSource(str(path), expression), (grid, 1, 1), (block, 1, 1), args, shared)


def numbers(count=64, dtype=np.float32):
    """0, 1, 2, ..."""
    return np.arange(count).astype(dtype)

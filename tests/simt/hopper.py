"""Running kernels of sm_90's instructions: a warp-specialised matrix product to be right, or wrong in one way."""

from __future__ import annotations

import numpy as np

from fastconv import _core
from fastconv.backends import simt
from fastconv.backends.cpu import DTYPE_CODE
from fastconv.backends.gpu import KernelSource

PRELUDE = """
#include "cuda/ptx/bulk_copy.cuh"
#include "cuda/ptx/cluster.cuh"
#include "cuda/ptx/matrix.cuh"
#include "cuda/ptx/barrier.cuh"
#include "cuda/ptx/warpgroup.cuh"
using namespace fastconv;
"""


def rows_map(array, box_rows, box_columns, swizzle=128):
    """A tiled map over a 2-D array."""
    rows, columns = array.shape
    described = _core.tensor_map_rows(
        DTYPE_CODE[array.dtype.name], rows, columns, array.strides[0] // array.itemsize, box_rows, box_columns, swizzle
    )
    return simt.encode(described, array)


def launch(folder, body, args, *, block=128, grid=1, cluster=1, shared=0, expression="kernel", **options):
    """Writes the source to a file, and runs its `kernel`."""
    path = folder / "kernel.cu"
    path.write_text(PRELUDE + body)
    with simt.options(**options):
        kernel = KernelSource(str(path), expression)
        simt.launch(kernel, (grid, 1, 1), (block, 1, 1), args, shared, cluster=(cluster, 1, 1))


def integers(shape, seed=0, dtype=np.float16):
    """Small integers: their products and sums are exact in float32."""
    return np.random.default_rng(seed).integers(-3, 4, shape).astype(dtype)

"""Normalisation, softmax and cross-entropy over rows of contiguous channels."""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from ...errors import AlgorithmError
from ..registry import Kernel, register
from .device import CPP_TYPE, Device, aligned, blocks, vector_width
from .source import KernelSource

_BATCH_NORM, _SOFTMAX, _RESPONSE = "norm/batch_norm.cuh", "norm/softmax.cuh", "norm/local_response_norm.cuh"
_COMPUTE = {"float32": "float", "float16": "float", "bfloat16": "float", "float64": "double"}
_THREADS = 256
_BATCH = 8  # kNormBatch
_SHARED_LIMIT = 48 * 1024  # what every GPU has without asking


def _scale_shift(dtype: str, width: int) -> KernelSource:
    return KernelSource(_BATCH_NORM, f"fastconv::scale_shift<{CPP_TYPE[dtype]}, {width}>")


def _normalize(dtype: str, width: int) -> KernelSource:
    return KernelSource(_BATCH_NORM, f"fastconv::batch_normalize<{CPP_TYPE[dtype]}, {width}>")


def _statistics(dtype: str, width: int) -> KernelSource:
    return KernelSource(_BATCH_NORM, f"fastconv::batch_statistics<{CPP_TYPE[dtype]}, {width}>")


def _sums(dtype: str, width: int) -> KernelSource:
    return KernelSource(_BATCH_NORM, f"fastconv::batch_norm_sums<{CPP_TYPE[dtype]}, {width}>")


def _batch_norm_gradient(dtype: str, width: int) -> KernelSource:
    return KernelSource(_BATCH_NORM, f"fastconv::batch_norm_gradient<{CPP_TYPE[dtype]}, {width}>")


def _merge_statistics(compute: str) -> KernelSource:
    return KernelSource(_BATCH_NORM, f"fastconv::merge_batch_statistics<{compute}>")


def _merge_sums(compute: str) -> KernelSource:
    return KernelSource(_BATCH_NORM, f"fastconv::merge_batch_norm_sums<{compute}>")


def _local_response_norm(dtype: str) -> KernelSource:
    return KernelSource(_RESPONSE, f"fastconv::local_response_norm<{CPP_TYPE[dtype]}>")


def _local_response_norm_gradient(dtype: str) -> KernelSource:
    return KernelSource(_RESPONSE, f"fastconv::local_response_norm_gradient<{CPP_TYPE[dtype]}>")


def _softmax(dtype: str, threads: int, log: bool) -> KernelSource:
    return KernelSource(_SOFTMAX, f"fastconv::softmax_rows<{CPP_TYPE[dtype]}, {threads}, {str(log).lower()}>")


def _softmax_gradient(dtype: str, threads: int, log: bool) -> KernelSource:
    return KernelSource(_SOFTMAX, f"fastconv::softmax_rows_gradient<{CPP_TYPE[dtype]}, {threads}, {str(log).lower()}>")


def _cross_entropy(dtype: str, threads: int, reduced: bool) -> KernelSource:
    loss = _COMPUTE[dtype] if reduced else CPP_TYPE[dtype]
    return KernelSource(_SOFTMAX, f"fastconv::cross_entropy_rows<{CPP_TYPE[dtype]}, {loss}, {threads}>")


def _cross_entropy_gradient(dtype: str, threads: int, reduced: bool) -> KernelSource:
    arguments = f"{CPP_TYPE[dtype]}, {threads}, {str(reduced).lower()}"
    return KernelSource(_SOFTMAX, f"fastconv::cross_entropy_gradient<{arguments}>")


def _reduce_losses(dtype: str, mean: bool) -> KernelSource:
    return KernelSource(_SOFTMAX, f"fastconv::reduce_losses<{CPP_TYPE[dtype]}, {str(mean).lower()}>")


def lanes_for(packs: int, most: int) -> int:
    """Threads side by side along the channels: a power of two, as many as there is work for.

    >>> [lanes_for(packs, 32) for packs in (1, 3, 8, 100)]
    [1, 4, 8, 32]
    """
    return min(1 << max(packs - 1, 0).bit_length(), most)


def chunk_rows_for(rows: int, slabs: int, lanes: int) -> int:
    """Rows that a block of a reduction takes: a function of the shape alone, so that the order of additions is.

    About 1024 blocks, all that a large GPU runs at once, in at most 256 chunks, each at least one batch a thread.
    """
    chunks = min(max(1024 // max(slabs, 1), 1), 256)
    return max(blocks(rows, chunks), _THREADS // lanes * _BATCH)


def row_threads(n: int) -> int:
    """Threads of a softmax row: a warp's to 1024 elements, beyond that a block's. Looks at nothing but the row."""
    return 32 if n <= 1024 else _THREADS


def _rows_grid(device: Device, rows: int, each: int) -> tuple[int, int, int]:
    """Blocks that walk over all rows, `each` at a time: a GPU's full, 8 blocks of 256 threads a multiprocessor."""
    return min(blocks(rows, each), 8 * device.processors()), 1, 1


def _compute_type(dtype: str) -> Any:
    return np.float64 if dtype == "float64" else np.float32


def _batch_norm(device: Device, problem: Any, x: Any, scale: Any, shift: Any, y: Any) -> None:
    rows, channels = x.shape
    if x.size == 0:
        return
    width = vector_width(x.dtype.itemsize, channels, x, y)
    lanes = lanes_for(channels // width, _THREADS)
    device.launch(
        _scale_shift(problem.dtype, width),
        _rows_grid(device, rows, _THREADS // lanes),
        (_THREADS, 1, 1),
        (x, scale, shift, y, np.int64(rows), np.int64(channels), np.int32(lanes)),
    )


def _batch_norm_train(
    device: Device,
    problem: Any,
    x: Any,
    weight: Any,
    bias: Any,
    eps: float,
    y: Any,
    mean: Any,
    inverse_std: Any,
) -> None:
    """y, and the batch's mean and 1 / sqrt(variance + eps), of rows x; weight and bias may be None."""
    rows, channels = x.shape
    if x.size == 0:
        return
    dtype, kind = problem.dtype, _compute_type(problem.dtype)
    x = aligned(device, x)
    width = vector_width(x.dtype.itemsize, channels, y)
    lanes = lanes_for(channels // width, 32)
    slabs = blocks(channels, lanes * width)
    chunk_rows = chunk_rows_for(rows, slabs, lanes)
    chunks = blocks(rows, chunk_rows)
    partial_mean, partial_squares = (device.empty((chunks, channels), kind) for _ in range(2))
    sizes = np.int64(rows), np.int64(channels)
    device.launch(
        _statistics(dtype, width),
        (slabs, chunks, 1),
        (_THREADS, 1, 1),
        (x, partial_mean, partial_squares, *sizes, np.int64(chunk_rows), np.int32(lanes)),
    )
    device.launch(
        _merge_statistics(_COMPUTE[dtype]),
        (blocks(channels, 32), 1, 1),
        (_THREADS, 1, 1),
        (partial_mean, partial_squares, mean, inverse_std, *sizes, np.int64(chunk_rows), kind(eps)),
    )
    lanes = lanes_for(channels // width, _THREADS)
    device.launch(
        _normalize(dtype, width),
        _rows_grid(device, rows, _THREADS // lanes),
        (_THREADS, 1, 1),
        (x, mean, inverse_std, weight, bias, y, *sizes, np.int32(lanes)),
    )


def _batch_norm_grad(
    device: Device,
    problem: Any,
    grad: Any,
    x: Any,
    weight: Any,
    mean: Any,
    inverse_std: Any,
    dx: Any,
    dweight: Any,
    dbias: Any,
) -> None:
    """dx, dweight and dbias of batch_norm_train; weight may be None."""
    rows, channels = x.shape
    if x.size == 0:
        return
    dtype, kind = problem.dtype, _compute_type(problem.dtype)
    grad, x = aligned(device, grad), aligned(device, x)
    width = vector_width(x.dtype.itemsize, channels, dx)
    lanes = lanes_for(channels // width, 32)
    slabs = blocks(channels, lanes * width)
    chunk_rows = chunk_rows_for(rows, slabs, lanes)
    chunks = blocks(rows, chunk_rows)
    partial_dbias, partial_dot = (device.empty((chunks, channels), kind) for _ in range(2))
    sizes = np.int64(rows), np.int64(channels)
    device.launch(
        _sums(dtype, width),
        (slabs, chunks, 1),
        (_THREADS, 1, 1),
        (grad, x, mean, partial_dbias, partial_dot, *sizes, np.int64(chunk_rows), np.int32(lanes)),
    )
    device.launch(
        _merge_sums(_COMPUTE[dtype]),
        (blocks(channels, 32), 1, 1),
        (_THREADS, 1, 1),
        (partial_dbias, partial_dot, inverse_std, dweight, dbias, np.int64(chunks), np.int64(channels)),
    )
    lanes = lanes_for(channels // width, _THREADS)
    device.launch(
        _batch_norm_gradient(dtype, width),
        _rows_grid(device, rows, _THREADS // lanes),
        (_THREADS, 1, 1),
        (grad, x, mean, inverse_std, weight, dweight, dbias, dx, *sizes, np.int32(lanes)),
    )


def _response_shape(x: Any, size: int, alpha: float, beta: float, k: float) -> tuple[bytes, int, int, int]:
    """ResponseShape, its lanes, and how far the window reaches before and after a channel."""
    rows, channels = x.shape
    # A window's ends are cut at the first and last channel, so that one of twice the channels is as good as any larger.
    before, after = min(size // 2, channels), min((size - 1) // 2, channels)
    lanes = lanes_for(channels, _THREADS)
    shape = struct.pack("<4q3di4x", rows, channels, before, after, alpha / size, beta, k, lanes)
    return shape, lanes, before, after


def _response_norm(
    device: Device, problem: Any, x: Any, y: Any, size: int, alpha: float, beta: float, k: float
) -> None:
    if x.size == 0:
        return
    shape, lanes, _, _ = _response_shape(x, size, alpha, beta, k)
    grid = _rows_grid(device, x.shape[0], _THREADS // lanes)
    device.launch(_local_response_norm(problem.dtype), grid, (_THREADS, 1, 1), (x, y, shape))


def _response_norm_grad(
    device: Device, problem: Any, grad: Any, x: Any, dx: Any, size: int, alpha: float, beta: float, k: float
) -> None:
    if x.size == 0:
        return
    rows, channels = x.shape
    shape, lanes, before, after = _response_shape(x, size, alpha, beta, k)
    each = _THREADS // lanes
    shared = each * (lanes + before + after) * np.dtype(_compute_type(problem.dtype)).itemsize
    if shared > _SHARED_LIMIT:
        raise AlgorithmError(
            f"size: the gradient keeps a window in {_SHARED_LIMIT} bytes of shared memory; got {size}, which needs {shared}"
        )
    grid = (blocks(rows, each) * blocks(channels, lanes), 1, 1)
    device.launch(
        _local_response_norm_gradient(problem.dtype), grid, (_THREADS, 1, 1), (grad, x, dx, shape), shared_bytes=shared
    )


def _softmax_grid(rows: int, threads: int) -> tuple[int, int, int]:
    return blocks(rows, _THREADS // threads), 1, 1


def _softmax_run(log: bool, device: Device, problem: Any, x: Any, y: Any) -> None:
    if x.size == 0:
        return
    rows, n = x.shape
    threads = row_threads(n)
    kernel = _softmax(problem.dtype, threads, log)
    device.launch(kernel, _softmax_grid(rows, threads), (_THREADS, 1, 1), (x, y, np.int64(rows), np.int64(n)))


def _softmax_grad_run(log: bool, device: Device, problem: Any, y: Any, grad: Any, dx: Any) -> None:
    if y.size == 0:
        return
    rows, n = y.shape
    threads = row_threads(n)
    kernel = _softmax_gradient(problem.dtype, threads, log)
    device.launch(kernel, _softmax_grid(rows, threads), (_THREADS, 1, 1), (y, grad, dx, np.int64(rows), np.int64(n)))


def _cross_entropy_run(
    device: Device,
    problem: Any,
    x: Any,
    target: Any,
    weight: Any,
    ignore_index: int,
    smoothing: float,
    reduction: str,
    y: Any,
) -> None:
    """y: a loss a row for the reduction "none", else one number, () shaped."""
    rows, n = x.shape
    kind, threads = _compute_type(problem.dtype), row_threads(n)
    reduced = reduction != "none"
    losses = device.empty((rows,), kind) if reduced else y
    sizes = np.int64(rows), np.int64(n), np.int64(ignore_index)
    if rows:
        device.launch(
            _cross_entropy(problem.dtype, threads, reduced),
            _softmax_grid(rows, threads),
            (_THREADS, 1, 1),
            (x, target, weight, losses, *sizes, kind(smoothing)),
        )
    if reduced:
        kernel = _reduce_losses(problem.dtype, reduction == "mean")
        device.launch(kernel, (1, 1, 1), (_THREADS, 1, 1), (losses, target, weight, y, None, *sizes))


def _cross_entropy_grad_run(
    device: Device,
    problem: Any,
    grad: Any,
    x: Any,
    target: Any,
    weight: Any,
    ignore_index: int,
    smoothing: float,
    reduction: str,
    dx: Any,
) -> None:
    """grad is of the shape of the forward row's y."""
    rows, n = x.shape
    if x.size == 0:
        return
    kind, threads = _compute_type(problem.dtype), row_threads(n)
    sizes = np.int64(rows), np.int64(n), np.int64(ignore_index)
    counted = None
    if reduction == "mean":
        counted = device.empty((1,), kind)
        kernel = _reduce_losses(problem.dtype, True)
        device.launch(kernel, (1, 1, 1), (_THREADS, 1, 1), (None, target, weight, None, counted, *sizes))
    device.launch(
        _cross_entropy_gradient(problem.dtype, threads, reduction != "none"),
        _softmax_grid(rows, threads),
        (_THREADS, 1, 1),
        (grad, x, target, weight, counted, dx, *sizes, kind(smoothing)),
    )


_ROWS: tuple[tuple[str, str, Callable[..., None]], ...] = (
    ("batch_norm", "scale_shift", _batch_norm),
    ("batch_norm_train", "two_stages", _batch_norm_train),
    ("batch_norm_grad", "two_stages", _batch_norm_grad),
    ("local_response_norm", "channels", _response_norm),
    ("local_response_norm_grad", "channels", _response_norm_grad),
    ("softmax", "rows", partial(_softmax_run, False)),
    ("log_softmax", "rows", partial(_softmax_run, True)),
    ("softmax_grad", "rows", partial(_softmax_grad_run, False)),
    ("log_softmax_grad", "rows", partial(_softmax_grad_run, True)),
    ("cross_entropy", "rows", _cross_entropy_run),
    ("cross_entropy_grad", "rows", _cross_entropy_grad_run),
)


def register_on(device: Device) -> None:
    """Rows for one device."""
    for op, algo, run in _ROWS:
        register(Kernel(op, device.name, algo, partial(run, device)))


def instances() -> list[KernelSource]:
    """Every kernel of this family."""
    kernels = [make(compute) for make in (_merge_statistics, _merge_sums) for compute in ("float", "double")]
    for dtype in CPP_TYPE:
        widths = (1, 16 // np.dtype("float16" if dtype == "bfloat16" else dtype).itemsize)
        for make in (_scale_shift, _normalize, _statistics, _sums, _batch_norm_gradient):
            kernels += [make(dtype, width) for width in widths]
        kernels += [_local_response_norm(dtype), _local_response_norm_gradient(dtype)]
        for flag in (False, True):
            for by_row in (_softmax, _softmax_gradient, _cross_entropy, _cross_entropy_gradient):
                kernels += [by_row(dtype, threads, flag) for threads in (32, _THREADS)]
            kernels.append(_reduce_losses(dtype, flag))
    return list(dict.fromkeys(kernels))  # where a loss's type is the compute type, two of cross-entropy's are one

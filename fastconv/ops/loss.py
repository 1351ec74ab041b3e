"""Cross-entropy from logits, fused with log-softmax, and its gradient."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..backends import cuda
from ..backends.array_memory import is_cupy
from ..errors import AlgorithmError, DTypeError, ShapeError
from ._arrays import (
    Array,
    as_array,
    dense,
    dtype_name,
    empty,
    find_kernel,
    real,
    require_alike,
    require_same_device,
    rows_of,
)
from .activation import ArrayProblem

REDUCTIONS = ("mean", "sum", "none")


def cross_entropy(
    logits: Any, target: Any, ignore_index: int = -100, label_smoothing: float = 0.0, reduction: str = "mean"
) -> Array:
    """-log softmax(logits)[target], the loss of a classifier, in one pass over the logits.

    Args:
        logits: (N, C) or (C,), or (N, C, d1, ...) with a target per position.
        target: classes, integers: the shape of logits without C.
        ignore_index: targets of this value count for nothing.
        label_smoothing: s in [0, 1]: the target is s / C of every class and 1 - s of its own.
        reduction: "mean" over the targets that are not ignored (NaN if there are none), "sum", or "none".

    Returns:
        () shaped, or for "none" the shape of target, in the dtype of logits. Arguments and meanings are PyTorch's. A
        target that is no class raises ShapeError on the CPU and under the executor; on a GPU its loss is NaN.

    >>> import numpy as np, fastconv as fc
    >>> float(fc.ops.cross_entropy(np.zeros((2, 4), np.float32), np.array([0, 3]))).__round__(4)
    1.3863
    """
    rows, classes = _rows_and_targets(logits, target, ignore_index)
    smoothing = _smoothing(label_smoothing)
    shape = _result_shape(classes.shape, reduction)
    y = empty(rows, shape)
    problem = ArrayProblem(rows.shape, dtype_name(rows.dtype))
    find_kernel("cross_entropy", rows, problem).run(
        problem, rows, classes.reshape(-1), int(ignore_index), smoothing, reduction, y
    )
    return y


def cross_entropy_grad(
    grad: Any,
    logits: Any,
    target: Any,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
) -> Array:
    """The gradient of `cross_entropy` to the logits, given that of its result (of the result's shape and dtype)."""
    rows, classes = _rows_and_targets(logits, target, ignore_index)
    smoothing = _smoothing(label_smoothing)
    shape = _result_shape(classes.shape, reduction)
    given = as_array(np.asarray(grad) if isinstance(grad, np.generic) else grad, "grad")  # 0-D arithmetic gives scalars
    require_alike(rows, given, "grad")
    if given.shape != shape:
        raise ShapeError(f"grad: expected the shape of the loss, {shape}, got {given.shape}")
    dx = empty(rows, rows.shape)
    problem = ArrayProblem(rows.shape, dtype_name(rows.dtype))
    find_kernel("cross_entropy_grad", rows, problem).run(
        problem, dense(given), rows, classes.reshape(-1), int(ignore_index), smoothing, reduction, dx
    )
    last: Array = dx.reshape(*classes.shape, rows.shape[1])
    result: Array = last if last.ndim == 1 else last.transpose(0, last.ndim - 1, *range(1, last.ndim - 1))
    return result


def _rows_and_targets(logits: Any, target: Any, ignore_index: Any) -> tuple[Array, Array]:
    """(rows, classes) logits and dense int64 targets of the shape that the losses have."""
    x = as_array(logits, "logits")
    if x.ndim == 0 or x.shape[min(1, x.ndim - 1)] == 0:
        raise ShapeError(f"logits: expected shape (N, C), (C,) or (N, C, d1, ...) with at least a class, got {x.shape}")
    if isinstance(ignore_index, bool) or not isinstance(ignore_index, (int, np.integer)):
        raise ShapeError(f"ignore_index: expected an int, got {ignore_index!r}")
    on_gpu = not isinstance(target, np.ndarray) and getattr(target, "__dlpack_device__", lambda: (1, 0))()[0] == 2
    classes = target if is_cupy(target) else cuda.from_dlpack(target) if on_gpu else np.asarray(target)
    if classes.dtype.kind not in "iu":
        raise DTypeError(f"target: expected integers, got {classes.dtype.name}")
    require_same_device(x, classes, "target")
    shape = x.shape[:1] + x.shape[2:] if x.ndim > 1 else ()
    if classes.shape != shape:
        raise ShapeError(f"target: for logits {x.shape} expected shape {shape}, got {classes.shape}")
    count = x.shape[min(1, x.ndim - 1)]
    if not is_cupy(classes):
        wrong = classes[(classes != ignore_index) & ((classes < 0) | (classes >= count))]
        if wrong.size:
            raise ShapeError(f"target: expected classes 0 to {count - 1} or {ignore_index}, got {wrong.flat[0]}")
    last = x.transpose(0, *range(2, x.ndim), 1) if x.ndim > 1 else x[np.newaxis]
    rows = rows_of(dense(last))
    assert rows.shape[0] == math.prod(shape)
    int64 = classes.astype(np.int64, copy=False)
    return rows, int64 if int64.flags.c_contiguous else int64.copy()


def _smoothing(value: Any) -> float:
    smoothing = real(value, "label_smoothing")
    if not 0.0 <= smoothing <= 1.0:
        raise ShapeError(f"label_smoothing: expected a number in [0, 1], got {value!r}")
    return smoothing


def _result_shape(shape: tuple[int, ...], reduction: str) -> tuple[int, ...]:
    if reduction not in REDUCTIONS:
        raise AlgorithmError(f"reduction: expected one of {', '.join(REDUCTIONS)}, got {reduction!r}")
    return shape if reduction == "none" else ()

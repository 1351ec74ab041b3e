"""Losses and their gradients: cross-entropy from logits, fused with log-softmax, and the losses an element."""

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
    channel_vector,
    dense,
    dtype_name,
    empty,
    find_kernel,
    real,
    require_alike,
    require_same_device,
    rows_of,
)
from .activation import ArrayProblem, logical_order, memory_order

REDUCTIONS = ("mean", "sum", "none")


def cross_entropy(
    logits: Any,
    target: Any,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
    weight: Any = None,
) -> Array:
    """-log softmax(logits)[target], the loss of a classifier, in one pass over the logits.

    Args:
        logits: (N, C) or (C,), or (N, C, d1, ...) with a target per position.
        target: classes, integers: the shape of logits without C.
        ignore_index: targets of this value count for nothing.
        label_smoothing: s in [0, 1]: the target is s / C of every class and 1 - s of its own.
        reduction: "mean" over the targets that are not ignored (NaN if there are none), "sum", or "none".
        weight: (C,), a number a class, of the dtype of logits or float32: a target's term counts so many times, and the
            terms of smoothing each by its class. The mean divides by the sum of the targets' own.

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
    weights = channel_vector(weight, rows.shape[1], rows, "weight")
    find_kernel("cross_entropy", rows, problem).run(
        problem, rows, classes.reshape(-1), weights, int(ignore_index), smoothing, reduction, y
    )
    return y


def cross_entropy_grad(
    grad: Any,
    logits: Any,
    target: Any,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
    weight: Any = None,
) -> Array:
    """The gradient of `cross_entropy` to the logits, given that of its result (of the result's shape and dtype)."""
    rows, classes = _rows_and_targets(logits, target, ignore_index)
    smoothing = _smoothing(label_smoothing)
    shape = _result_shape(classes.shape, reduction)
    given = _loss_gradient(grad, rows, shape)
    weights = channel_vector(weight, rows.shape[1], rows, "weight")
    dx = empty(rows, rows.shape)
    problem = ArrayProblem(rows.shape, dtype_name(rows.dtype))
    find_kernel("cross_entropy_grad", rows, problem).run(
        problem, dense(given), rows, classes.reshape(-1), weights, int(ignore_index), smoothing, reduction, dx
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


def _loss_gradient(grad: Any, x: Array, shape: tuple[int, ...]) -> Array:
    """The gradient of a loss of this shape."""
    given = as_array(np.asarray(grad) if isinstance(grad, np.generic) else grad, "grad")  # 0-D arithmetic gives scalars
    require_alike(x, given, "grad")
    if given.shape != shape:
        raise ShapeError(f"grad: expected the shape of the loss, {shape}, got {given.shape}")
    return given


def mse_loss(x: Any, target: Any, reduction: str = "mean") -> Array:
    """(x - target)^2, the squared error.

    Args:
        x, target: of one shape and dtype, any shape.
        reduction: "mean" over all elements (NaN where there are none), "sum" or "none".

    Returns:
        () shaped, or for "none" the shape of x, in its dtype: torch.nn.functional.mse_loss's. 16-bit types are computed in
        float32; sums are taken in parts of 2048 elements and added in their order.

    >>> import numpy as np, fastconv as fc
    >>> float(fc.ops.mse_loss(np.float32([1, 2]), np.float32([0, 4])))
    2.5
    """
    return _loss("mse_loss", x, target, None, None, reduction)


def mse_loss_grad(grad: Any, x: Any, target: Any, reduction: str = "mean") -> Array:
    """The gradient of `mse_loss` to x, given that of its result: 2 (x - target) grad, over the count for a mean."""
    return _loss_grad("mse_loss", grad, x, target, None, None, reduction)


def binary_cross_entropy(x: Any, target: Any, weight: Any = None, reduction: str = "mean") -> Array:
    """-weight (target log x + (1 - target) log(1 - x)) for probabilities x; both logarithms are at least -100.

    Args:
        x, target: of one shape and dtype. An x outside [0, 1] makes the loss NaN.
        weight: of a shape that broadcasts to that of x.
        reduction: as in `mse_loss`; a mean divides by the count, whatever the weights.

    Returns:
        As `mse_loss` does; torch.nn.functional.binary_cross_entropy's numbers.
    """
    return _loss("binary_cross_entropy", x, target, weight, None, reduction)


def binary_cross_entropy_grad(grad: Any, x: Any, target: Any, weight: Any = None, reduction: str = "mean") -> Array:
    """The gradient of `binary_cross_entropy` to x: weight (x - target) / max(x (1 - x), 1e-12) grad, as PyTorch's."""
    return _loss_grad("binary_cross_entropy", grad, x, target, weight, None, reduction)


def binary_cross_entropy_with_logits(
    x: Any, target: Any, weight: Any = None, reduction: str = "mean", pos_weight: Any = None
) -> Array:
    """`binary_cross_entropy` of sigmoid(x), without its overflows and cancellations.

    weight ((1 - target) x + (1 + (pos_weight - 1) target) log(1 + e^-x)): pos_weight multiplies the term of the target.

    Args:
        x, target: of one shape and dtype.
        weight, pos_weight: of shapes that broadcast to that of x; (C,) for (N, C) is a number a class.
        reduction: as in `mse_loss`.

    Returns:
        As `mse_loss` does; torch.nn.functional.binary_cross_entropy_with_logits's numbers.

    >>> import numpy as np, fastconv as fc
    >>> float(fc.ops.binary_cross_entropy_with_logits(np.float32([0, 90]), np.float32([1, 1]))).__round__(4)
    0.3466
    """
    return _loss("binary_cross_entropy_with_logits", x, target, weight, pos_weight, reduction)


def binary_cross_entropy_with_logits_grad(
    grad: Any, x: Any, target: Any, weight: Any = None, reduction: str = "mean", pos_weight: Any = None
) -> Array:
    """The gradient of `binary_cross_entropy_with_logits` to x:
    weight ((pos_weight target + 1 - target) sigmoid(x) - pos_weight target) grad."""
    return _loss_grad("binary_cross_entropy_with_logits", grad, x, target, weight, pos_weight, reduction)


def _loss(loss: str, x: Any, target: Any, weight: Any, pos_weight: Any, reduction: str) -> Array:
    operands, axes, shape = _elements(x, target, weight, pos_weight)
    _result_shape(shape, reduction)
    view = operands[0]
    assert view is not None
    y = empty(view, view.shape if reduction == "none" else ())
    problem = ArrayProblem(view.shape, dtype_name(view.dtype))
    find_kernel("loss", view, problem).run(problem, *operands, loss, reduction, y)
    return logical_order(y, axes)


def _loss_grad(loss: str, grad: Any, x: Any, target: Any, weight: Any, pos_weight: Any, reduction: str) -> Array:
    operands, axes, shape = _elements(x, target, weight, pos_weight)
    view = operands[0]
    assert view is not None
    given = _loss_gradient(grad, view, _result_shape(shape, reduction))
    dx = empty(view, view.shape)
    problem = ArrayProblem(view.shape, dtype_name(view.dtype))
    given = dense(given.transpose(axes) if reduction == "none" else given)
    find_kernel("loss_grad", view, problem).run(problem, given, *operands, loss, reduction, dx)
    return logical_order(dx, axes)


def _elements(
    x: Any, target: Any, weight: Any, pos_weight: Any
) -> tuple[list[Array | None], list[int], tuple[int, ...]]:
    """x, target and the weights, dense in the order of x's memory; the order of its axes; its shape."""
    array, wanted = as_array(x, "x"), as_array(target, "target")
    require_alike(array, wanted, "target")
    if wanted.shape != array.shape:
        raise ShapeError(f"target: expected the shape of x {array.shape}, got {wanted.shape}")
    view, axes = memory_order(array)
    operands: list[Array | None] = [view, dense(wanted.transpose(axes))]
    for value, name in ((weight, "weight"), (pos_weight, "pos_weight")):
        operands.append(None if value is None else dense(_spread(value, array, name).transpose(axes)))
    return operands, axes, array.shape


def _spread(value: Any, x: Array, name: str) -> Array:
    """A weight in the shape of x."""
    array = as_array(value, name)
    require_alike(x, array, name)
    extents = (1,) * (x.ndim - array.ndim) + array.shape
    if len(extents) != x.ndim or any(e not in (1, extent) for e, extent in zip(extents, x.shape, strict=True)):
        raise ShapeError(f"{name}: expected a shape that broadcasts to that of x {x.shape}, got {array.shape}")
    if array.shape == x.shape:
        return array
    out = empty(x, x.shape)
    out[...] = array
    return out

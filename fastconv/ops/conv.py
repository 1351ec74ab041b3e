"""Convolution: shape rules, errors, choice of kernel."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from ..backends.array_memory import address_of
from ..backends.conv_weight import ConvWeight
from ..backends.cpu import ACTIVATION_CODE
from ..backends.weight_cache import kept_weight
from ..errors import AlgorithmError, ShapeError
from ..problem import ConvProblem
from ._arrays import (
    Array,
    as_array,
    channel_vector,
    check_out,
    dense,
    dtype_name,
    empty_nhwc,
    find_kernel,
    from_nhwc,
    image_batch,
    is_channels_last,
    is_dense,
    may_share_memory,
    pair,
    require_alike,
    to_nhwc,
)

Padding = tuple[tuple[int, int], tuple[int, int]]


def prepare_weight(weight: Any) -> ConvWeight:
    """A convolution weight (K, C/groups, R, S) that is packed once and then reused by every call.

    Pass it to `conv2d` instead of the array where the same weight is used again, as the layers do. The array
    is referenced, not copied: it must not change while the result is in use. (`fastconv.set_weight_cache_limit` lets
    calls keep what they make of read-only arrays.)
    """
    return weight_of(weight, kept=True)


def weight_of(weight: Any, kept: bool = False) -> ConvWeight:
    """What `prepare_weight` made, or the same for one call."""
    if isinstance(weight, ConvWeight):
        return weight
    array = as_array(weight, "weight")
    if array.ndim != 4:
        raise ShapeError(f"weight: expected shape (K, C/groups, R, S), got {array.shape}")
    return (None if kept else kept_weight(array)) or ConvWeight(array, kept)


def resolve_padding(
    padding: Any, kernel: tuple[int, int], stride: tuple[int, int], dilation: tuple[int, int]
) -> Padding:
    """((top, bottom), (left, right)) of an int, a pair, two pairs, "same" or "valid".

    "same" is PyTorch's: stride 1 only, total = dilation (kernel - 1), half before, the rest after.

    >>> resolve_padding("same", (4, 3), (1, 1), (1, 1))
    ((1, 2), (1, 1))
    """
    if isinstance(padding, str):
        if padding == "valid":
            return ((0, 0), (0, 0))
        if padding != "same":
            raise ShapeError(f"padding: expected an int, a pair, two pairs, 'same' or 'valid', got {padding!r}")
        if stride != (1, 1):
            raise ShapeError(f"padding: 'same' needs stride 1, got stride {stride}")
        total = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
        return ((total[0] // 2, total[0] - total[0] // 2), (total[1] // 2, total[1] - total[1] // 2))
    if isinstance(padding, (tuple, list)) and len(padding) == 2 and isinstance(padding[0], (tuple, list)):
        return (pair(padding[0], "padding", 0), pair(padding[1], "padding", 0))
    try:
        rows, cols = pair(padding, "padding", 0)
    except ShapeError as error:
        raise ShapeError(f"{error}; sides may differ as ((top, bottom), (left, right))") from None
    return ((rows, rows), (cols, cols))


def _plain(values: tuple[Any, ...]) -> bool:
    for value in values:
        kind = type(value)
        if kind is not int and kind is not str and not (kind is tuple and _plain(value)):
            return False
    return True


@lru_cache(maxsize=1024)
def _conv_problem(*arguments: Any) -> ConvProblem:
    return conv_problem(*arguments)


def conv_problem(
    x_shape: tuple[int, ...],
    weight_shape: tuple[int, ...],
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    dtype: str = "float32",
) -> ConvProblem:
    """The problem that `conv2d` solves for these shapes. Raises ShapeError where they do not fit together."""
    if len(x_shape) != 4:
        raise ShapeError(f"x: expected shape (N, C, H, W), got {x_shape}")
    if len(weight_shape) != 4:
        raise ShapeError(f"weight: expected shape (K, C/groups, R, S), got {weight_shape}")
    n, c, h, w = x_shape
    k, group_c, r, s = weight_shape
    stride, dilation = pair(stride, "stride", 1), pair(dilation, "dilation", 1)
    if isinstance(groups, bool) or not isinstance(groups, (int, np.integer)) or groups < 1:
        raise ShapeError(f"groups: expected a positive int, got {groups!r}")
    if c != group_c * groups:
        wanted = f"(K, {c // groups}, R, S)" if c % groups == 0 else "another number of groups"
        raise ShapeError(f"weight: x has {c} channels in {groups} groups, so expected {wanted}, got {weight_shape}")
    if k % groups:
        raise ShapeError(f"groups: expected a divisor of the {k} filters, got {groups}")
    if r < 1 or s < 1:
        raise ShapeError(f"weight: expected a kernel of at least 1 x 1, got {weight_shape}")
    sides = resolve_padding(padding, (r, s), stride, dilation)
    problem = ConvProblem(n, c, h, w, k, r, s, stride, sides, dilation, int(groups), dtype)
    if problem.p < 1 or problem.q < 1:
        padded = (h + sum(sides[0]), w + sum(sides[1]))
        reach = (dilation[0] * (r - 1) + 1, dilation[1] * (s - 1) + 1)
        raise ShapeError(
            f"x: expected an input, padding included, of at least the kernel's reach {reach}, got {padded}"
        )
    return problem


def conv2d(
    x: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    *,
    activation: str | None = None,
    residual: Any = None,
    algo: str | None = None,
    out: Array | None = None,
) -> Array:
    """2-D convolution (cross-correlation, as in every CNN): act(x * weight + bias + residual).

    Args:
        x: (N, C, H, W) or (C, H, W), C-contiguous or channels-last or any strides; float32, float16, bfloat16 or
            float64. 16-bit types are accumulated in float32 and rounded once.
        weight: (K, C/groups, R, S) of x's dtype, or what `prepare_weight` made of it.
        bias: (K,), of x's dtype or float32.
        stride, dilation: int or pair (height, width).
        padding: int, pair, ((top, bottom), (left, right)), "same" (stride 1) or "valid".
        groups: filter k sees the channels of group k // (K/groups) only; groups == C is depthwise.
        activation: None, "relu", "relu6", "silu" or "sigmoid", fused.
        residual: an array of the result's shape and dtype, added before the activation, fused.
        algo: one of `algorithms("conv2d", ...)`; None lets the registry choose.
        out: an array to write to, of the result's shape and dtype; may be `residual` itself.

    Returns:
        (N, K, P, Q) in the memory format of x (or `out`).

    Raises:
        ShapeError, DTypeError, DeviceError, AlgorithmError: each names the argument, what came, what was expected.

    >>> import numpy as np, fastconv as fc
    >>> x = np.ones((1, 2, 5, 5), np.float32)
    >>> fc.ops.conv2d(x, np.ones((3, 2, 3, 3), np.float32), padding=1)[0, 0]
    array([[ 8., 12., 12., 12.,  8.],
           [12., 18., 18., 18., 12.],
           [12., 18., 18., 18., 12.],
           [12., 18., 18., 18., 12.],
           [ 8., 12., 12., 12.,  8.]], dtype=float32)
    """
    images, single = image_batch(x, "x")
    prepared = weight_of(weight)
    require_alike(images, prepared.array, "weight")
    arguments = (images.shape, prepared.shape, stride, padding, dilation, groups, dtype_name(images.dtype))
    # What is equal is not always alike (1 == 1.0 == True): only plain ints are looked up.
    problem = (_conv_problem if _plain(arguments[2:6]) else conv_problem)(*arguments)
    if not (activation is None or isinstance(activation, str)) or activation not in ACTIVATION_CODE:
        names = ", ".join(str(name) for name in ACTIVATION_CODE)
        raise AlgorithmError(f"activation: expected one of {names}, got {activation!r}")
    if algo is not None and not isinstance(algo, str):
        raise AlgorithmError(f"algo: expected a name or None, got {algo!r}")
    bias = channel_vector(bias, problem.k, images, "bias")

    if residual is not None:
        residual, _ = image_batch(residual, "residual")
        require_alike(images, residual, "residual")
        if residual.shape != problem.y_shape:
            raise ShapeError(f"residual: expected the result's shape {problem.y_shape}, got {residual.shape}")
    if out is not None:
        shape = problem.y_shape[1:] if single else problem.y_shape
        target = check_out(out, shape, images)
        target = target[np.newaxis] if single else target

    kernel = find_kernel("conv2d", images, problem, algo)
    nhwc_residual = None if residual is None else to_nhwc(residual)
    inputs = to_nhwc(images)
    writable = None if out is None else _writable(target, nhwc_residual, inputs, prepared.array, bias)
    result = empty_nhwc(images, problem.y_shape) if writable is None else writable
    kernel.run(problem, inputs, prepared, bias, nhwc_residual, result, activation)

    if out is not None:
        if writable is None:
            target[...] = result.transpose(0, 3, 1, 2)
        return out
    y = from_nhwc(result, is_channels_last(images))
    return y[0] if single else y


def _writable(target: Array, residual: Array | None, *others: Array | None) -> Array | None:
    """`target` as the (N, P, Q, K) array that a kernel may write to: channels-last, and read by nobody but as itself. Or
    None."""
    view: Array = target.transpose(0, 2, 3, 1)
    if not (is_dense(view) and is_channels_last(target)):
        return None
    for other in others:
        if other is not None and may_share_memory(target, other):
            return None
    if residual is not None and may_share_memory(target, residual) and address_of(target) != address_of(residual):
        return None
    return view


def conv1d(
    x: Any,
    weight: Any,
    bias: Any = None,
    stride: int = 1,
    padding: Any = 0,
    dilation: int = 1,
    groups: int = 1,
    *,
    activation: str | None = None,
    algo: str | None = None,
) -> Array:
    """1-D convolution: `conv2d` of height 1.

    x is (N, C, L) or (C, L), weight (K, C/groups, S); padding an int, a pair (left, right), "same" or "valid".

    >>> import numpy as np, fastconv as fc
    >>> fc.ops.conv1d(np.arange(5, dtype=np.float32)[None], np.ones((1, 1, 2), np.float32))
    array([[1., 3., 5., 7.]], dtype=float32)
    """
    rows, filters = as_array(x, "x"), as_array(weight, "weight")
    steps, sides, spread = conv1d_arguments(rows.shape, filters.shape, stride, padding, dilation)
    y = conv2d(
        rows[..., np.newaxis, :],
        filters[:, :, np.newaxis, :],
        bias,
        steps,
        sides,
        spread,
        groups,
        activation=activation,
        algo=algo,
    )
    return dense(y)[..., 0, :]


def conv1d_arguments(
    x_shape: tuple[int, ...], weight_shape: tuple[int, ...], stride: Any, padding: Any, dilation: Any
) -> tuple[tuple[int, int], Padding, tuple[int, int]]:
    """stride, padding and dilation of the `conv2d` of height 1 that `conv1d` is. Raises ShapeError."""
    if len(x_shape) not in (2, 3):
        raise ShapeError(f"x: expected shape (N, C, L) or (C, L), got {x_shape}")
    if len(weight_shape) != 3:
        raise ShapeError(f"weight: expected shape (K, C/groups, S), got {weight_shape}")
    (step, same_step), (spread, same_spread) = pair(stride, "stride", 1), pair(dilation, "dilation", 1)
    if step != same_step or spread != same_spread:
        raise ShapeError("stride, dilation: expected an int each, got a pair")
    if isinstance(padding, str):
        return (1, step), resolve_padding(padding, (1, weight_shape[2]), (1, step), (1, spread)), (1, spread)
    return (1, step), ((0, 0), pair(padding, "padding", 0)), (1, spread)

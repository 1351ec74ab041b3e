"""Pooling, unpooling and resizing, with their gradients."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ... import ops
from ...autograd import Context, Function, Tensor
from ...ops._arrays import Array


def _smallest(indices: Array, positions: int) -> Array:
    """Indices below `positions` in the smallest type that holds them: they wait until backward."""
    return indices.astype(np.min_scalar_type(max(positions - 1, 0)))


class _MaxPool(Function):
    """The maximum over windows, and where it was; `pool` is the operation's name in fastconv.ops."""

    @staticmethod
    def forward(ctx: Context, x: Any, *, pool: str, arguments: tuple[Any, ...], with_indices: bool = False) -> Any:
        run: Callable[..., Any] = getattr(ops, pool)
        if not (ctx.recording or with_indices):
            return run(x, *arguments)
        y, indices = run(x, *arguments, return_indices=True)
        ctx.save(_smallest(indices, math.prod(x.shape[-2 if pool.endswith("2d") else -1 :])), x.shape, pool, arguments)
        return (y, indices) if with_indices else y

    @staticmethod
    def backward(ctx: Context, grad: Any, *unused: Any) -> Any:
        small, shape, pool, arguments = ctx.saved
        return _gradient(pool, arguments, grad, small.astype(np.int64), shape)


class _AvgPool(Function):
    """The average over windows; `pool` is the operation's name in fastconv.ops."""

    @staticmethod
    def forward(ctx: Context, x: Any, *, pool: str, arguments: tuple[Any, ...]) -> Any:
        y = getattr(ops, pool)(x, *arguments)
        ctx.save(x.shape if ctx.recording else None, pool, arguments)
        return y

    @staticmethod
    def backward(ctx: Context, grad: Any) -> Any:
        shape, pool, arguments = ctx.saved
        return _gradient(pool, arguments, grad, shape)


def _gradient(pool: str, arguments: tuple[Any, ...], *operands: Any) -> Any:
    """The gradient of a pooling; an adaptive one's tells the size of its windows from that of grad."""
    return getattr(ops, f"{pool}_grad")(*operands, *(() if pool.startswith("adaptive") else arguments))


def max_pool2d(
    x: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """Maximum over windows; see fastconv.ops.max_pool2d. The gradient goes to where the maxima were.

    >>> import numpy as np, fastconv as fc
    >>> x = fc.Tensor(np.array([[[1.0, 3.0], [2.0, 0.0]]]), requires_grad=True)
    >>> fc.nn.functional.max_pool2d(x, 2).sum().backward()
    >>> x.grad
    array([[[0., 1.],
            [0., 0.]]])
    """
    arguments = (kernel_size, stride, padding, dilation, ceil_mode)
    return _MaxPool.apply(x, pool="max_pool2d", arguments=arguments, with_indices=return_indices)


def avg_pool2d(
    x: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Any:
    """Average over windows; see fastconv.ops.avg_pool2d."""
    arguments = (kernel_size, stride, padding, ceil_mode, count_include_pad)
    return _AvgPool.apply(x, pool="avg_pool2d", arguments=arguments)


def adaptive_avg_pool2d(x: Any, output_size: Any) -> Any:
    """Averages to a given (P, Q); see fastconv.ops.adaptive_avg_pool2d."""
    return _AvgPool.apply(x, pool="adaptive_avg_pool2d", arguments=(output_size,))


def adaptive_max_pool2d(x: Any, output_size: Any, return_indices: bool = False) -> Any:
    """Maxima to a given (P, Q); see fastconv.ops.adaptive_max_pool2d."""
    return _MaxPool.apply(x, pool="adaptive_max_pool2d", arguments=(output_size,), with_indices=return_indices)


def max_pool1d(
    x: Any,
    kernel_size: int,
    stride: int | None = None,
    padding: int = 0,
    dilation: int = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """Maximum over windows of (N, C, L) or (C, L); see fastconv.ops.max_pool1d."""
    arguments = (kernel_size, stride, padding, dilation, ceil_mode)
    return _MaxPool.apply(x, pool="max_pool1d", arguments=arguments, with_indices=return_indices)


def avg_pool1d(
    x: Any,
    kernel_size: int,
    stride: int | None = None,
    padding: int = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Any:
    """Average over windows of (N, C, L) or (C, L); see fastconv.ops.avg_pool1d."""
    arguments = (kernel_size, stride, padding, ceil_mode, count_include_pad)
    return _AvgPool.apply(x, pool="avg_pool1d", arguments=arguments)


class _MaxUnpool2d(Function):
    """Maxima back at their positions."""

    @staticmethod
    def forward(ctx: Context, x: Any, *, indices: Any, arguments: tuple[Any, ...]) -> Any:
        y = ops.max_unpool2d(x, indices, *arguments)
        if ctx.recording:
            ctx.save(_smallest(indices, y.shape[-2] * y.shape[-1]))
        return y

    @staticmethod
    def backward(ctx: Context, grad: Any) -> Any:
        return ops.max_unpool2d_grad(grad, ctx.saved[0].astype(np.int64))


def max_unpool2d(
    x: Any, indices: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, output_size: Any = None
) -> Any:
    """Puts maxima back to where max_pool2d(..., return_indices=True) found them; see fastconv.ops.max_unpool2d."""
    at = indices.data if isinstance(indices, Tensor) else indices
    return _MaxUnpool2d.apply(x, indices=at, arguments=(kernel_size, stride, padding, output_size))


class _Interpolate(Function):
    """Images in another size."""

    @staticmethod
    def forward(ctx: Context, x: Any, *, arguments: tuple[Any, ...]) -> Any:
        y = ops.interpolate(x, *arguments)
        ctx.save(x.shape if ctx.recording else None, *arguments)
        return y

    @staticmethod
    def backward(ctx: Context, grad: Any) -> Any:
        return ops.interpolate_grad(grad, *ctx.saved)


def interpolate(
    x: Any, size: Any = None, scale_factor: Any = None, mode: str = "nearest", align_corners: bool = False
) -> Any:
    """Resizes images, mode "nearest" or "bilinear"; see fastconv.ops.interpolate."""
    return _Interpolate.apply(x, arguments=(size, scale_factor, mode, align_corners))

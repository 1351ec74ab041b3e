"""Pooling, with its gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ... import ops
from ...autograd import Context, Function
from ...ops._arrays import Array, is_channels_last


def _in_format(grad: Array, last: bool) -> Array:
    """A gradient in the memory format of the result: what the layers below expect."""
    return ops.channels_last(grad) if last else grad


def _smallest(indices: Array, positions: int) -> Array:
    """Indices below `positions` in the smallest type that holds them: they wait until backward."""
    return indices.astype(np.min_scalar_type(max(positions - 1, 0)))


class _MaxPool2d(Function):
    """The maximum over windows, and where it was."""

    @staticmethod
    def forward(ctx: Context, x: Any, *, arguments: tuple[Any, ...], adaptive: bool, with_indices: bool) -> Any:
        pool: Callable[..., Any] = ops.adaptive_max_pool2d if adaptive else ops.max_pool2d
        if not (ctx.recording or with_indices):
            return pool(x, *arguments)
        y, indices = pool(x, *arguments, return_indices=True)
        ctx.save(_smallest(indices, x.shape[-2] * x.shape[-1]))
        ctx.x_shape, ctx.last = x.shape, y.ndim == 4 and is_channels_last(y)
        ctx.arguments, ctx.adaptive = arguments, adaptive
        return (y, indices) if with_indices else y

    @staticmethod
    def backward(ctx: Context, grad: Any, *unused: Any) -> Any:
        (small,) = ctx.saved
        grad, indices = _in_format(grad, ctx.last), small.astype(np.int64)
        if ctx.adaptive:
            return ops.adaptive_max_pool2d_grad(grad, indices, ctx.x_shape)
        return ops.max_pool2d_grad(grad, indices, ctx.x_shape, *ctx.arguments)


class _AvgPool2d(Function):
    """The average over windows."""

    @staticmethod
    def forward(ctx: Context, x: Any, *, arguments: tuple[Any, ...], adaptive: bool) -> Any:
        y = (ops.adaptive_avg_pool2d if adaptive else ops.avg_pool2d)(x, *arguments)
        ctx.save(x.shape if ctx.recording else None, arguments, adaptive)
        ctx.last = y.ndim == 4 and is_channels_last(y)
        return y

    @staticmethod
    def backward(ctx: Context, grad: Any) -> Any:
        shape, arguments, adaptive = ctx.saved
        grad = _in_format(grad, ctx.last)
        return ops.adaptive_avg_pool2d_grad(grad, shape) if adaptive else ops.avg_pool2d_grad(grad, shape, *arguments)


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
    return _MaxPool2d.apply(x, arguments=arguments, adaptive=False, with_indices=return_indices)


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
    return _AvgPool2d.apply(x, arguments=arguments, adaptive=False)


def adaptive_avg_pool2d(x: Any, output_size: Any) -> Any:
    """Averages to a given (P, Q); see fastconv.ops.adaptive_avg_pool2d."""
    return _AvgPool2d.apply(x, arguments=(output_size,), adaptive=True)


def adaptive_max_pool2d(x: Any, output_size: Any, return_indices: bool = False) -> Any:
    """Maxima to a given (P, Q); see fastconv.ops.adaptive_max_pool2d."""
    return _MaxPool2d.apply(x, arguments=(output_size,), adaptive=True, with_indices=return_indices)

"""Joining, padding, reshaping, casting, adding, scaling: what moves data, with its gradients.

Under `fastconv.autocast`, where a result may meet an operand of another dtype, what is joined or added takes the first
one's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ... import ops
from ...arithmetic import Reshape, flat_shape
from ...autograd import Context, Function, Tensor, recorded
from ...backends.array_memory import array_module
from ...errors import DTypeError, ShapeError
from ...modes import modes
from ...ops._arrays import as_array
from ...ops.conv import resolve_padding
from .activation import ACTIVATIONS, FROM_RESULT


class _Concat(Function):
    """Several arrays joined along an axis."""

    @staticmethod
    def forward(ctx: Context, *arrays: Any, dim: int) -> Any:
        y = ops.concat([ops.cast(array, arrays[0].dtype) for array in arrays] if modes().autocast else arrays, dim)
        if ctx.recording:
            ctx.save(dim % y.ndim, [array.shape[dim] for array in arrays])
        return y

    @staticmethod
    def backward(ctx: Context, grad: Any) -> Any:
        axis, extents = ctx.saved
        parts, at = [], 0
        for extent, needed in zip(extents, ctx.needs_grad, strict=True):
            index = (slice(None),) * axis + (slice(at, at + extent),)
            parts.append(grad[index] if needed else None)
            at += extent
        return tuple(parts)


def cat(tensors: Sequence[Any], dim: int = 0) -> Any:
    """Joins arrays or tensors along an axis (PyTorch's default is 0).

    >>> import numpy as np, fastconv as fc
    >>> fc.nn.functional.cat([np.zeros((1, 2)), np.ones((1, 2))])
    array([[0., 0.],
           [1., 1.]])
    """
    if not isinstance(tensors, (tuple, list)):
        raise DTypeError(f"tensors: expected a sequence of arrays or tensors, got {type(tensors).__name__}")
    return _Concat.apply(*tensors, dim=dim)


def concat(tensors: Sequence[Any], dim: int = 1) -> Any:
    """`cat` along channels unless told otherwise, as fastconv.ops.concat does."""
    return cat(tensors, dim)


class _Pad(Function):
    """Surrounded by a value."""

    @staticmethod
    def forward(ctx: Context, x: Any, *, padding: Any, value: float) -> Any:
        y = ops.pad(x, padding, value)
        if ctx.recording:
            ctx.save(x.shape, resolve_padding(padding, (1, 1), (1, 1), (1, 1)))
        return y

    @staticmethod
    def backward(ctx: Context, grad: Any) -> Any:
        shape, ((top, _), (left, _)) = ctx.saved
        return grad[..., top : top + shape[-2], left : left + shape[-1]]


def pad(x: Any, padding: Any, value: float = 0.0) -> Any:
    """Surrounds pixels with `value`; padding is an int, a pair (height, width) or two pairs, as in fastconv.ops.pad."""
    return _Pad.apply(x, padding=padding, value=value)


class _PadChannels(Function):
    """Zero channels on both sides."""

    @staticmethod
    def forward(ctx: Context, x: Any, *, before: int, after: int) -> Any:
        n, c, h, w = x.shape
        pixels = array_module(x).zeros((n, h, w, before + c + after), x.dtype)
        pixels[..., before : before + c] = x.transpose(0, 2, 3, 1)
        ctx.save(slice(before, before + c))
        return pixels.transpose(0, 3, 1, 2)

    @staticmethod
    def backward(ctx: Context, grad: Any) -> Any:
        return grad[:, ctx.saved[0]]


def pad_channels(x: Any, before: int, after: int) -> Any:
    """Zero channels before and after those of (N, C, H, W): a shortcut to more channels that has no parameters.

    >>> import numpy as np, fastconv as fc
    >>> fc.nn.functional.pad_channels(np.ones((1, 2, 1, 1), np.float32), 1, 2).reshape(-1)
    array([0., 1., 1., 0., 0.], dtype=float32)
    """
    if len(x.shape) != 4:
        raise ShapeError(f"x: expected shape (N, C, H, W), got {x.shape}")
    if before < 0 or after < 0:
        raise ShapeError(f"before, after: expected at least 0, got {before} and {after}")
    return _PadChannels.apply(x, before=before, after=after)


def _shuffled(x: Any, groups: int) -> Any:
    """Channels (group, i) as (i, group), channels-last."""
    n, c, h, w = x.shape
    pixels = ops.channels_last(x).transpose(0, 2, 3, 1).reshape(n, h, w, groups, c // groups)
    return array_module(x).ascontiguousarray(pixels.swapaxes(3, 4)).reshape(n, h, w, c).transpose(0, 3, 1, 2)


class _ChannelShuffle(Function):
    """A transposition of channels; the gradient's is the other way round."""

    @staticmethod
    def forward(ctx: Context, x: Any, *, groups: int) -> Any:
        ctx.save(x.shape[1] // groups)
        return _shuffled(x, groups)

    @staticmethod
    def backward(ctx: Context, grad: Any) -> Any:
        return _shuffled(grad, *ctx.saved)


def channel_shuffle(x: Any, groups: int) -> Any:
    """Channel i of group g goes to i groups + g: every group's channels next to the others' (Zhang et al., ShuffleNet).

    >>> import numpy as np, fastconv as fc
    >>> fc.nn.functional.channel_shuffle(np.arange(6, dtype=np.float32).reshape(1, 6, 1, 1), 2).reshape(-1)
    array([0., 3., 1., 4., 2., 5.], dtype=float32)
    """
    if len(x.shape) != 4 or groups < 1 or x.shape[1] % groups:
        raise ShapeError(f"x: expected shape (N, C, H, W) with {groups} groups of channels, got {x.shape}")
    return _ChannelShuffle.apply(x, groups=groups)


def flatten(x: Any, start_dim: int = 0, end_dim: int = -1) -> Any:
    """One axis for those from start_dim to end_dim, in logical order whatever the memory format.

    >>> import numpy as np, fastconv as fc
    >>> fc.nn.functional.flatten(np.zeros((2, 3, 4, 5), np.float32), 1).shape
    (2, 60)
    """
    array = x if isinstance(x, Tensor) else as_array(x, "x")
    return Reshape.apply(array, shape=flat_shape(array.shape, start_dim, end_dim))


class _Cast(Function):
    """Another dtype; the gradient gets the first one again."""

    @staticmethod
    def forward(ctx: Context, x: Any, *, dtype: Any) -> Any:
        return ops.cast(x, dtype)

    @staticmethod
    def backward(ctx: Context, grad: Any) -> Any:
        return grad


def cast(x: Any, dtype: Any) -> Any:
    """The same values in another dtype, rounded once; gradients come back in x's own."""
    return _Cast.apply(x, dtype=dtype)


class _AddActivation(Function):
    """act(x + y), the activation one whose derivative shows in the result, or none."""

    @staticmethod
    def forward(ctx: Context, x: Any, y: Any, *, activation: str | None) -> Any:
        z = ops.add(x, ops.cast(y, x.dtype) if modes().autocast else y, activation)
        ctx.save(z if activation else None, activation)
        return z

    @staticmethod
    def backward(ctx: Context, grad: Any) -> Any:
        z, activation = ctx.saved
        grad = grad if activation is None else ops.activation_grad(z, grad, activation)
        return tuple(grad if needed else None for needed in ctx.needs_grad)


def add(x: Any, y: Any, activation: str | None = None) -> Any:
    """act(x + y) for two of one shape and dtype: what ends a residual block, in one pass; see fastconv.ops.add."""
    apart = activation in ACTIVATIONS and activation not in FROM_RESULT and recorded(x, y)
    z = _AddActivation.apply(x, y, activation=None if apart else activation)
    return ACTIVATIONS[str(activation)](z) if apart else z


class _ScaleChannels(Function):
    """Images times a number for each of their channels."""

    @staticmethod
    def forward(ctx: Context, x: Any, scale: Any) -> Any:
        scale = ops.cast(scale, x.dtype) if modes().autocast else scale
        ctx.save(x, scale)
        return ops.scale_channels(x, scale)

    @staticmethod
    def backward(ctx: Context, grad: Any) -> Any:
        for_x, for_scale = ctx.needs_grad
        dx, dscale = ops.scale_channels_grad(grad, *ctx.saved)
        return dx if for_x else None, dscale if for_scale else None


def scale_channels(x: Any, scale: Any) -> Any:
    """x[n, c, h, w] scale[n, c], a squeeze-and-excitation block's product; see fastconv.ops.scale_channels."""
    return _ScaleChannels.apply(x, scale)

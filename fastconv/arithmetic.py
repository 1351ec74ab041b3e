"""The Functions behind a tensor's operators and methods, in the arithmetic of the array's own module.

A gradient is summed over the axes that broadcasting added. Python numbers stay Python numbers, so that float16 times 2
is float16.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from .autograd import Context, Function, Tensor
from .backends.array_memory import array_module
from .errors import ShapeError
from .ops._arrays import Array, is_channels_last
from .ops.layout import contiguous


def unbroadcast(grad: Array, shape: tuple[int, ...]) -> Array:
    """The gradient of an operand of this shape, given that of what it was broadcast to."""
    if grad.shape == shape:
        return grad
    added = grad.ndim - len(shape)
    stretched = tuple(added + i for i, extent in enumerate(shape) if extent == 1 and grad.shape[added + i] != 1)
    summed: Array = grad.sum(axis=(*range(added), *stretched), keepdims=True)
    return summed.reshape(shape)


class _Elementwise(Function):
    """Of two operands, which broadcasting brings to one shape."""

    @staticmethod
    def gradients(ctx: Context, a: Any, b: Any) -> tuple[Any, Any]:
        """Each operand's, of its own shape, given two of the result's shape."""
        return (
            None if a is None else unbroadcast(a, ctx.shapes[0]),
            None if b is None else unbroadcast(b, ctx.shapes[1]),
        )

    @staticmethod
    def operands(ctx: Context, a: Any, b: Any) -> tuple[Any, Any]:
        """Both, with their shapes noted for `gradients`."""
        if ctx.recording:
            ctx.shapes = np.shape(a), np.shape(b)
        return _number_beside(b, a), _number_beside(a, b)


def _number_beside(array: Any, value: Any) -> Any:
    """A Python number in bfloat16 beside such an array: to NumPy, the two together are float32."""
    if isinstance(value, (int, float)) and array.dtype.kind == "V":
        return array.dtype.type(value)
    return value


class Add(_Elementwise):
    """a + b."""

    @staticmethod
    def forward(ctx: Context, a: Any, b: Any) -> Any:
        a, b = Add.operands(ctx, a, b)
        return a + b

    @staticmethod
    def backward(ctx: Context, grad: Any) -> Any:
        return Add.gradients(ctx, *(grad if needed else None for needed in ctx.needs_grad))


class Subtract(_Elementwise):
    """a - b."""

    @staticmethod
    def forward(ctx: Context, a: Any, b: Any) -> Any:
        a, b = Subtract.operands(ctx, a, b)
        return a - b

    @staticmethod
    def backward(ctx: Context, grad: Any) -> Any:
        return Subtract.gradients(ctx, grad if ctx.needs_grad[0] else None, -grad if ctx.needs_grad[1] else None)


class Multiply(_Elementwise):
    """a b."""

    @staticmethod
    def forward(ctx: Context, a: Any, b: Any) -> Any:
        a, b = Multiply.operands(ctx, a, b)
        for_a, for_b = ctx.needs_grad
        ctx.save(a if for_b else None, b if for_a else None)
        return a * b

    @staticmethod
    def backward(ctx: Context, grad: Any) -> Any:
        a, b = ctx.saved
        for_a, for_b = ctx.needs_grad
        return Multiply.gradients(ctx, grad * b if for_a else None, grad * a if for_b else None)


class Divide(_Elementwise):
    """a / b."""

    @staticmethod
    def forward(ctx: Context, a: Any, b: Any) -> Any:
        a, b = Divide.operands(ctx, a, b)
        ctx.save(a if ctx.needs_grad[1] else None, b)
        return a / b

    @staticmethod
    def backward(ctx: Context, grad: Any) -> Any:
        a, b = ctx.saved
        for_a, for_b = ctx.needs_grad
        return Divide.gradients(ctx, grad / b if for_a else None, -grad * a / (b * b) if for_b else None)


class Power(_Elementwise):
    """a^b; the gradient of b needs a > 0."""

    @staticmethod
    def forward(ctx: Context, a: Any, b: Any) -> Any:
        a, b = Power.operands(ctx, a, b)
        y = a**b
        ctx.save(a, b, y if ctx.needs_grad[1] else None)
        return y

    @staticmethod
    def backward(ctx: Context, grad: Any) -> Any:
        a, b, y = ctx.saved
        for_a, for_b = ctx.needs_grad
        da = grad * (b * a ** (b - 1)) if for_a else None
        db = grad * y * array_module(grad).log(a) if for_b else None
        return Power.gradients(ctx, da, db)


class MatMul(Function):
    """a @ b, the matrix product of NumPy's rules: vectors, matrices, stacks of them."""

    @staticmethod
    def forward(ctx: Context, a: Any, b: Any) -> Any:
        ctx.save(a, b)
        return a @ b

    @staticmethod
    def backward(ctx: Context, grad: Any) -> Any:
        a, b = ctx.saved
        left = a[np.newaxis, :] if a.ndim == 1 else a
        right = b[:, np.newaxis] if b.ndim == 1 else b
        if b.ndim == 1:
            grad = grad[..., np.newaxis]
        if a.ndim == 1:
            grad = grad[..., np.newaxis, :]
        da = unbroadcast(grad @ right.swapaxes(-1, -2), left.shape).reshape(a.shape) if ctx.needs_grad[0] else None
        db = unbroadcast(left.swapaxes(-1, -2) @ grad, right.shape).reshape(b.shape) if ctx.needs_grad[1] else None
        return da, db


class Negate(Function):
    """-x."""

    @staticmethod
    def forward(ctx: Context, x: Any) -> Any:
        return -x

    @staticmethod
    def backward(ctx: Context, grad: Any) -> Any:
        return -grad


class Abs(Function):
    """|x|."""

    @staticmethod
    def forward(ctx: Context, x: Any) -> Any:
        ctx.save(x)
        return abs(x)

    @staticmethod
    def backward(ctx: Context, grad: Any) -> Any:
        (x,) = ctx.saved
        return grad * array_module(x).sign(x)


class Exp(Function):
    """e^x."""

    @staticmethod
    def forward(ctx: Context, x: Any) -> Any:
        y = array_module(x).exp(x)
        ctx.save(y)
        return y

    @staticmethod
    def backward(ctx: Context, grad: Any) -> Any:
        return grad * ctx.saved[0]


class Log(Function):
    """log x."""

    @staticmethod
    def forward(ctx: Context, x: Any) -> Any:
        ctx.save(x)
        return array_module(x).log(x)

    @staticmethod
    def backward(ctx: Context, grad: Any) -> Any:
        return grad / ctx.saved[0]


class Sqrt(Function):
    """The square root."""

    @staticmethod
    def forward(ctx: Context, x: Any) -> Any:
        y = array_module(x).sqrt(x)
        ctx.save(y)
        return y

    @staticmethod
    def backward(ctx: Context, grad: Any) -> Any:
        return grad / (ctx.saved[0] * 2)


class Clip(Function):
    """min(max(x, low), high)."""

    @staticmethod
    def forward(ctx: Context, x: Any, *, low: float | None, high: float | None) -> Any:
        if low is None and high is None:
            raise ShapeError("min, max: expected at least one bound, got None twice")
        if ctx.recording:
            inside = True if low is None else x >= low
            ctx.save(inside if high is None else inside & (x <= high))
        return x.clip(low, high)

    @staticmethod
    def backward(ctx: Context, grad: Any) -> Any:
        return grad * ctx.saved[0]


def axes_of(dim: int | Sequence[int] | None, ndim: int) -> tuple[int, ...]:
    """The axes that a reduction runs over, from 0 on."""
    dims = range(ndim) if dim is None else dim if isinstance(dim, (tuple, list)) else (dim,)
    axes = []
    for axis in dims:
        index = operator.index(axis)
        if not -ndim <= index < ndim:
            raise ShapeError(f"dim: expected axes of {ndim} dimensions, got {dim}")
        axes.append(index % ndim)
    return tuple(axes)


def _stretched(grad: Array, axes: tuple[int, ...], shape: tuple[int, ...]) -> Array:
    """A reduction's gradient, spread over what was reduced (a view)."""
    kept = tuple(1 if axis in axes else extent for axis, extent in enumerate(shape))
    spread: Array = array_module(grad).broadcast_to(grad.reshape(kept), shape)
    return spread


class Sum(Function):
    """The sum over axes."""

    @staticmethod
    def forward(ctx: Context, x: Any, *, dim: Any, keepdim: bool) -> Any:
        axes = axes_of(dim, x.ndim)
        ctx.save(axes, x.shape)
        return x.sum(axis=axes, keepdims=keepdim)

    @staticmethod
    def backward(ctx: Context, grad: Any) -> Any:
        return _stretched(grad, *ctx.saved)


class Mean(Function):
    """The mean over axes."""

    @staticmethod
    def forward(ctx: Context, x: Any, *, dim: Any, keepdim: bool) -> Any:
        axes = axes_of(dim, x.ndim)
        ctx.save(axes, x.shape)
        return x.mean(axis=axes, keepdims=keepdim)

    @staticmethod
    def backward(ctx: Context, grad: Any) -> Any:
        axes, shape = ctx.saved
        return _stretched(grad / max(math.prod(shape[axis] for axis in axes), 1), axes, shape)


class Max(Function):
    """The maximum over axes; equal ones share its gradient."""

    @staticmethod
    def forward(ctx: Context, x: Any, *, dim: Any, keepdim: bool) -> Any:
        axes = axes_of(dim, x.ndim)
        y = x.max(axis=axes, keepdims=True)
        if ctx.recording:
            ctx.save(x == y, axes)
        return y if keepdim else y.reshape(tuple(n for axis, n in enumerate(x.shape) if axis not in axes))

    @staticmethod
    def backward(ctx: Context, grad: Any) -> Any:
        largest, axes = ctx.saved
        share = largest / largest.sum(axis=axes, keepdims=True)
        return _stretched(grad, axes, largest.shape) * share.astype(grad.dtype)


class Reshape(Function):
    """The same elements in another shape."""

    @staticmethod
    def forward(ctx: Context, x: Any, *, shape: tuple[int, ...]) -> Any:
        ctx.save(x.shape)
        try:
            return (contiguous(x) if _in_kernels(x) else x).reshape(shape)
        except (ValueError, TypeError):
            raise ShapeError(f"shape: expected {x.size} elements as in {x.shape}, got {shape}") from None

    @staticmethod
    def backward(ctx: Context, grad: Any) -> Any:
        (shape,) = ctx.saved
        return (contiguous(grad) if _in_kernels(grad) else grad).reshape(shape)


def _in_kernels(x: Array) -> bool:
    """Whether to put elements in order by our own kernel: an image batch whose channels are last."""
    return x.ndim == 4 and is_channels_last(x) and x.dtype.kind in "fV"


class Permute(Function):
    """Axes in another order: a view."""

    @staticmethod
    def forward(ctx: Context, x: Any, *, dims: tuple[int, ...]) -> Any:
        if sorted(axes_of(dims, x.ndim)) != list(range(x.ndim)):
            raise ShapeError(f"dims: expected each axis of {x.ndim} once, got {dims}")
        ctx.save(axes_of(dims, x.ndim))
        return x.transpose(dims)

    @staticmethod
    def backward(ctx: Context, grad: Any) -> Any:
        (dims,) = ctx.saved
        return grad.transpose([dims.index(axis) for axis in range(len(dims))])


class Index(Function):
    """x[index], by NumPy's rules; an element taken several times gets the sum of its gradients."""

    @staticmethod
    def forward(ctx: Context, x: Any, *, index: Any) -> Any:
        ctx.save(index, x.shape)
        return x[index]

    @staticmethod
    def backward(ctx: Context, grad: Any) -> Any:
        index, shape = ctx.saved
        module = array_module(grad)
        dx = module.zeros(shape, grad.dtype)
        parts = index if isinstance(index, tuple) else (index,)
        if all(part is None or part is Ellipsis or isinstance(part, (int, slice)) for part in parts):
            dx[index] = grad
        else:
            module.add.at(dx, index, grad)
        return dx


def plain_index(index: Any) -> Any:
    """An index whose tensors are arrays."""
    if isinstance(index, tuple):
        return tuple(plain_index(part) for part in index)
    return index.data if isinstance(index, Tensor) else index


def flat_shape(shape: tuple[int, ...], start_dim: int, end_dim: int) -> tuple[int, ...]:
    """The shape with one axis for those from start_dim to end_dim.

    >>> flat_shape((2, 3, 4, 5), 1, -1)
    (2, 60)
    """
    ndim = max(len(shape), 1)
    if not (-ndim <= start_dim < ndim and -ndim <= end_dim < ndim and start_dim % ndim <= end_dim % ndim):
        raise ShapeError(
            f"start_dim, end_dim: expected axes of shape {shape} in their order, got {start_dim}, {end_dim}"
        )
    first, last = start_dim % ndim, end_dim % ndim
    return (*shape[:first], math.prod(shape[first : last + 1]), *shape[last + 1 :])

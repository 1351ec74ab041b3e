"""Convolution and the fully connected layer, with their gradients.

Images are channels-last here: a contiguous batch is converted once, results and gradients stay channels-last. Under
`fastconv.autocast` operands are cast on the way in; a gradient comes back in its operand's own dtype.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ... import ops
from ...arithmetic import Reshape
from ...autograd import Context, Function, Tensor, recorded
from ...backends.conv_weight import ConvWeight
from ...errors import AlgorithmError
from ...modes import modes
from ...ops._arrays import as_array
from ...ops.conv import conv1d_arguments, weight_of
from .activation import ACTIVATIONS, FROM_RESULT


class _Conv2d(Function):
    """act(x * weight + bias + residual), the activation one whose derivative shows in the result."""

    @staticmethod
    def forward(
        ctx: Context,
        x: Any,
        weight: Any,
        bias: Any,
        residual: Any,
        *,
        arguments: tuple[Any, ...],
        activation: str | None,
        packed: ConvWeight | None,
        dtype: str | None,
    ) -> Any:
        images = as_array(x, "x")
        ctx.single = images.ndim == 3
        if dtype is not None:
            images = ops.cast(images, dtype)
            weight = weight if packed is not None else ops.cast(weight, dtype)
            residual = None if residual is None else ops.cast(residual, dtype)
        images = ops.channels_last(images[np.newaxis] if ctx.single else images) if images.ndim in (3, 4) else images
        if residual is not None and ctx.single:
            residual = as_array(residual, "residual")[np.newaxis]
        prepared = packed if packed is not None else weight_of(weight, kept=ctx.recording)
        y = ops.conv2d(images, prepared, bias, *arguments, activation=activation, residual=residual)
        for_x, for_weight, *_ = ctx.needs_grad
        ctx.save(images if for_weight else None, prepared if for_x else None, y if activation else None)
        ctx.shapes = images.shape, prepared.shape
        ctx.arguments, ctx.activation = arguments, activation
        return y[0] if ctx.single else y

    @staticmethod
    def backward(ctx: Context, grad: Any) -> Any:
        (images, prepared, y), (x_shape, weight_shape) = ctx.saved, ctx.shapes
        for_x, for_weight, for_bias, for_residual = ctx.needs_grad
        grad = grad[np.newaxis] if ctx.single else grad
        if ctx.activation is not None:
            grad = ops.activation_grad(y, grad, ctx.activation)
        dx = ops.conv2d_input_grad(grad, prepared, x_shape, *ctx.arguments) if for_x else None
        dw = ops.conv2d_weight_grad(grad, images, weight_shape, *ctx.arguments) if for_weight else None
        db = ops.conv2d_bias_grad(grad) if for_bias else None
        if ctx.single:
            return None if dx is None else dx[0], dw, db, grad[0] if for_residual else None
        return dx, dw, db, grad if for_residual else None


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
    packed: ConvWeight | None = None,
) -> Any:
    """act(x * weight + bias + residual): fastconv.ops.conv2d with gradients to all four.

    activation (None, "relu", "relu6", "sigmoid" or "silu") is fused where nothing is recorded, and where its derivative
    can be told from the result (relu, relu6). `packed` is what `ops.prepare_weight` made of the weight, for whoever keeps
    that from call to call. The result is channels-last.

    >>> import numpy as np, fastconv as fc
    >>> x, w = np.ones((1, 1, 3, 3)), fc.Tensor(np.ones((1, 1, 2, 2)), requires_grad=True)
    >>> fc.nn.functional.conv2d(x, w, activation="relu").sum().backward()
    >>> w.grad[0, 0]
    array([[4., 4.],
           [4., 4.]])
    """
    arguments = (stride, padding, dilation, groups)
    return _with_activation(_Conv2d, (x, weight, bias, residual), activation, arguments=arguments, packed=packed)


def conv1d(
    x: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    *,
    activation: str | None = None,
) -> Any:
    """`conv2d` of height 1: x is (N, C, L) or (C, L), weight (K, C/groups, S); see fastconv.ops.conv1d."""
    rows = x if isinstance(x, Tensor) else as_array(x, "x")
    filters = weight if isinstance(weight, Tensor) else as_array(weight, "weight")
    arguments = conv1d_arguments(rows.shape, filters.shape, stride, padding, dilation)
    image = rows.reshape((*rows.shape[:-1], 1, rows.shape[-1]))
    y = conv2d(image, filters.reshape((*filters.shape[:2], 1, -1)), bias, *arguments, groups, activation=activation)
    return Reshape.apply(y, shape=(*y.shape[:-2], y.shape[-1]))


class _Linear(Function):
    """x weight^T + bias."""

    @staticmethod
    def forward(ctx: Context, x: Any, weight: Any, bias: Any, *, dtype: str | None) -> Any:
        if dtype is not None:
            x, weight = ops.cast(x, dtype), ops.cast(weight, dtype)
        for_x, for_weight, _ = ctx.needs_grad
        ctx.save(x if for_weight else None, weight if for_x else None)
        return ops.linear(x, weight, bias)

    @staticmethod
    def backward(ctx: Context, grad: Any) -> Any:
        x, weight = ctx.saved
        for_x, for_weight, for_bias = ctx.needs_grad
        dx = ops.linear_input_grad(grad, weight) if for_x else None
        dw = ops.linear_weight_grad(grad, x) if for_weight else None
        return dx, dw, ops.linear_bias_grad(grad) if for_bias else None


def linear(x: Any, weight: Any, bias: Any = None) -> Any:
    """x weight^T + bias: (..., K) and (N, K) to (..., N); see fastconv.ops.linear.

    >>> import numpy as np, fastconv as fc
    >>> x = fc.Tensor(np.array([[1.0, 2.0]]), requires_grad=True)
    >>> fc.nn.functional.linear(x, np.array([[3.0, 4.0]])).backward()
    >>> x.grad
    array([[3., 4.]])
    """
    return _Linear.apply(x, weight, bias, dtype=modes().autocast)


class _ConvTranspose2d(Function):
    """act(y + bias) of the transposed convolution, the activation one whose derivative shows in the result."""

    @staticmethod
    def forward(
        ctx: Context,
        x: Any,
        weight: Any,
        bias: Any,
        *,
        arguments: tuple[Any, ...],
        activation: str | None,
        packed: ConvWeight | None,
        dtype: str | None,
    ) -> Any:
        images = as_array(x, "x")
        if dtype is not None:
            images, weight = ops.cast(images, dtype), weight if packed is not None else ops.cast(weight, dtype)
        images = ops.channels_last(images) if images.ndim == 4 else images
        prepared = packed if packed is not None else weight_of(weight, kept=ctx.recording)
        y = ops.conv_transpose2d(images, prepared, bias, *arguments, activation=activation)
        for_x, for_weight, _ = ctx.needs_grad
        ctx.save(images if for_weight else None, prepared if for_x else None, y if activation else None)
        ctx.shapes, ctx.arguments, ctx.activation = (images.shape, prepared.shape), arguments, activation
        return y

    @staticmethod
    def backward(ctx: Context, grad: Any) -> Any:
        (images, prepared, y), (x_shape, weight_shape) = ctx.saved, ctx.shapes
        for_x, for_weight, for_bias = ctx.needs_grad
        if ctx.activation is not None:
            grad = ops.activation_grad(y, grad, ctx.activation)
        dx = ops.conv_transpose2d_input_grad(grad, prepared, x_shape, *ctx.arguments) if for_x else None
        dw = ops.conv_transpose2d_weight_grad(grad, images, weight_shape, *ctx.arguments) if for_weight else None
        return dx, dw, ops.conv2d_bias_grad(grad if grad.ndim == 4 else grad[np.newaxis]) if for_bias else None


def conv_transpose2d(
    x: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
    *,
    activation: str | None = None,
    packed: ConvWeight | None = None,
) -> Any:
    """The transposed convolution, weight (C, K/groups, R, S); see fastconv.ops.conv_transpose2d. `activation` and `packed`
    are those of `conv2d` here; the result is channels-last."""
    return _with_activation(
        _ConvTranspose2d,
        (x, weight, bias),
        activation,
        arguments=(stride, padding, output_padding, groups, dilation),
        packed=packed,
    )


def _with_activation(
    function: type[Function], operands: tuple[Any, ...], activation: str | None, **options: Any
) -> Any:
    """Applies a convolution with an activation: fused, or after it where it is recorded and needs its operand."""
    fused = activation
    if activation is not None and activation not in FROM_RESULT and recorded(*operands):
        if activation not in ACTIVATIONS:
            raise AlgorithmError(f"activation: expected None or one of {', '.join(ACTIVATIONS)}, got {activation!r}")
        fused = None
    y = function.apply(*operands, activation=fused, dtype=modes().autocast, **options)
    return y if fused == activation else ACTIVATIONS[str(activation)](y)

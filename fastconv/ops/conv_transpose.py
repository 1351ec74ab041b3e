"""Transposed convolution and its gradients: the convolution whose gradient it is, run the other way round.

For a weight (C, K/groups, R, S) the transposed convolution is the gradient with respect to the input of the convolution
that takes K channels to C (Dumoulin and Visin, "A guide to convolution arithmetic for deep learning", 2016, chapter 4).
So it runs on the kernels of `conv2d_input_grad`, its gradient with respect to x on those of `conv2d`, and that with
respect to the weight on those of `conv2d_weight_grad`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..backends.cpu import ACTIVATION_CODE
from ..errors import AlgorithmError, ShapeError
from ._arrays import (
    Array,
    channel_vector,
    dtype_name,
    find_kernel,
    from_nhwc,
    image_batch,
    image_shape,
    is_channels_last,
    pair,
    require_alike,
    rows_of,
    to_nhwc,
)
from .activation import ArrayProblem
from .conv import conv2d, weight_of
from .conv_grad import conv2d_input_grad, conv2d_weight_grad, extents
from .layout import pad

Pair = tuple[int, int]


@dataclass(frozen=True)
class _Geometry:
    """The shapes on both sides, and the arguments of the convolution that runs the other way."""

    y_shape: tuple[int, int, int, int]
    stride: Pair
    padding: Pair
    dilation: Pair
    groups: int
    more: Pair  # rows and columns of zeros that x needs at its end: output_padding // stride

    @property
    def arguments(self) -> dict[str, Any]:
        return {"stride": self.stride, "padding": self.padding, "dilation": self.dilation, "groups": self.groups}

    def extended(self, x: Array) -> Array:
        """x with the rows and columns that an output padding of a stride and more reaches into: they are zero."""
        return pad(x, ((0, self.more[0]), (0, self.more[1]))) if any(self.more) else x


def _geometry(
    x_shape: tuple[int, ...],
    weight_shape: tuple[int, ...],
    stride: Any,
    padding: Any,
    output_padding: Any,
    groups: Any,
    dilation: Any,
) -> _Geometry:
    n, c, h, w = x_shape
    filters, group_k, r, s = weight_shape
    steps, sides = pair(stride, "stride", 1), pair(padding, "padding", 0)
    dilated, after = pair(dilation, "dilation", 1), pair(output_padding, "output_padding", 0)
    if isinstance(groups, bool) or not isinstance(groups, (int, np.integer)) or groups < 1:
        raise ShapeError(f"groups: expected a positive int, got {groups!r}")
    if c % groups:
        raise ShapeError(f"groups: expected a divisor of the {c} channels of x, got {groups}")
    if filters != c:
        raise ShapeError(f"weight: x has {c} channels, so expected ({c}, K/groups, R, S), got {weight_shape}")
    if min(h, w) < 1:
        raise ShapeError(f"x: expected a height and width of at least 1, got {x_shape}")
    if min(r, s) < 1:
        raise ShapeError(f"weight: expected a kernel of at least 1 x 1, got {weight_shape}")
    if any(more >= max(step, reach) for more, step, reach in zip(after, steps, dilated, strict=True)):
        raise ShapeError(
            f"output_padding: expected less than stride {steps} or dilation {dilated}, got {output_padding!r}"
        )
    p, q = (
        (extent - 1) * steps[axis] - 2 * sides[axis] + dilated[axis] * (kernel - 1) + after[axis] + 1
        for axis, (extent, kernel) in enumerate(((h, r), (w, s)))
    )
    if min(p, q) < 1:
        raise ShapeError(f"padding: expected to leave a result of at least 1 x 1, got {sides}, which leaves {p} x {q}")
    more = (after[0] // steps[0], after[1] // steps[1])
    return _Geometry((n, group_k * int(groups), p, q), steps, sides, dilated, int(groups), more)


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
    algo: str | None = None,
) -> Array:
    """2-D transposed convolution, act(y + bias): PyTorch's arguments and meaning.

    y[n, k, p, q] = sum over c, h, w, r, s of x[n, c, h, w] weight[c, k, r, s] wherever h stride + r dilation - padding = p
    (and so for w, s, q): each pixel of x spreads the weight over a window of y.

    Args:
        x: (N, C, H, W) or (C, H, W), C-contiguous or channels-last or any strides; float32, float16, bfloat16, float64.
        weight: (C, K/groups, R, S) of x's dtype, or what `prepare_weight` made of it.
        bias: (K,), of x's dtype or float32; added in a pass of its own, so that 16-bit types are rounded twice.
        stride, padding, dilation: int or pair (height, width). padding takes rows and columns off the result.
        output_padding: rows and columns more at the result's bottom and right; less than stride or dilation.
        groups: filters of group g see the channels of group g only.
        activation: None, "relu", "relu6", "silu" or "sigmoid", in the pass that adds the bias.
        algo: one of `algorithms("conv2d_input_grad", ...)`; None lets the registry choose.

    Returns:
        (N, K, P, Q) in the memory format of x, P = (H - 1) stride - 2 padding + dilation (R - 1) + output_padding + 1.

    Raises:
        ShapeError, DTypeError, DeviceError, AlgorithmError.

    >>> import numpy as np, fastconv as fc
    >>> x = np.float32([[[1, 2]]])
    >>> fc.ops.conv_transpose2d(x, np.ones((1, 1, 1, 3), np.float32), stride=(1, 2))
    array([[[1., 1., 3., 2., 2.]]], dtype=float32)
    """
    images, single = image_batch(x, "x")
    prepared = weight_of(weight)
    require_alike(images, prepared.array, "weight")
    geometry = _geometry(images.shape, prepared.shape, stride, padding, output_padding, groups, dilation)
    if not (activation is None or isinstance(activation, str)) or activation not in ACTIVATION_CODE:
        names = ", ".join(str(name) for name in ACTIVATION_CODE)
        raise AlgorithmError(f"activation: expected one of {names}, got {activation!r}")
    shift = channel_vector(bias, geometry.y_shape[1], images, "bias")
    last = to_nhwc(geometry.extended(images)).transpose(0, 3, 1, 2)  # the bias is added where channels are contiguous
    y = to_nhwc(conv2d_input_grad(last, prepared, geometry.y_shape, **geometry.arguments, algo=algo))
    if shift is not None or activation is not None:
        rows = rows_of(y)
        problem = ArrayProblem(rows.shape, dtype_name(rows.dtype))
        find_kernel("bias_activation", rows, problem).run(problem, rows, shift, None, rows, activation)
    result = from_nhwc(y, is_channels_last(images))
    return result[0] if single else result


def conv_transpose2d_input_grad(
    grad: Any,
    weight: Any,
    input_shape: Any,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
    *,
    algo: str | None = None,
) -> Array:
    """The gradient of `conv_transpose2d` with respect to x, given that with respect to its result: a convolution.

    Args:
        grad: (N, K, P, Q) or (K, P, Q).
        weight: (C, K/groups, R, S), or what `prepare_weight` made of it.
        input_shape: (N, C, H, W) or (C, H, W), the shape of x.
        stride, padding, output_padding, groups, dilation: those of the transposed convolution.
        algo: one of `algorithms("conv2d", ...)`; None lets the registry choose.

    Returns:
        An array of input_shape in the memory format of grad.
    """
    images, single = image_batch(grad, "grad")
    prepared = weight_of(weight)
    shape = image_shape(input_shape, single)
    geometry = _geometry(shape, prepared.shape, stride, padding, output_padding, groups, dilation)
    _require_result(images, geometry)
    dx = conv2d(images, prepared, **geometry.arguments, algo=algo)
    if any(geometry.more):
        dx = from_nhwc(to_nhwc(dx[:, :, : shape[2], : shape[3]]), is_channels_last(images))
    return dx[0] if single else dx


def conv_transpose2d_weight_grad(
    grad: Any,
    x: Any,
    weight_shape: Any,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
    *,
    algo: str | None = None,
) -> Array:
    """The gradient of `conv_transpose2d` with respect to its weight, given that with respect to its result.

    Args:
        grad: (N, K, P, Q) and x: (N, C, H, W), or both without N.
        weight_shape: (C, K/groups, R, S).
        stride, padding, output_padding, groups, dilation: those of the transposed convolution.
        algo: one of `algorithms("conv2d_weight_grad", ...)`; None lets the registry choose.

    Returns:
        (C, K/groups, R, S) in the memory format of x. The bias's gradient is grad's sum over N, P and Q.
    """
    images, _ = image_batch(grad, "grad")
    inputs, _ = image_batch(x, "x")
    require_alike(images, inputs, "x")
    shape = extents(weight_shape, 4, "weight_shape", "(C, K/groups, R, S)")
    geometry = _geometry(inputs.shape, shape, stride, padding, output_padding, groups, dilation)
    _require_result(images, geometry)
    return conv2d_weight_grad(geometry.extended(inputs), images, shape, **geometry.arguments, algo=algo)


def _require_result(grad: Array, geometry: _Geometry) -> None:
    if grad.shape != geometry.y_shape:
        expected = geometry.y_shape
        raise ShapeError(f"grad: expected the transposed convolution's result shape {expected}, got {grad.shape}")

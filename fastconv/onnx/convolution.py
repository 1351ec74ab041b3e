"""Conv and ConvTranspose in one, two and three dimensions.

One dimension is two of height 1. Three are a sum over the taps of the kernel's depth, each of them a 2-D convolution of
all depth slices as a batch:

    y[:, :, d] = sum over t of conv2d(x[:, :, d stride + t dilation - before], weight[:, :, t])
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import ops
from ..errors import ShapeError
from .node import Array, Function, Kept, Node, Operator
from .window import Sides, Window, shared


def conv(node: Node) -> Function:
    """Conv, with bias; a residual and an activation where fuse.py gave it them."""
    window, groups = Window.of(node), node.integer("group", 1)
    packed = Kept(_packed)

    def run(x: Array, weight: Array, bias: Array | None = None, residual: Array | None = None) -> Array:
        rank = _rank(x, weight)
        steps, spread = window.steps(rank), window.spread(rank)
        sides = window.sides(x.shape[2:], weight.shape[2:])
        arguments: dict[str, Any] = {"groups": groups, "activation": node.activation}
        if rank == 3:
            return _conv3d(x, packed(weight), bias, steps, sides, spread, arguments)
        if rank == 1:
            x, steps, spread, sides = x[:, :, np.newaxis], [1, *steps], [1, *spread], [(0, 0), *sides]
        fits = residual is None or residual.shape == _result_shape(x, weight, window, sides)
        if not fits:  # a residual that is to be broadcast
            arguments["activation"] = None
        y = ops.conv2d(
            ops.channels_last(x),
            packed(weight)[0],
            bias,
            tuple(steps),
            tuple(sides),
            tuple(spread),
            residual=residual if fits else None,
            **arguments,
        )
        if residual is not None and not fits:
            y = y + residual
            y = getattr(ops, node.activation)(y) if node.activation else y
        return y[:, :, 0] if rank == 1 else y

    return run


def _result_shape(x: Array, weight: Array, window: Window, sides: Sides) -> tuple[int, ...]:
    rows = zip(x.shape[2:], sides, window.reach(weight.shape[2:]), window.steps(2), strict=True)
    return (x.shape[0], weight.shape[0], *((n + sum(side) - reach) // step + 1 for n, side, reach, step in rows))


def _rank(x: Array, weight: Array) -> int:
    rank = x.ndim - 2
    if rank not in (1, 2, 3) or weight.ndim != x.ndim:
        raise ShapeError(f"x, weight: expected 3 to 5 dimensions each, got shapes {x.shape} and {weight.shape}")
    return rank


def _packed(weight: Array) -> list[Any]:
    """2-D weights as the kernels want them: one, or one for each tap of the depth."""
    if weight.ndim == 5:
        return [ops.prepare_weight(ops.contiguous(weight[:, :, tap])) for tap in range(weight.shape[2])]
    return [ops.prepare_weight(weight[:, :, np.newaxis] if weight.ndim == 3 else weight)]


def _conv3d(
    x: Array,
    taps: list[Any],
    bias: Array | None,
    steps: list[int],
    sides: Sides,
    spread: list[int],
    arguments: dict[str, Any],
) -> Array:
    n, c, depth, h, w = x.shape
    step, stretch = steps[0], spread[0]
    out_depth = (depth + sum(sides[0]) - stretch * (len(taps) - 1) - 1) // step + 1
    if out_depth < 1:
        raise ShapeError(f"x: expected a depth of at least the kernel's, padding included, got {x.shape}")
    padded = np.pad(x, ((0, 0), (0, 0), sides[0], (0, 0), (0, 0)))
    activation, arguments["activation"] = arguments["activation"], None
    y = None
    for tap, weight in enumerate(taps):
        first = tap * stretch
        slices = padded[:, :, first : first + (out_depth - 1) * step + 1 : step].swapaxes(1, 2)
        if tap == len(taps) - 1:
            arguments["activation"] = activation
        y = ops.conv2d(
            slices.reshape(n * out_depth, c, h, w),
            weight,
            bias if tap == 0 else None,
            tuple(steps[1:]),
            tuple(sides[1:]),
            tuple(spread[1:]),
            residual=y,
            **arguments,
        )
    assert y is not None
    result: Array = y.reshape(n, out_depth, *y.shape[1:]).swapaxes(1, 2)
    return result


def conv_transpose(node: Node) -> Function:
    """ConvTranspose. What padding takes off the result unevenly is cut off afterwards."""
    window, groups = Window.of(node), node.integer("group", 1)
    output_padding, output_shape = node.integers("output_padding"), node.integers("output_shape")
    packed = Kept(_packed)

    def run(x: Array, weight: Array, bias: Array | None = None) -> Array:
        rank = _rank(x, weight)
        steps, spread = window.steps(rank), window.spread(rank)
        after = [0] * rank if output_padding is None else output_padding
        reach = window.reach(weight.shape[2:])
        full = [
            (extent - 1) * step + span + more
            for extent, step, span, more in zip(x.shape[2:], steps, reach, after, strict=True)
        ]
        if output_shape is not None:  # may be more than there is: zeros at the end
            lacking = [max(wanted - there, 0) for wanted, there in zip(output_shape[-rank:], full, strict=True)]
            after, full = ([a + b for a, b in zip(values, lacking, strict=True)] for values in (after, full))
        sides = _transposed_sides(window, x.shape[2:], full, output_shape)
        x, taps = (x[:, :, np.newaxis] if rank == 1 else x), packed(weight)
        # The last two axes; one dimension is the second of them.
        two: dict[str, Any] = {
            "stride": tuple([1, *steps][-2:]),
            "dilation": tuple([1, *spread][-2:]),
            "output_padding": tuple([0, *after][-2:]),
        }
        if rank == 3:
            y = _conv_transpose3d(x, taps, full[0], steps[0], spread[0], {**two, "groups": groups})
        else:
            y = ops.conv_transpose2d(x, taps[0], groups=groups, **two)
        y = y[:, :, 0] if rank == 1 else y
        cut = tuple(slice(before, extent - end) for extent, (before, end) in zip(full, sides, strict=True))
        inside: Array = y[(slice(None),) * 2 + cut]
        return inside if bias is None else inside + bias.reshape(-1, *[1] * rank)

    return run


def _transposed_sides(
    window: Window, spatial: tuple[int, ...], full: list[int], output_shape: list[int] | None
) -> Sides:
    """What is cut off a result of `full` extents: the pads, or what leaves the wanted extents."""
    if window.auto_pad.startswith("SAME"):
        wanted = [extent * step for extent, step in zip(spatial, window.steps(len(spatial)), strict=True)]
        output_shape = output_shape or wanted
    if output_shape is None:
        return window.sides(spatial, [1] * len(spatial))
    upper = "SAME_UPPER" if window.auto_pad == "SAME_UPPER" else "SAME_LOWER"
    wanted = output_shape[-len(spatial) :]
    return [shared(max(extent - more, 0), upper) for extent, more in zip(full, wanted, strict=True)]


def _conv_transpose3d(
    x: Array, taps: list[Any], out_depth: int, step: int, stretch: int, arguments: dict[str, Any]
) -> Array:
    n, c, depth, h, w = x.shape
    slices = np.ascontiguousarray(x.swapaxes(1, 2)).reshape(n * depth, c, h, w)
    y = None
    for tap, weight in enumerate(taps):
        part = ops.conv_transpose2d(slices, weight, **arguments)
        part = part.reshape(n, depth, *part.shape[1:]).swapaxes(1, 2)
        if y is None:
            y = np.zeros_like(part, shape=(n, part.shape[1], out_depth, *part.shape[3:]))
        first = tap * stretch
        y[:, :, first : first + (depth - 1) * step + 1 : step] += part
    assert y is not None
    return y


OPERATORS: dict[str, Operator] = {"Conv": conv, "ConvTranspose": conv_transpose}

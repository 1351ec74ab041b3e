"""MaxPool, AveragePool and the global pools in one, two and three dimensions.

One dimension is two of height 1. Three are two passes, over (H, W) and then over D: maxima and means of a box are taken axis
by axis. What our own pooling has no word for (padding that differs between sides or exceeds half a kernel, dilated means)
goes the long way: maxima of an image padded with minus infinity; means as sums, which are convolutions with ones, divided
by counts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import ops
from ..errors import ShapeError
from ..problem import ITEM_SIZE
from .node import Array, Function, Node, Operator
from .window import Window


@dataclass(frozen=True)
class Axis:
    """The windows along one axis: `count` of them, the last of which hangs over the padding by `overhang`."""

    kernel: int
    step: int
    spread: int
    before: int
    after: int
    count: int
    overhang: int

    @property
    def is_plain(self) -> bool:
        """Whether our own pooling knows this padding."""
        return self.before == self.after <= self.kernel // 2

    def divisors(self, extent: int, with_padding: bool) -> Array:
        """How many elements each window averages over: inside the input, or inside it and its padding."""
        taps = np.arange(self.count)[:, np.newaxis] * self.step - self.before + np.arange(self.kernel) * self.spread
        first, end = (-self.before, extent + self.after) if with_padding else (0, extent)
        counts: Array = np.maximum(((taps >= first) & (taps < end)).sum(axis=1), 1)
        return counts


def _unpooled(extent: int) -> Axis:
    """An axis of windows of one element."""
    return Axis(1, 1, 1, 0, 0, extent, 0)


Pool2d = Callable[[Array, Axis, Axis], Array]


def _axes(window: Window, spatial: Sequence[int], ceil_mode: bool) -> list[Axis]:
    """With ceil_mode a last window may hang over the end, but must start inside the input or its leading padding."""
    rank = len(spatial)
    kernel = window.kernel(rank)
    rows = zip(
        spatial,
        kernel,
        window.steps(rank),
        window.spread(rank),
        window.reach(kernel),
        window.sides(spatial, kernel),
        strict=True,
    )
    axes = []
    for extent, taps, step, spread, reach, (before, after) in rows:
        span = extent + before + after - reach
        count = (-(-span // step) if ceil_mode else span // step) + 1
        if ceil_mode and (count - 1) * step >= extent + before:
            count -= 1
        if count < 1:
            raise ShapeError(f"x: expected at least kernel_shape {kernel}, padding included, got {tuple(spatial)}")
        axes.append(Axis(taps, step, spread, before, after, count, max((count - 1) * step - span, 0)))
    return axes


def _over_axes(x: Array, axes: list[Axis], pool: Pool2d) -> Array:
    """Pools (N, C, ...) of one to three dimensions by a function that pools two."""
    if len(axes) == 1:
        return pool(x[:, :, np.newaxis], _unpooled(1), axes[0])[:, :, 0]
    if len(axes) == 2:
        return pool(x, *axes)
    n, c, depth, h, w = x.shape
    planes = pool(x.reshape(n, c * depth, h, w), *axes[1:])
    p, q = planes.shape[2:]
    result: Array = pool(planes.reshape(n, c, depth, p * q), axes[0], _unpooled(p * q))
    return result.reshape(n, c, -1, p, q)


def _expect_image(x: Array) -> None:
    if x.ndim not in (3, 4, 5):
        raise ShapeError(f"x: expected shape (N, C, ...) of 3 to 5 dimensions, got {x.shape}")


def _arguments(rows: Axis, cols: Axis, padded: bool = False) -> dict[str, Any]:
    padding = (0, 0) if padded else (rows.before, cols.before)
    return {"kernel_size": (rows.kernel, cols.kernel), "stride": (rows.step, cols.step), "padding": padding}


def max_pool(node: Node) -> Function:
    """MaxPool, with the positions of the maxima where the node has a second output."""
    window, ceil_mode = Window.of(node), bool(node.integer("ceil_mode", 0))
    column_major = bool(node.integer("storage_order", 0))
    node.expect_outputs(2)
    with_indices = len(node.outputs) == 2 and node.outputs[1] != ""

    def pool(x: Array, rows: Axis, cols: Axis, return_indices: bool = False) -> Any:
        dilation = (rows.spread, cols.spread)
        plain = rows.is_plain and cols.is_plain
        if not plain:
            sides = (rows.before, rows.after + rows.overhang), (cols.before, cols.after + cols.overhang)
            x = ops.pad(x, sides, -np.inf)
        found = ops.max_pool2d(
            x,
            **_arguments(rows, cols, padded=not plain),
            dilation=dilation,
            ceil_mode=plain and ceil_mode,
            return_indices=return_indices,
        )
        if not return_indices:
            return found[:, :, : rows.count, : cols.count]
        y, at = (part[:, :, : rows.count, : cols.count] for part in found)
        row, col = at // x.shape[3], at % x.shape[3]
        return y, (row, col) if plain else (row - rows.before, col - cols.before)

    def run(x: Array) -> Any:
        _expect_image(x)
        if x.dtype.name not in ITEM_SIZE:  # bytes
            return run(x.astype(np.float32)).astype(x.dtype)
        axes = _axes(window, x.shape[2:], ceil_mode)
        if not with_indices:
            return _over_axes(x, axes, pool)
        if x.ndim == 5:
            raise node.refuse("the positions of maxima in three dimensions are not supported")
        images = x if x.ndim == 4 else x[:, :, np.newaxis]
        rows, cols = axes if x.ndim == 4 else (_unpooled(1), axes[0])
        y, (row, col) = pool(images, rows, cols, return_indices=True)
        h, w = images.shape[2:]
        plane = np.arange(x.shape[0] * x.shape[1]).reshape(*x.shape[:2], 1, 1) * (h * w)
        at = plane + (col * h + row if column_major else row * w + col)
        shape = y.shape if x.ndim == 4 else (*y.shape[:2], y.shape[3])
        return y.reshape(shape), at.reshape(shape)

    return run


def average_pool(node: Node) -> Function:
    """AveragePool; by default padding does not count."""
    window, ceil_mode = Window.of(node), bool(node.integer("ceil_mode", 0))
    with_padding = bool(node.integer("count_include_pad", 0))

    def pool(x: Array, rows: Axis, cols: Axis) -> Array:
        if rows.is_plain and cols.is_plain and rows.spread == cols.spread == 1:
            arguments = _arguments(rows, cols)
            return ops.avg_pool2d(x, **arguments, ceil_mode=ceil_mode, count_include_pad=with_padding)
        n, c, h, w = x.shape
        sums = ops.conv2d(
            x.reshape(n * c, 1, h, w),
            np.ones_like(x, shape=(1, 1, rows.kernel, cols.kernel)),
            stride=(rows.step, cols.step),
            padding=((rows.before, rows.after + rows.overhang), (cols.before, cols.after + cols.overhang)),
            dilation=(rows.spread, cols.spread),
        )[:, :, : rows.count, : cols.count]
        p, q = sums.shape[2:]
        divisors = rows.divisors(h, with_padding)[:p, np.newaxis] * cols.divisors(w, with_padding)[:q]
        means: Array = sums.reshape(n, c, p, q) / np.asarray(divisors, dtype=x.dtype, like=x)
        return means

    def run(x: Array) -> Array:
        _expect_image(x)
        return _over_axes(x, _axes(window, x.shape[2:], ceil_mode), pool)

    return run


def _global(pool: Callable[[Array, int], Array]) -> Operator:
    def make(node: Node) -> Function:
        def run(x: Array) -> Array:
            _expect_image(x)
            flat = x if x.ndim == 4 else x.reshape(*x.shape[:2], 1, -1)
            y: Array = pool(flat, 1)
            return y.reshape(*x.shape[:2], *[1] * (x.ndim - 2))

        return run

    return make


OPERATORS: dict[str, Operator] = {
    "MaxPool": max_pool,
    "AveragePool": average_pool,
    "GlobalMaxPool": _global(ops.adaptive_max_pool2d),
    "GlobalAveragePool": _global(ops.adaptive_avg_pool2d),
}

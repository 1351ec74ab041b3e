"""Operators that move values without computing, and those that compute shapes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import ops
from ..errors import ShapeError
from ..problem import ITEM_SIZE
from .node import Array, Function, Node, Operator, input_or_attribute, integer_list


def _identity(node: Node) -> Function:
    return lambda x: x


def _dropout(node: Node) -> Function:
    """The identity, as in inference; the mask, where one is asked for, drops nothing."""
    node.ignore("ratio", "is_test", "seed", "consumed_inputs")
    with_mask = len(node.outputs) == 2 and node.outputs[1] != ""

    def run(x: Array, ratio: Any = None, training: Any = None) -> Any:
        if training is not None and bool(training):
            raise node.refuse("input training_mode: only inference is supported")
        return (x, np.ones_like(x, dtype=bool)) if with_mask else x

    return run


def _concat(node: Node) -> Function:
    axis = node.integer("axis", 1)

    def run(*arrays: Array) -> Array:
        if all(array.ndim == 4 and array.dtype.name in ITEM_SIZE for array in arrays):
            return ops.concat(arrays, axis)  # stays channels-last
        return np.concatenate(arrays, axis)

    return run


def _reshape(node: Node) -> Function:
    """0 keeps an extent, unless allowzero; -1 is what is left."""
    keeps = not node.integer("allowzero", 0)
    node.ignore("consumed_inputs")
    fixed = node.integers("shape")

    def run(x: Array, shape: Array | None = None) -> Array:
        wanted = integer_list(shape, node, "shape") if shape is not None else fixed
        if wanted is None:
            raise node.refuse("the shape is missing")
        if keeps:
            wanted = [x.shape[i] if n == 0 and i < x.ndim else n for i, n in enumerate(wanted)]
        if -1 in wanted and (rest := math.prod(n for n in wanted if n != -1)):
            wanted[wanted.index(-1)] = x.size // rest
        return x.reshape(wanted)

    return run


def _flatten(node: Node) -> Function:
    axis = node.integer("axis", 1)

    def run(x: Array) -> Array:
        rows = math.prod(x.shape[: axis % x.ndim if axis < 0 else axis])
        return x.reshape(rows, x.size // max(rows, 1))

    return run


def _transpose(node: Node) -> Function:
    order = node.integers("perm")
    return lambda x: x.transpose(order)


def _squeeze(node: Node) -> Function:
    def run(x: Array, axes: Array | None = None) -> Array:
        wanted = input_or_attribute(node, axes, "axes")
        return np.squeeze(x, None if wanted is None else tuple(wanted))

    node.ignore("axes")
    return run


def _unsqueeze(node: Node) -> Function:
    def run(x: Array, axes: Array | None = None) -> Array:
        wanted = input_or_attribute(node, axes, "axes")
        if wanted is None:
            raise node.refuse("axes are missing")
        return np.expand_dims(x, tuple(wanted))

    node.ignore("axes")
    return run


def _pad(node: Node) -> Function:
    """Any number of axes; a negative pad takes elements off."""
    mode = node.text("mode", "constant")
    if mode not in ("constant", "reflect", "edge", "wrap"):
        raise node.refuse(f"attribute mode = {mode!r} is not supported")
    fixed = node.integers("pads") or node.integers("paddings")
    constant = node.number("value", 0.0)

    def run(x: Array, pads: Array | None = None, value: Any = None, axes: Array | None = None) -> Array:
        sides = integer_list(pads, node, "pads") if pads is not None else fixed
        names = list(range(x.ndim)) if axes is None else [a % x.ndim for a in integer_list(axes, node, "axes")]
        if sides is None or len(sides) != 2 * len(names):
            raise ShapeError(f"pads: expected {2 * len(names)} numbers, got {sides}")
        widths = [(0, 0)] * x.ndim
        for i, axis in enumerate(names):
            widths[axis] = (sides[i], sides[i + len(names)])
        cut = tuple(slice(max(-a, 0), n - max(-b, 0)) for n, (a, b) in zip(x.shape, widths, strict=True))
        grown = [(max(a, 0), max(b, 0)) for a, b in widths]
        if mode == "constant":
            return np.pad(x[cut], grown, constant_values=constant if value is None else value)
        return np.pad(x[cut], grown, mode=mode)  # type: ignore[call-overload, no-any-return]

    return run


def _slice(node: Node) -> Function:
    """Python's slices; bounds are inputs since opset 10."""
    fixed = [node.integers(name) for name in ("starts", "ends", "axes")]

    def run(x: Array, *bounds: Array | None) -> Array:
        given = [None if b is None else integer_list(b, node, "bounds") for b in bounds] or fixed
        if len(given) < 2 or given[0] is None or given[1] is None:
            raise node.refuse("starts and ends are missing")
        starts, ends = given[0], given[1]
        axes = given[2] if len(given) > 2 and given[2] is not None else range(len(starts))
        steps = given[3] if len(given) > 3 and given[3] is not None else [1] * len(starts)
        slices = [slice(None)] * x.ndim
        for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
            # Below -n, going backwards, means "to the first element and with it".
            slices[axis] = slice(start, None if step < 0 and end < -x.shape[axis] else end, step)
        return x[tuple(slices)]

    return run


def _split(node: Node) -> Function:
    axis = node.integer("axis", 0)
    node.ignore("num_outputs", "split")

    def run(x: Array, split: Array | None = None) -> tuple[Array, ...]:
        sizes, parts = input_or_attribute(node, split, "split"), len(node.outputs)
        if sizes is None:
            size = -(-x.shape[axis] // parts)  # the last part may be smaller
            sizes = [size] * (parts - 1) + [x.shape[axis] - size * (parts - 1)]
        return tuple(np.split(x, np.cumsum(sizes)[:-1], axis))

    return run


def _gather(node: Node) -> Function:
    axis = node.integer("axis", 0)
    return lambda x, at: np.take(x, at, axis)


def _expand(node: Node) -> Function:
    def run(x: Array, shape: Array) -> Array:
        return np.broadcast_to(x, np.broadcast_shapes(x.shape, tuple(integer_list(shape, node, "shape"))))

    return run


def _tile(node: Node) -> Function:
    return lambda x, repeats: np.tile(x, integer_list(repeats, node, "repeats"))


def _shape(node: Node) -> Function:
    start, end = node.integer("start", 0), node.take("end")
    return lambda x: np.array(x.shape[start:end], np.int64)


def _size(node: Node) -> Function:
    return lambda x: np.int64(x.size)


def _cast(node: Node) -> Function:
    dtype = node.take("to")
    node.ignore("saturate")
    if not isinstance(dtype, np.dtype) or (dtype.isbuiltin != 1 and dtype.name not in ITEM_SIZE):
        raise node.refuse(f"attribute to = {dtype} is not supported")
    return lambda x: x.astype(dtype)


def _constant(node: Node) -> Function:
    kinds = {name: node.take(name) for name in ("value", "value_float", "value_floats", "value_int", "value_ints")}
    given = [(name, value) for name, value in kinds.items() if value is not None]
    if len(given) != 1:
        raise node.refuse("expected one attribute value, value_float, value_floats, value_int or value_ints")
    (name, value) = given[0]
    array = np.asarray(value, {"f": np.float32, "i": np.int64}.get(name.removeprefix("value_")[:1]))
    return lambda: array


def _constant_of_shape(node: Node) -> Function:
    value = node.take("value")
    fill = np.zeros(1, np.float32) if value is None else np.asarray(value).reshape(1)
    return lambda shape: np.full(integer_list(shape, node, "shape"), fill[0], fill.dtype)


def _depth_to_space(node: Node) -> Function:
    block, mode = node.integer("blocksize"), node.text("mode", "DCR")
    if mode not in ("DCR", "CRD"):
        raise node.refuse(f"attribute mode = {mode!r} is not supported")

    def run(x: Array) -> Array:
        n, c, h, w = x.shape
        if mode == "DCR":
            parts = x.reshape(n, block, block, c // block**2, h, w).transpose(0, 3, 4, 1, 5, 2)
        else:
            parts = x.reshape(n, c // block**2, block, block, h, w).transpose(0, 1, 4, 2, 5, 3)
        image: Array = parts.reshape(n, c // block**2, h * block, w * block)
        return image

    return run


def _space_to_depth(node: Node) -> Function:
    block = node.integer("blocksize")

    def run(x: Array) -> Array:
        n, c, h, w = x.shape
        parts = x.reshape(n, c, h // block, block, w // block, block).transpose(0, 3, 5, 1, 2, 4)
        planes: Array = parts.reshape(n, c * block**2, h // block, w // block)
        return planes

    return run


def _reduction(function: Any) -> Operator:
    """Over some axes, all by default; the axes are an input in newer opsets."""

    def make(node: Node) -> Function:
        keep, nothing = bool(node.integer("keepdims", 1)), bool(node.integer("noop_with_empty_axes", 0))
        node.ignore("axes")

        def run(x: Array, axes: Array | None = None) -> Array:
            wanted = input_or_attribute(node, axes, "axes")
            if not wanted:
                if nothing:
                    return x
                wanted = list(range(x.ndim))
            result: Array = np.asanyarray(function(x, axis=tuple(wanted), keepdims=keep)).astype(x.dtype, copy=False)
            return result

        return run

    return make


OPERATORS: dict[str, Operator] = {
    "Identity": _identity,
    "Dropout": _dropout,
    "Concat": _concat,
    "Reshape": _reshape,
    "Flatten": _flatten,
    "Transpose": _transpose,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Pad": _pad,
    "Slice": _slice,
    "Split": _split,
    "Gather": _gather,
    "Expand": _expand,
    "Tile": _tile,
    "Shape": _shape,
    "Size": _size,
    "Cast": _cast,
    "Constant": _constant,
    "ConstantOfShape": _constant_of_shape,
    "DepthToSpace": _depth_to_space,
    "SpaceToDepth": _space_to_depth,
    "ReduceMean": _reduction(np.mean),
    "ReduceSum": _reduction(np.sum),
    "ReduceMax": _reduction(np.max),
    "ReduceMin": _reduction(np.min),
    "ReduceProd": _reduction(np.prod),
}

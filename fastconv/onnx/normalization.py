"""Normalisations and softmax."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from .. import ops
from ..errors import ShapeError
from .node import Array, Function, Node, Operator


def batch_normalization(node: Node) -> Function:
    """BatchNormalization by running statistics."""
    epsilon = node.number("epsilon", 1e-5)
    node.ignore("momentum", "is_test", "consumed_inputs")
    if node.integer("training_mode", 0) or node.integer("spatial", 1) != 1:
        raise node.refuse("attributes training_mode and spatial: only running statistics of channels are supported")
    node.expect_outputs(1)

    def run(x: Array, scale: Array, bias: Array, mean: Array, var: Array) -> Array:
        rows = x if x.ndim <= 4 else x.reshape(*x.shape[:2], -1)
        return ops.batch_norm(rows, mean, var, scale, bias, eps=epsilon).reshape(x.shape)

    return run


def lrn(node: Node) -> Function:
    """LRN across channels; an even size has its centre one before PyTorch's, so channels are turned round."""
    size = node.integer("size")
    alpha, beta, bias = node.number("alpha", 1e-4), node.number("beta", 0.75), node.number("bias", 1.0)

    def run(x: Array) -> Array:
        if size % 2:
            return ops.local_response_norm(x, size, alpha, beta, bias)
        return ops.local_response_norm(x[:, ::-1], size, alpha, beta, bias)[:, ::-1]

    return run


def _standardised(x: Array, axes: tuple[int, ...], epsilon: float) -> tuple[Array, Array, Array]:
    """(x - mean) / sqrt(var + epsilon) over some axes, in float32 at least; the mean; 1 / sqrt(var + epsilon)."""
    wide = x.astype(np.promote_types(x.dtype, np.float32), copy=False)
    mean = wide.mean(axis=axes, keepdims=True)
    centred = wide - mean
    inverse = 1 / np.sqrt((centred * centred).mean(axis=axes, keepdims=True) + wide.dtype.type(epsilon))
    return centred * inverse, mean, inverse


def _by_channel(values: Array, rank: int) -> Array:
    return values.reshape(-1, *[1] * (rank - 2))


def instance_normalization(node: Node) -> Function:
    """InstanceNormalization: each channel of each image by itself."""
    epsilon = node.number("epsilon", 1e-5)
    node.ignore("consumed_inputs")

    def run(x: Array, scale: Array, bias: Array) -> Array:
        y, _, _ = _standardised(x, tuple(range(2, x.ndim)), epsilon)
        return (y * _by_channel(scale, x.ndim) + _by_channel(bias, x.ndim)).astype(x.dtype, copy=False)

    return run


def group_normalization(node: Node) -> Function:
    """GroupNormalization of opset 21, whose scale and bias are per channel."""
    epsilon, groups = node.number("epsilon", 1e-5), node.integer("num_groups")
    if node.integer("stash_type", 1) != 1:
        raise node.refuse("attribute stash_type: expected 1, float32")

    def run(x: Array, scale: Array, bias: Array) -> Array:
        if x.shape[1] % groups:
            raise ShapeError(f"num_groups: expected a divisor of {x.shape[1]} channels, got {groups}")
        y = _standardised(x.reshape(x.shape[0], groups, -1), (2,), epsilon)[0].reshape(x.shape)
        return (y * _by_channel(scale, x.ndim) + _by_channel(bias, x.ndim)).astype(x.dtype, copy=False)

    return run


def layer_normalization(node: Node) -> Function:
    """LayerNormalization over the axes from `axis` on; also mean and inverse deviation, where they are asked for."""
    epsilon, axis = node.number("epsilon", 1e-5), node.integer("axis", -1)
    if node.integer("stash_type", 1) != 1:
        raise node.refuse("attribute stash_type: expected 1, float32")

    def run(x: Array, scale: Array, bias: Array | None = None) -> tuple[Array, Array, Array]:
        y, mean, inverse = _standardised(x, tuple(range(axis % x.ndim, x.ndim)), epsilon)
        y = y * scale
        return (y if bias is None else y + bias).astype(x.dtype, copy=False), mean, inverse

    return run


def _softmax(function: Callable[[Array, int], Array]) -> Operator:
    def make(node: Node) -> Function:
        """Along an axis; before opset 13 over all axes from that one on."""
        flat = node.opset < 13
        axis = node.integer("axis", 1 if flat else -1)

        def run(x: Array) -> Array:
            if not flat:
                return function(x, axis)
            rows = math.prod(x.shape[: axis % x.ndim])
            return function(x.reshape(rows, math.prod(x.shape) // max(rows, 1)), 1).reshape(x.shape)

        return run

    return make


OPERATORS: dict[str, Operator] = {
    "BatchNormalization": batch_normalization,
    "LRN": lrn,
    "InstanceNormalization": instance_normalization,
    "GroupNormalization": group_normalization,
    "LayerNormalization": layer_normalization,
    "Softmax": _softmax(ops.softmax),
    "LogSoftmax": _softmax(ops.log_softmax),
}

"""Nodes that a convolution computes along with it: batch norm in its weights, a sum and an activation in its kernel."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import numpy as np

from .graph import Step
from .node import Array, Node

_ACTIVATIONS = {"Relu": "relu", "Sigmoid": "sigmoid"}


def fuse(steps: list[Step], constants: dict[str, Array], outputs: Iterable[str]) -> list[Step]:
    """The steps without those that a Conv before them now computes; changes nodes and constants.

    A node goes into the convolution where it alone uses the convolution's result.
    """
    kept: list[Step | None] = list(steps)
    uses = Counter(name for step in steps for name in step.node.inputs)
    uses.update(outputs)
    users = {name: i for i, step in enumerate(steps) for name in step.node.inputs}
    for start, step in enumerate(steps):
        node, at = step.node, start
        if node.op != "Conv":
            continue
        while node.activation is None and uses[node.outputs[0]] == 1 and node.outputs[0] in users:
            after = users[node.outputs[0]]
            user = steps[after].node
            if kept[after] is not steps[after]:  # another convolution has taken it over
                break
            if not (
                _fold_batch_norm(node, user, constants, uses)
                or _take_residual(node, user, constants)
                or _take_activation(node, user, constants)
            ):
                break
            node.outputs = user.outputs[:1]
            kept[at], kept[after], at = None, step, after  # runs where the node that it took over ran
    return [step for step in kept if step is not None]


def _fold_batch_norm(conv: Node, user: Node, constants: dict[str, Array], uses: Counter[str]) -> bool:
    """scale (w * x + b - mean) + bias, scale = gamma / sqrt(var + eps): a convolution with scaled weights."""
    own = conv.inputs[1:3]
    statistics = user.inputs[1:5]
    foldable = (
        user.op == "BatchNormalization"
        and len(conv.inputs) <= 3
        and all(name in constants and uses[name] == 1 for name in own if name)
        and all(name in constants for name in statistics)
    )
    if not foldable:
        return False
    gamma, beta, mean, var = (constants[name].astype(np.float64) for name in statistics)
    scale = gamma / np.sqrt(var + float(user.attributes.get("epsilon", 1e-5)))
    weight = constants[own[0]]
    before = constants[own[1]].astype(np.float64) if len(own) == 2 and own[1] else np.zeros_like(mean)
    bias = own[1] if len(own) == 2 and own[1] else statistics[1] if uses[statistics[1]] == 1 else f"{own[0]}.bias"
    constants[own[0]] = (weight * scale.reshape(-1, *[1] * (weight.ndim - 1))).astype(weight.dtype)
    constants[bias] = (beta + (before - mean) * scale).astype(weight.dtype)
    conv.inputs = [conv.inputs[0], own[0], bias]
    return True


def _take_residual(conv: Node, user: Node, constants: dict[str, Array]) -> bool:
    """A sum of the convolution and one other array: the kernel adds it."""
    two_dimensions = conv.inputs[1] in constants and constants[conv.inputs[1]].ndim == 4
    if user.op not in ("Add", "Sum") or len(user.inputs) != 2 or user.attributes or not two_dimensions:
        return False
    other = user.inputs[1] if user.inputs[0] == conv.outputs[0] else user.inputs[0]
    if len(conv.inputs) > 3 or other in constants:
        return False
    conv.inputs = [*conv.inputs, *[""] * (3 - len(conv.inputs)), other]
    return True


def _take_activation(conv: Node, user: Node, constants: dict[str, Array]) -> bool:
    conv.activation = "relu6" if user.op == "Clip" and _limits(user, constants) == [0, 6] else _ACTIVATIONS.get(user.op)
    return conv.activation is not None


def _limits(clip: Node, constants: dict[str, Array]) -> list[float]:
    """Both limits of a Clip, where they are constant: inputs since opset 11, attributes before."""
    if clip.opset < 11:
        given = [clip.attributes.get("min"), clip.attributes.get("max")]
    else:
        given = [constants.get(name) for name in clip.inputs[1:]]
    return [float(limit) for limit in given if limit is not None]

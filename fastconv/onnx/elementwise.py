"""Functions of single elements: activations, arithmetic with broadcasting, comparisons."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import reduce
from typing import Any

import numpy as np

from .. import ops
from .node import Array, Function, Node, Operator


def _plain(function: Callable[[Array], Array]) -> Operator:
    """An operator without attributes that has a function of its own."""

    def make(node: Node) -> Function:
        node.ignore("consumed_inputs")
        return function

    return make


def _formula(function: Callable[..., Array], **defaults: float) -> Operator:
    """An operator whose attributes are the function's keyword arguments."""

    def make(node: Node) -> Function:
        node.ignore("consumed_inputs")
        values = {name: node.number(name, default) for name, default in defaults.items()}

        def run(x: Array) -> Array:
            wide = x if x.dtype.kind in "iub" else x.astype(np.promote_types(x.dtype, np.float32), copy=False)
            return function(wide, **values).astype(x.dtype, copy=False)

        return run

    return make


def _elu(x: Array, alpha: float) -> Array:
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))


def _selu(x: Array, alpha: float, gamma: float) -> Array:
    return gamma * _elu(x, alpha)


def _celu(x: Array, alpha: float) -> Array:
    return _elu(x / alpha, 1.0) * alpha


def _hard_sigmoid(x: Array, alpha: float, beta: float) -> Array:
    return np.clip(alpha * x + beta, 0, 1)


def _hard_swish(x: Array) -> Array:
    return x * _hard_sigmoid(x, 1 / 6, 0.5)


def _softplus(x: Array) -> Array:
    return np.logaddexp(x, 0)


def _mish(x: Array) -> Array:
    return x * np.tanh(_softplus(x))


def _thresholded_relu(x: Array, alpha: float) -> Array:
    return np.where(x > alpha, x, 0)


def _leaky_relu(node: Node) -> Function:
    node.ignore("consumed_inputs")
    slope = node.number("alpha", 0.01)
    return lambda x: ops.leaky_relu(x, slope)


def _prelu(node: Node) -> Function:
    """Slopes per channel, or whatever broadcasts. Before opset 7 one dimension was channels."""

    def run(x: Array, slope: Array) -> Array:
        if node.opset < 7 and slope.ndim == 1 and slope.shape[0] > 1:
            slope = slope.reshape(-1, *[1] * (x.ndim - 2))
        return np.where(x < 0, x * slope, x)

    return run


def _clip(node: Node) -> Function:
    """Limits are inputs since opset 11, attributes before. A maximum below the minimum wins."""
    node.ignore("consumed_inputs")
    fixed = node.take("min"), node.take("max")

    def run(x: Array, low: Any = None, high: Any = None) -> Array:
        if node.opset < 11:
            low, high = fixed
        y = x if low is None else np.maximum(x, x.dtype.type(low))
        return y if high is None else np.minimum(y, x.dtype.type(high))

    return run


def _binary(function: Callable[[Array, Array], Array]) -> Operator:
    """Two operands with NumPy's broadcasting; before opset 7 the second one's axes start at `axis` of the first."""

    def make(node: Node) -> Function:
        node.ignore("broadcast", "consumed_inputs")
        axis = node.take("axis")

        def run(a: Array, b: Array) -> Array:
            if axis is not None and b.ndim > 0:
                b = b.reshape(*b.shape, *[1] * (a.ndim - axis % a.ndim - b.ndim))
            return function(a, b)

        return run

    return make


def _divide(a: Array, b: Array) -> Array:
    """Integers are divided towards zero."""
    if a.dtype.kind in "iu":
        return np.asarray(np.trunc(np.true_divide(a, b))).astype(a.dtype)
    quotient: Array = a / b
    return quotient


def _power(a: Array, b: Array) -> Array:
    return np.power(a, b).astype(a.dtype, copy=False)


def _variadic(function: Callable[[Array, Array], Array]) -> Operator:
    def make(node: Node) -> Function:
        node.ignore("consumed_inputs")
        return lambda *operands: reduce(function, operands)

    return make


def _mean(node: Node) -> Function:
    return lambda *operands: reduce(np.add, operands) / operands[0].dtype.type(len(operands))


def _erf(x: Array) -> Array:
    """The error function, within 1.5e-7: Abramowitz and Stegun, Handbook of Mathematical Functions, 7.1.26."""
    size = np.abs(x)
    t = 1 / (1 + 0.3275911 * size)
    series = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))))
    y: Array = np.copysign(1 - series * np.exp(-size * size), x)
    return y


def _gelu_by_erf(x: Array) -> Array:
    y: Array = 0.5 * x * (1 + _erf(x * x.dtype.type(math.sqrt(0.5))))
    return y


def _gelu_by_tanh(x: Array) -> Array:
    y: Array = 0.5 * x * (1 + np.tanh(x.dtype.type(math.sqrt(2 / math.pi)) * (x + 0.044715 * x**3)))
    return y


def _gelu(node: Node) -> Function:
    """x times the normal distribution, or the approximation by tanh (Hendrycks and Gimpel, 2016)."""
    approximate = node.text("approximate", "none")
    if approximate not in ("none", "tanh"):
        raise node.refuse(f"attribute approximate = {approximate!r} is not supported")
    return _formula(_gelu_by_tanh if approximate == "tanh" else _gelu_by_erf)(node)


def _where(node: Node) -> Function:
    return np.where


OPERATORS: dict[str, Operator] = {
    "Relu": _plain(ops.relu),
    "Sigmoid": _plain(ops.sigmoid),
    "Tanh": _plain(ops.tanh),
    "Abs": _plain(np.abs),
    "Neg": _plain(np.negative),
    "Not": _plain(np.logical_not),
    "Ceil": _plain(np.ceil),
    "Floor": _plain(np.floor),
    "Round": _plain(np.rint),
    "Sign": _plain(np.sign),
    "Sqrt": _formula(np.sqrt),
    "Exp": _formula(np.exp),
    "Log": _formula(np.log),
    "Reciprocal": _formula(np.reciprocal),
    "Elu": _formula(_elu, alpha=1.0),
    "Selu": _formula(_selu, alpha=1.67326319217681884765625, gamma=1.05070102214813232421875),
    "Celu": _formula(_celu, alpha=1.0),
    "HardSigmoid": _formula(_hard_sigmoid, alpha=0.2, beta=0.5),
    "HardSwish": _formula(_hard_swish),
    "Softplus": _formula(_softplus),
    "Softsign": _formula(lambda x: x / (1 + np.abs(x))),
    "Mish": _formula(_mish),
    "Erf": _formula(_erf),
    "ThresholdedRelu": _formula(_thresholded_relu, alpha=1.0),
    "Gelu": _gelu,
    "LeakyRelu": _leaky_relu,
    "PRelu": _prelu,
    "Clip": _clip,
    "Add": _binary(np.add),
    "Sub": _binary(np.subtract),
    "Mul": _binary(np.multiply),
    "Div": _binary(_divide),
    "Pow": _binary(_power),
    "Equal": _binary(np.equal),
    "Greater": _binary(np.greater),
    "Less": _binary(np.less),
    "And": _binary(np.logical_and),
    "Or": _binary(np.logical_or),
    "Sum": _variadic(np.add),
    "Max": _variadic(np.maximum),
    "Min": _variadic(np.minimum),
    "Mean": _mean,
    "Where": _where,
}

"""What contenders are given: one computation and its operands, the exact result, and our ways to compute it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import ops
from ..backends import registry
from ..errors import AlgorithmError
from ..nn.module import numpy_dtype
from ..ops._arrays import empty_nhwc
from ..problem import ConvProblem, LinearProblem

Array = NDArray[Any]
Call = Callable[[], Any]

# Direction of a convolution: the operation of ours that computes it.
DIRECTIONS = {
    "forward": "conv2d",
    "input_grad": "conv2d_input_grad",
    "weight_grad": "conv2d_weight_grad",
}
_OTHER = {"linear": "conv2d", **dict.fromkeys(DIRECTIONS.values(), "linear")}


@dataclass(frozen=True)
class Work:
    """A convolution with bias and ReLU, one of its two gradients (without them), or a plain linear product.

    Images (x and grad) are channels-last, weights contiguous (K, C/groups, R, S); what a direction does not read is
    None.
    """

    problem: ConvProblem | LinearProblem
    direction: str
    x: Array | None
    weight: Array | None
    bias: Array | None = None
    grad: Array | None = None

    @property
    def op(self) -> str:
        """The operation of ours that computes it."""
        return "linear" if isinstance(self.problem, LinearProblem) else DIRECTIONS[self.direction]


def random_work(problem: ConvProblem | LinearProblem, direction: str = "forward", seed: int = 0) -> Work:
    """Normal images and bias, weights scaled by 1/sqrt(fan-in), in the problem's dtype.

    Raises AlgorithmError for an unknown direction, or a gradient of a linear layer.
    """
    linear = isinstance(problem, LinearProblem)
    if direction not in DIRECTIONS or (linear and direction != "forward"):
        expected = "forward" if linear else ", ".join(DIRECTIONS)
        raise AlgorithmError(f"direction: expected {'' if linear else 'one of '}{expected}, got {direction!r}")
    generator = np.random.default_rng(seed)
    dtype = numpy_dtype(problem.dtype)

    def normal(*shape: int) -> Array:
        values: Array = generator.standard_normal(shape, dtype=np.float32)
        return values

    def weights(*shape: int) -> Array:
        values = normal(*shape)
        values /= np.sqrt(np.float32(max(values[0].size, 1)))
        return values.astype(dtype)

    if isinstance(problem, LinearProblem):
        return Work(problem, direction, normal(problem.m, problem.k).astype(dtype), weights(problem.n, problem.k))
    x = weight = bias = grad = None
    if direction != "input_grad":
        x = ops.channels_last(normal(*problem.x_shape).astype(dtype))
    if direction != "weight_grad":
        weight = weights(*problem.weight_shape)
    if direction == "forward":
        bias = normal(problem.k).astype(dtype)
    else:
        grad = ops.channels_last(normal(*problem.y_shape).astype(dtype))
    return Work(problem, direction, x, weight, bias, grad)


def call_of(work: Work, algo: str | None = None) -> Call:
    """Our operation on these operands: weights packed once, a forward result written to one array."""
    problem = work.problem
    if isinstance(problem, LinearProblem):
        return partial(ops.linear, work.x, work.weight, algo=algo)
    geometry = (problem.stride, problem.padding, problem.dilation, problem.groups)
    if work.direction == "weight_grad":
        return partial(ops.conv2d_weight_grad, work.grad, work.x, problem.weight_shape, *geometry, algo=algo)
    weight = ops.prepare_weight(work.weight)
    if work.direction == "input_grad":
        return partial(ops.conv2d_input_grad, work.grad, weight, problem.x_shape, *geometry, algo=algo)
    assert work.x is not None
    out = empty_nhwc(work.x, problem.y_shape).transpose(0, 3, 1, 2)
    return partial(ops.conv2d, work.x, weight, work.bias, *geometry, activation="relu", algo=algo, out=out)


def contenders(work: Work, algo: str | Sequence[str] | None) -> dict[str, tuple[Call, bool]]:
    """{algorithm: (function to time, whether it is the registry's choice)} for `algo`, for several, or for "all".

    A convolution's algorithm leaves linear layers to the registry, and the other way round.
    """
    op, problem = work.op, work.problem
    choice = registry.choose(op, "cpu", problem).kernel.algo
    if algo is not None and not isinstance(algo, str):
        return {name: (call_of(work, name), name == choice) for name in algo}
    own, other = ({k.algo for k in registry.kernels(name, "cpu")} for name in (op, _OTHER[op]))
    names = [k.algo for k in registry.kernels(op, "cpu") if k.refusal(problem) is None]
    if algo is None or (algo != "all" and algo not in own and algo in other):
        names = [choice]
    elif algo != "all":
        names = [registry.choose(op, "cpu", problem, algo).kernel.algo]
    return {name: (call_of(work, name), name == choice) for name in names}


def float64_result(work: Work) -> Array:
    """The same operands in float64, by kernels that the tests hold equal to the seven-loop reference."""

    def wide(array: Array | None) -> Array | None:
        return None if array is None else array.astype(np.float64)

    operands = (wide(array) for array in (work.x, work.weight, work.bias, work.grad))
    result: Array = call_of(Work(work.problem, work.direction, *operands))()
    return result


def relative_error(y: Array, exact: Array) -> float:
    """max |y - exact| / max |exact|."""
    scale = float(np.abs(exact).max(initial=0.0)) or 1.0
    return float(np.abs(y.astype(np.float64) - exact).max(initial=0.0)) / scale

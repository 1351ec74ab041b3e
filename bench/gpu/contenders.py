"""Ours and cuDNN's on one layer: operands made once, seen by both without a copy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cupy
import torch

import fastconv as fc
from fastconv.backends import registry
from fastconv.problem import ConvProblem

_MOST_IMAGES = 32  # that a result is compared on: the first and the last half of them
_OPS = {"fprop": "conv2d", "dgrad": "conv2d_input_grad", "wgrad": "conv2d_weight_grad"}


def _padding(problem: ConvProblem) -> tuple[int, int]:
    (top, bottom), (left, right) = problem.padding
    if top != bottom or left != right:
        raise ValueError(f"{problem}: torch pads both sides alike, got {problem.padding}")
    return top, left


class Operands:
    """Random operands, channels-last: torch tensors of logical NCHW shape, and CuPy views of the same memory."""

    def __init__(self, problem: ConvProblem, dtype: str) -> None:
        d, kind = problem, getattr(torch, dtype.replace("tf32", "float32"))
        generator = torch.Generator("cuda").manual_seed(1)

        def normal(*shape: int, scale: float = 1.0) -> torch.Tensor:
            return (torch.randn(*shape, generator=generator, device="cuda") * scale).to(kind)

        group_c = d.c // d.groups
        x = normal(d.n, d.h, d.w, d.c)
        weight = normal(d.k, d.r, d.s, group_c, scale=(d.r * d.s * group_c) ** -0.5)
        y = torch.empty(d.n, d.p, d.q, d.k, dtype=kind, device="cuda")
        self.bias = normal(d.k)
        bias32 = self.bias.float()  # ours takes float32; given that, nothing is converted in a call
        self._keep: tuple[torch.Tensor, ...] = (x, weight, y, bias32)
        self.x, self.weight, self.y = (t.permute(0, 3, 1, 2) for t in (x, weight, y))
        self.ours_x, self.ours_weight, self.ours_y = (cupy.from_dlpack(t).transpose(0, 3, 1, 2) for t in (x, weight, y))
        self.ours_bias = cupy.from_dlpack(bias32)
        self._normal = normal

    def add_gradient(self, problem: ConvProblem) -> None:
        """`grad` and `ours_grad`, of the result's shape."""
        grad = self._normal(problem.n, problem.p, problem.q, problem.k)
        self._keep += (grad,)
        self.grad, self.ours_grad = grad.permute(0, 3, 1, 2), cupy.from_dlpack(grad).transpose(0, 3, 1, 2)


def relative_error(y: torch.Tensor, reference: torch.Tensor) -> tuple[float, float]:
    """(||y - reference|| / ||reference||, cosine) in float64 sums; anything not finite gives NaN."""
    a, b = y.float(), reference.float()
    difference = (a - b).double().norm()
    scale = b.double().norm()
    cosine = (a.double() * b.double()).sum() / (a.double().norm() * scale)
    return float(difference / scale), float(cosine)


class Call:
    """A contender: a function that enqueues a call and returns its result as a torch tensor or a CuPy array."""

    def __init__(
        self,
        kind: str,
        function: Callable[[], Any],
        expected: Callable[[], list[tuple[Any, torch.Tensor]]],
        poison: Callable[[], None] = lambda: None,
        chosen: bool = False,
        fused: bool = True,
    ) -> None:
        self.kind, self.chosen, self.fused = kind, chosen, fused
        self._function, self._expected, self._poison = function, expected, poison

    def run(self) -> None:
        """Enqueues one call."""
        self._function()

    def error(self) -> tuple[float, float]:
        """(relative error, cosine): the worst over what is compared."""
        self._poison()
        result = self._function()
        torch.cuda.synchronize()
        y = result if isinstance(result, torch.Tensor) else torch.from_dlpack(result)
        if not bool(torch.isfinite(y).all()):
            return float("nan"), float("nan")
        found = [relative_error(y[part], reference) for part, reference in self._expected()]
        return max(error for error, _ in found), min(cosine for _, cosine in found)


def make(arguments: dict[str, Any]) -> tuple[dict[str, Call], dict[str, Any]]:
    """The contenders of a unit, and facts about its layer."""
    dtype, direction = arguments["dtype"], arguments["direction"]
    problem = ConvProblem.parse(arguments["problem"], dtype.replace("tf32", "float32"))
    set_precision(dtype)
    operands = Operands(problem, dtype)
    op, tf32 = _OPS[direction], dtype == "tf32"
    rows = registry.kernels(op, "cuda")
    refusals = {row.algo: row.refusal(problem) for row in rows}
    choice = registry.choose(op, "cuda", problem).kernel.algo
    if tf32:
        algos = [algo for algo in refusals if "tf32" in algo and refusals[algo] is None]
    elif arguments["algos"] == "all":
        algos = [algo for algo, refusal in refusals.items() if refusal is None and "tf32" not in algo]
    else:
        algos = [choice]
    made = _forward(problem, operands, algos) if direction == "fprop" else _gradient(problem, operands, algos, op)
    for name, call in made.items():
        call.chosen = name == choice or (tf32 and name in algos)
    facts = {
        "flops": problem.flops,
        "min_bytes": problem.min_bytes,
        "refusals": {algo: refusal for algo, refusal in refusals.items() if refusal},
    }
    return made, facts


def set_precision(dtype: str) -> None:
    """Whether PyTorch may use TF32 for float32."""
    torch.backends.cudnn.allow_tf32 = dtype == "tf32"
    torch.backends.cuda.matmul.allow_tf32 = dtype == "tf32"


def _reference(run: Callable[[], torch.Tensor]) -> torch.Tensor:
    """A float32 result: no TF32, no search for the fastest algorithm."""
    before = torch.backends.cudnn.benchmark, torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.benchmark, torch.backends.cudnn.allow_tf32 = False, False
    try:
        with torch.inference_mode():
            return run()
    finally:
        torch.backends.cudnn.benchmark, torch.backends.cudnn.allow_tf32 = before


def _forward(problem: ConvProblem, operands: Operands, algos: list[str]) -> dict[str, Call]:
    d, o = problem, operands
    padding, functional = _padding(d), torch.nn.functional
    half = _MOST_IMAGES // 2
    parts = [slice(None)] if d.n <= _MOST_IMAGES else [slice(0, half), slice(d.n - half, None)]
    found: dict[bool, list[tuple[Any, torch.Tensor]]] = {}

    def expected(fused: bool) -> list[tuple[Any, torch.Tensor]]:
        if not found:  # made when first asked for
            for part in parts:
                plain = _reference(
                    lambda part=part: functional.conv2d(
                        o.x[part].float(), o.weight.float(), None, d.stride, padding, d.dilation, d.groups
                    )
                )
                bias = o.bias.float().reshape(1, -1, 1, 1)
                found.setdefault(False, []).append((part, plain))
                found.setdefault(True, []).append((part, torch.relu(plain + bias)))
        return found[fused]

    weight = fc.ops.prepare_weight(o.ours_weight)
    shape = (d.stride, d.padding, d.dilation, d.groups)
    made = {}
    for algo in algos:

        def ours(algo: str = algo) -> Any:
            return fc.ops.conv2d(o.ours_x, weight, o.ours_bias, *shape, activation="relu", algo=algo, out=o.ours_y)

        made[algo] = Call("ours", ours, lambda: expected(True), lambda: o.y.fill_(float("nan")))

    def without_gradient(run: Callable[[], Any]) -> Callable[[], Any]:
        def call() -> Any:
            with torch.inference_mode():
                return run()

        return call

    torch_shape = (d.stride, padding, d.dilation, d.groups)
    made["cudnn conv"] = Call(
        "cudnn",
        without_gradient(lambda: functional.conv2d(o.x, o.weight, None, *torch_shape)),
        lambda: expected(False),
        fused=False,
    )
    made["cudnn conv+bias+relu_"] = Call(
        "cudnn",
        without_gradient(lambda: functional.conv2d(o.x, o.weight, o.bias, *torch_shape).relu_()),
        lambda: expected(True),
    )
    made["cudnn_convolution_relu"] = Call(
        "cudnn",
        without_gradient(lambda: torch.cudnn_convolution_relu(o.x, o.weight, o.bias, *torch_shape)),
        lambda: expected(True),
    )
    return made


def _gradient(problem: ConvProblem, operands: Operands, algos: list[str], op: str) -> dict[str, Call]:
    d, o = problem, operands
    o.add_gradient(d)
    padding = _padding(d)
    of_input = op == "conv2d_input_grad"
    mask = [of_input, not of_input, False]

    def backward(grad: torch.Tensor, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        found = torch.ops.aten.convolution_backward(
            *(grad, x, weight, None, list(d.stride), list(padding), list(d.dilation), False, [0, 0], d.groups, mask)
        )
        return found[0 if of_input else 1]

    def expected() -> list[tuple[Any, torch.Tensor]]:
        if not found:
            found.append((slice(None), _reference(lambda: backward(o.grad.float(), o.x.float(), o.weight.float()))))
        return found

    found: list[tuple[Any, torch.Tensor]] = []
    weight, shape = fc.ops.prepare_weight(o.ours_weight), (d.stride, d.padding, d.dilation, d.groups)
    made = {}
    for algo in algos:

        def ours(algo: str = algo) -> Any:
            if of_input:
                return fc.ops.conv2d_input_grad(o.ours_grad, weight, d.x_shape, *shape, algo=algo)
            return fc.ops.conv2d_weight_grad(o.ours_grad, o.ours_x, d.weight_shape, *shape, algo=algo)

        made[algo] = Call("ours", ours, expected)

    def cudnn() -> Any:
        with torch.inference_mode():
            return backward(o.grad, o.x, o.weight)

    made["cudnn"] = Call("cudnn", cudnn, expected)
    return made

"""PyTorch: eager in both memory formats, with the weight in oneDNN's own layout, compiled; and its gradients.

Eager hands oneDNN a plain weight, which is reordered in every call. What a frozen, compiled network runs instead is
`mkldnn::_convolution_pointwise` with bias and ReLU fused, on a weight that `mkldnn_reorder_conv2d_weight` has
reordered once for the input's shape (torch/_inductor/fx_passes/mkldnn_fusion.py, pack_conv_weight): "torch
prepacked" calls just that, without the second that compiling takes. PyTorch allocates each result; it has no way
to be given one.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np

from ...backends import cpu
from ...errors import DTypeError
from ...problem import ConvProblem, LinearProblem
from ..work import Array, Call, Work


def _torch() -> Any:
    torch = importlib.import_module("torch")
    torch.set_num_threads(cpu.num_threads())
    return torch


def _tensor(torch: Any, work: Work, array: Array | None) -> Any:
    """A contiguous tensor of the problem's dtype; bfloat16 goes through float32, which NumPy has."""
    if array is None:
        return None
    if work.problem.dtype == "bfloat16":
        array = array.astype(np.float32)
    return torch.from_numpy(np.ascontiguousarray(array)).to(getattr(torch, work.problem.dtype))


def _without_gradients(torch: Any, function: Callable[..., Any], *operands: Any) -> Call:
    def call() -> Any:
        with torch.inference_mode():
            return function(*operands)

    return call


class _Padding:
    """Padding as PyTorch's convolutions take it: the same on opposite sides, or made before them."""

    def __init__(self, torch: Any, problem: ConvProblem) -> None:
        (self.top, bottom), (self.left, right) = problem.padding
        self.symmetric = self.top == bottom and self.left == right
        self.inside = [self.top, self.left] if self.symmetric else [0, 0]
        self._sides = (self.left, right, self.top, bottom)
        self._pad = torch.nn.functional.pad

    def before(self, x: Any) -> Any:
        """The input that the convolution is given."""
        return x if self.symmetric else self._pad(x, self._sides)

    def cut(self, dx: Any, problem: ConvProblem) -> Any:
        """The input's gradient without that of the zeros around it."""
        if self.symmetric:
            return dx
        return dx[:, :, self.top : self.top + problem.h, self.left : self.left + problem.w]


def calls(work: Work) -> dict[str, Call]:
    """Every mode but the compiled one."""
    torch = _torch()
    if isinstance(work.problem, LinearProblem):
        operands = (_tensor(torch, work, work.x), _tensor(torch, work, work.weight))
        return {"torch": _without_gradients(torch, torch.nn.functional.linear, *operands)}
    if work.direction != "forward":
        return {
            "torch channels-last": _gradient(torch, work, torch.channels_last),
            "torch contiguous": _gradient(torch, work, torch.contiguous_format),
        }
    made = {
        "torch channels-last": _eager(torch, work, torch.channels_last),
        "torch contiguous": _eager(torch, work, torch.contiguous_format),
    }
    if work.problem.dtype == "float32" and torch.backends.mkldnn.is_available():
        made["torch prepacked"] = _prepacked(torch, work)
    return made


def _function(torch: Any, problem: ConvProblem) -> Callable[[Any, Any, Any], Any]:
    """relu(conv2d(x, weight, bias)) as one writes it."""
    padding, conv2d = _Padding(torch, problem), torch.nn.functional.conv2d

    def function(x: Any, weight: Any, bias: Any) -> Any:
        x = padding.before(x)
        return conv2d(x, weight, bias, problem.stride, padding.inside, problem.dilation, problem.groups).relu_()

    return function


def _operands(torch: Any, work: Work, memory_format: Any) -> tuple[Any, Any, Any]:
    x, weight, bias = (_tensor(torch, work, array) for array in (work.x, work.weight, work.bias))
    return x.contiguous(memory_format=memory_format), weight.contiguous(memory_format=memory_format), bias


def _eager(torch: Any, work: Work, memory_format: Any) -> Call:
    assert isinstance(work.problem, ConvProblem)
    return _without_gradients(torch, _function(torch, work.problem), *_operands(torch, work, memory_format))


def _prepacked(torch: Any, work: Work) -> Call:
    problem = work.problem
    assert isinstance(problem, ConvProblem)
    padding, convolution = _Padding(torch, problem), torch.ops.mkldnn._convolution_pointwise
    x, weight, bias = _operands(torch, work, torch.channels_last)
    stride, dilation = list(problem.stride), list(problem.dilation)
    packed = torch.ops.mkldnn._reorder_convolution_weight(
        weight, padding.inside, stride, dilation, problem.groups, list(padding.before(x).shape)
    )

    def function(x: Any, bias: Any) -> Any:
        x = padding.before(x)
        return convolution(x, packed, bias, padding.inside, stride, dilation, problem.groups, "relu", [], "")

    return _without_gradients(torch, function, x, bias)


def _gradient(torch: Any, work: Work, memory_format: Any) -> Call:
    problem = work.problem
    assert isinstance(problem, ConvProblem)
    padding, backward = _Padding(torch, problem), torch.ops.aten.convolution_backward
    geometry = (list(problem.stride), padding.inside, list(problem.dilation), False, [0, 0], problem.groups)
    # What is not read gives its shape only.
    x, weight, grad = (
        (torch.zeros(shape) if array is None else _tensor(torch, work, array)).contiguous(memory_format=memory_format)
        for array, shape in ((work.x, problem.x_shape), (work.weight, problem.weight_shape), (work.grad, ()))
    )
    x = x.to(grad.dtype)
    weight = weight.to(grad.dtype)
    if work.direction == "weight_grad":

        def weight_grad(grad: Any, x: Any, weight: Any) -> Any:
            return backward(grad, padding.before(x), weight, None, *geometry, [False, True, False])[1]

        return _without_gradients(torch, weight_grad, grad, x, weight)

    def input_grad(grad: Any, x: Any, weight: Any) -> Any:
        return padding.cut(backward(grad, x, weight, None, *geometry, [True, False, False])[0], problem)

    return _without_gradients(torch, input_grad, grad, padding.before(x), weight)


def inductor_calls(work: Work) -> dict[str, Call]:
    """`torch.compile` with the weights frozen, channels-last; compiling takes seconds, in the first call."""
    if isinstance(work.problem, LinearProblem) or work.direction != "forward":
        return {}
    if work.problem.dtype not in ("float32", "bfloat16"):
        raise DTypeError(f"peer inductor: expected float32 or bfloat16, got {work.problem.dtype}")
    torch = _torch()
    function = _function(torch, work.problem)
    x, weight, bias = _operands(torch, work, torch.channels_last)

    class Frozen(torch.nn.Module):  # type: ignore[misc, name-defined]  # torch is imported here, not at the top: no types
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(weight, requires_grad=False)
            self.bias = torch.nn.Parameter(bias, requires_grad=False)

        def forward(self, x: Any) -> Any:
            return function(x, self.weight, self.bias)

    config = importlib.import_module("torch._inductor.config")
    importlib.import_module("torch._dynamo").reset()  # else the many layers count as recompilations of one
    compiled = torch.compile(Frozen().eval(), dynamic=False)
    with config.patch(freezing=True), torch.no_grad():
        compiled(x)

    def call() -> Any:
        with torch.no_grad():
            return compiled(x)

    return {"torch inductor": call}

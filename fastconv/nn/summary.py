"""What a network is made of: each layer's problem, output shape, parameters and multiply-adds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..ops.conv import conv_problem
from ..problem import ConvProblem, LinearProblem
from .conv import Conv2d, ConvTranspose2d
from .linear import Linear
from .module import Module


@dataclass(frozen=True)
class LayerRow:
    """One layer as it ran. `problem` is None where it is neither a convolution nor linear."""

    name: str
    kind: str
    output_shape: tuple[int, ...]
    parameters: int
    problem: ConvProblem | LinearProblem | None
    macs: int


@dataclass(frozen=True)
class Summary:
    """All layers of a network for one input shape; printable."""

    model: str
    input_shape: tuple[int, ...]
    rows: tuple[LayerRow, ...]
    parameters: int

    @property
    def macs(self) -> int:
        return sum(row.macs for row in self.rows)

    def __str__(self) -> str:
        header = ("layer", "kind", "output", "parameters", "MACs")
        body = [
            (r.name, r.kind, "x".join(map(str, r.output_shape)), f"{r.parameters:,}", f"{r.macs:,}") for r in self.rows
        ]
        total = ("total", self.model, "", f"{self.parameters:,}", f"{self.macs:,}")
        widths = [max(len(line[i]) for line in [header, *body, total]) for i in range(5)]

        def text(line: tuple[str, ...]) -> str:
            left = "  ".join(cell.ljust(width) for cell, width in zip(line[:3], widths[:3], strict=True))
            right = "  ".join(cell.rjust(width) for cell, width in zip(line[3:], widths[3:], strict=True))
            return f"{left}  {right}"

        rule = "-" * len(text(header))
        return "\n".join([text(header), rule, *map(text, body), rule, text(total)])


def layer_problem(module: Module, x: Any) -> ConvProblem | LinearProblem | None:
    """The problem that a Conv2d or Linear solves for this input; None for other layers."""
    if isinstance(module, Conv2d):
        shape = x.shape if x.ndim == 4 else (1, *x.shape)
        weight = module.weight
        return conv_problem(
            shape, weight.shape, module.stride, module.padding, module.dilation, module.groups, weight.dtype.name
        )
    if isinstance(module, Linear):
        m = int(np.prod(x.shape[:-1]))
        return LinearProblem(m, module.out_features, module.in_features, module.weight.dtype.name)
    return None


def layer_macs(module: Module, x: Any) -> int:
    """Multiply-adds of a convolution, of a transposed one (each value meets the weights of its channel) or of a linear
    layer; 0 for others."""
    if isinstance(module, ConvTranspose2d):
        return int(x.size) * (module.weight.size // module.in_channels)
    problem = layer_problem(module, x)
    return 0 if problem is None else problem.macs


def summarize(model: Module, input_shape: tuple[int, ...]) -> Summary:
    """Runs the model once on zeros of this shape, in evaluation mode, and records every leaf layer."""
    rows: list[LayerRow] = []
    removers = []
    modes = [(module, module.training) for _, module in model.named_modules()]

    def recorder(name: str) -> Any:
        def hook(module: Module, x: Any, y: Any) -> None:
            parameters = sum(p.size for p in module._parameters.values() if p is not None)
            problem = layer_problem(module, x)
            rows.append(LayerRow(name, type(module).__name__, np.shape(y), parameters, problem, layer_macs(module, x)))

        return hook

    try:
        for name, module in model.named_modules():
            if not module._modules:
                removers.append(module.register_forward_hook(recorder(name)))
        model.eval()
        dtype = next((p.dtype for p in model.parameters()), np.dtype(np.float32))
        model(np.zeros(input_shape, dtype))
    finally:
        for remove in removers:
            remove()
        for module, training in modes:
            module.training = training
    return Summary(type(model).__name__, tuple(input_shape), tuple(rows), model.parameter_count())

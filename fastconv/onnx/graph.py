"""A graph of nodes as a module: constants are its parameters, a call runs the nodes in order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import FastconvError, ShapeError
from ..nn.module import Module, Parameter
from ..problem import ITEM_SIZE
from .node import Array, Function, Node

# What NumPy raises where shapes do not go together or an axis does not exist.
_NUMPY_ERRORS = (ValueError, IndexError, TypeError)


@dataclass(frozen=True)
class Step:
    """A node and its function."""

    node: Node
    function: Function


class Graph(Module):
    """A network from an ONNX file. Floating-point constants are parameters (running statistics: buffers) under the names
    that they have in the file.

    Call it with one array, or with a tuple or dict of them where the graph has several inputs; it returns an array, or a
    tuple where the graph has several outputs. It computes inference, on whatever device its parameters are.
    """

    def __init__(
        self,
        steps: Sequence[Step],
        constants: Mapping[str, Array],
        inputs: Sequence[str],
        outputs: Sequence[str],
        name: str = "",
    ) -> None:
        super().__init__()
        self.name, self.inputs, self.outputs = name, list(inputs), list(outputs)
        self._steps = list(steps)
        self._constants: dict[str, Array] = {}
        self._views: dict[str, tuple[int, Array]] = {}
        used = [name for step in steps for name in step.node.inputs] + self.outputs
        statistics = {name for step in steps if step.node.op == "BatchNormalization" for name in step.node.inputs[3:]}
        for name in dict.fromkeys(used):
            if name not in constants:
                continue
            value = constants[name]
            if value.dtype.name not in ITEM_SIZE:
                self._constants[name] = value
            elif name in statistics:
                self._buffers[name] = value
            else:
                self._parameters[name] = Parameter(value)
        self._last_uses = _last_uses(self._steps, self.outputs)

    # Names in files are any text, "training" or "forward" too: none of them becomes an attribute.

    def __setattr__(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)

    def register_buffer(self, name: str, value: Array) -> None:
        """Sets a buffer."""
        self._buffers[name] = value

    @property
    def nodes(self) -> list[Node]:
        """The nodes in the order in which they run: what was computed from constants alone is not among them."""
        return [step.node for step in self._steps]

    def forward(self, x: Any) -> Any:
        values = self._bound(x)
        for step, done in zip(self._steps, self._last_uses, strict=True):
            arguments = [self._value(name, values) for name in step.node.inputs]
            results = run(step, arguments)
            values.update(zip(step.node.outputs, results, strict=False))
            for name in done:
                values.pop(name, None)
        results = tuple(self._value(name, values) for name in self.outputs)
        return results[0] if len(results) == 1 else results

    def _bound(self, x: Any) -> dict[str, Any]:
        if isinstance(x, Mapping):
            values = dict(x)
        else:
            values = dict(zip(self.inputs, x if isinstance(x, (tuple, list)) else (x,), strict=False))
            if isinstance(x, (tuple, list)) and len(x) != len(self.inputs):
                raise ShapeError(f"x: expected {len(self.inputs)} arrays, {', '.join(self.inputs)}, got {len(x)}")
        if set(values) != set(self.inputs):
            raise ShapeError(f"x: expected arrays for {', '.join(self.inputs)}, got {', '.join(map(str, values))}")
        return {name: value if hasattr(value, "dtype") else np.asarray(value) for name, value in values.items()}

    def _value(self, name: str, values: Mapping[str, Any]) -> Any:
        if name == "":
            return None
        if name in values:
            return values[name]
        parameter = self._parameters.get(name)
        if parameter is None:
            return self._buffers[name] if name in self._buffers else self._constants[name]
        # What nodes keep of a parameter (see Kept) they keep for as long as they are given the same object.
        version, view = self._views.get(name, (-1, parameter.data))
        if version != parameter.version:
            view = parameter.data[...]
            self._views[name] = parameter.version, view
        return view

    def extra_repr(self) -> str:
        return f"{self.name!r}, {len(self._steps)} nodes, {self.parameter_count():,} parameters"


def run(step: Step, arguments: Iterable[Any]) -> tuple[Any, ...]:
    """The outputs of a node; errors say which node it was."""
    try:
        with np.errstate(all="ignore"):  # a NaN is a result
            result = step.function(*arguments)
    except FastconvError as error:
        error.args = (f"{step.node}: {error}".removeprefix(f"{step.node}: " * 2), *error.args[1:])
        raise
    except _NUMPY_ERRORS as error:
        raise ShapeError(f"{step.node}: {error}") from error
    return result if isinstance(result, tuple) else (result,)


def _last_uses(steps: Sequence[Step], outputs: Sequence[str]) -> list[list[str]]:
    """For each step the names of which nobody after it has need."""
    last: dict[str, int] = {}
    for i, step in enumerate(steps):
        last.update(dict.fromkeys((*step.node.outputs, *step.node.inputs), i))
    done: list[list[str]] = [[] for _ in steps]
    for name, i in last.items():
        if name not in outputs:
            done[i].append(name)
    return done

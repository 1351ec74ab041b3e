"""One node of a graph: its attributes, read by name and type, and errors that say which node they are about."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import FileFormatError, ModelError

Array = NDArray[Any]
Function = Callable[..., Any]
"""What a node does: arrays in (None for an input left out), an array or a tuple of them out."""

Operator = Callable[["Node"], Function]
"""Makes a node's function of its attributes."""


class Node:
    """A node: operator, names of its inputs ("" where one is left out) and outputs, attributes as Python values.

    `activation` and `residual` are what other nodes leave to this one: see fuse.py.
    """

    def __init__(
        self,
        op: str,
        inputs: Sequence[str],
        outputs: Sequence[str],
        attributes: Mapping[str, Any] | None = None,
        opset: int = 0,
        name: str = "",
    ) -> None:
        self.op, self.inputs, self.outputs, self.opset = op, list(inputs), list(outputs), opset
        self.name = name or (self.outputs[0] if self.outputs else "")
        self.attributes = dict(attributes or {})
        self.activation: str | None = None
        self._read: set[str] = set()

    def __str__(self) -> str:
        return f"{self.op} node {self.name!r}"

    def refuse(self, text: str) -> ModelError:
        """The error that this node is not supported, to be raised."""
        return ModelError(f"{self}: {text}")

    # -- attributes ------------------------------------------------------------------------------------------

    def integer(self, name: str, default: int | None = None) -> int:
        """An int; without a default one that must be there."""
        return int(self._typed(name, int, default))

    def number(self, name: str, default: float | None = None) -> float:
        """A float."""
        return float(self._typed(name, (int, float), default))

    def text(self, name: str, default: str | None = None) -> str:
        """A string."""
        return str(self._typed(name, str, default))

    def integers(self, name: str, default: Sequence[int] | None = None) -> list[int] | None:
        """A list of ints, or the default."""
        value = self.take(name)
        if value is None:
            return None if default is None else list(default)
        if not isinstance(value, list) or not all(isinstance(item, int) for item in value):
            raise self.refuse(f"attribute {name}: expected a list of ints, got {value!r:.100}")
        return value

    def take(self, name: str) -> Any:
        """An attribute as it is, None where it is missing."""
        self._read.add(name)
        return self.attributes.get(name)

    def ignore(self, *names: str) -> None:
        """Attributes that mean nothing in inference."""
        self._read.update(names)

    def _typed(self, name: str, kind: Any, default: Any) -> Any:
        value = self.take(name)
        if value is None and default is None:
            raise self.refuse(f"attribute {name} is missing")
        if value is not None and not isinstance(value, kind):
            raise self.refuse(f"attribute {name}: expected {kind}, got {value!r:.100}")
        return default if value is None else value

    def expect_all_read(self) -> None:
        """Raises ModelError where the file sets an attribute that the operator's function does not know."""
        if unknown := sorted(set(self.attributes) - self._read):
            raise self.refuse(f"attribute {unknown[0]} = {self.attributes[unknown[0]]!r:.100} is not supported")

    def expect_outputs(self, most: int) -> None:
        """Raises ModelError where more outputs are asked for than the function gives."""
        if len(used := [name for name in self.outputs[most:] if name]) > 0:
            raise self.refuse(f"output {used[0]!r} is not supported")


class Kept:
    """A function of a parameter whose last result is kept, for as long as the same read-only array comes."""

    def __init__(self, function: Callable[[Array], Any]) -> None:
        self._function = function
        self._source: Array | None = None
        self._result: Any = None

    def __call__(self, array: Array) -> Any:
        if self._source is array:
            return self._result
        result = self._function(array)
        if not getattr(array.flags, "writeable", False):
            self._source, self._result = array, result
        return result


def integer_list(value: Any, node: Node, what: str) -> list[int]:
    """The ints of a small tensor, on the host."""
    array = value.get() if hasattr(value, "get") else np.asarray(value)
    if array.dtype.kind not in "iu" or array.ndim > 1:
        raise FileFormatError(f"{node}: {what}: expected a list of integers, got {array.dtype} of shape {array.shape}")
    return [int(item) for item in array.reshape(-1)]


def input_or_attribute(node: Node, value: Any, name: str) -> list[int] | None:
    """A list of ints that newer opsets take as an input and older ones as an attribute."""
    return integer_list(value, node, name) if value is not None else node.integers(name)

"""From a file to a graph: initializers, nodes, what is constant computed once."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import FileFormatError, ModelError
from . import convolution, dense, elementwise, normalization, pooling, resize, shapes
from .fuse import fuse as fused
from .graph import Graph, Step, run
from .node import Array, Node, Operator

_OPERATORS: dict[str, Operator] = {
    name: operator
    for family in (convolution, pooling, dense, normalization, elementwise, resize, shapes)
    for name, operator in family.OPERATORS.items()
}


def list_operators() -> list[str]:
    """Names of the operators that `load` takes."""
    return sorted(_OPERATORS)


def load(path: str | os.PathLike[str], *, fuse: bool = True) -> Graph:
    """Reads an ONNX file as a module, for inference.

    What depends on constants alone is computed now. Of what is left, floating-point constants are the module's
    parameters, named as in the file. With `fuse`, batch norm goes into the weights of the convolution before it, and
    sums and activations into its kernel.

    Raises ModelError, naming node and attribute, for what is not supported, and where the onnx package is missing;
    FileFormatError for what is not a whole ONNX file.
    """
    source = Path(path)
    if not source.is_file():
        raise FileFormatError(f"model {str(path)!r}: no such file")
    try:
        import onnx
        from google.protobuf.message import DecodeError
    except ImportError:
        raise ModelError("onnx: the onnx package is not installed (pip install 'fastconv[onnx]')") from None
    try:
        model = onnx.load(source)
        return graph_of(model, fuse=fuse, name=source.stem)
    except (DecodeError, OSError, ValueError, TypeError, KeyError, RuntimeError) as error:
        if isinstance(error, (ModelError, FileFormatError)):
            raise
        raise FileFormatError(f"model {str(path)!r}: not a whole ONNX file: {error!s:.200}") from None


def graph_of(model: Any, *, fuse: bool = True, name: str = "") -> Graph:
    """The module of an onnx.ModelProto."""
    from onnx import numpy_helper

    graph = model.graph
    if not graph.output:
        raise FileFormatError("model: no graph with outputs in it")
    if graph.sparse_initializer:
        raise ModelError(f"initializer {graph.sparse_initializer[0].values.name!r}: sparse ones are not supported")
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    inputs = [value.name for value in graph.input if value.name not in constants]
    opset = next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 1)
    outputs = [value.name for value in graph.output]
    steps = _without_constants([_node(proto, opset) for proto in graph.node], constants)
    _expect_connected(steps, constants, inputs, outputs)
    return Graph(fused(steps, constants, outputs) if fuse else steps, constants, inputs, outputs, name or graph.name)


def _node(proto: Any, opset: int) -> Node:
    attributes = {attribute.name: _attribute(attribute) for attribute in proto.attribute}
    node = Node(proto.op_type, proto.input, proto.output, attributes, opset, proto.name)
    if proto.domain not in ("", "ai.onnx"):
        raise node.refuse(f"domain {proto.domain!r} is not supported")
    if node.op not in _OPERATORS:
        raise node.refuse("this operator is not supported; fastconv.onnx.list_operators() names those that are")
    if node.op == "Cast" and isinstance(node.attributes.get("to"), int):
        node.attributes["to"] = _dtype(node)
    return node


def _attribute(proto: Any) -> Any:
    """An attribute as int, float, str, list of them, or array."""
    from onnx import AttributeProto, helper, numpy_helper

    value = helper.get_attribute_value(proto)
    if proto.type == AttributeProto.TENSOR:
        return numpy_helper.to_array(value)
    if isinstance(value, bytes):
        return value.decode()
    return list(value) if proto.type in (AttributeProto.INTS, AttributeProto.FLOATS, AttributeProto.STRINGS) else value


def _dtype(node: Node) -> np.dtype[Any]:
    from onnx import helper

    try:
        return np.dtype(helper.tensor_dtype_to_np_dtype(node.attributes["to"]))
    except (KeyError, TypeError, ValueError):
        raise node.refuse(f"attribute to = {node.attributes['to']} is not supported") from None


def _without_constants(nodes: Sequence[Node], constants: dict[str, Array]) -> list[Step]:
    """The steps that depend on an input; the others are run, and their results added to the constants."""
    steps = []
    for node in nodes:
        step = Step(node, _OPERATORS[node.op](node))
        node.expect_all_read()
        if all(name == "" or name in constants for name in node.inputs):
            results = run(step, [None if name == "" else constants[name] for name in node.inputs])
            constants.update({n: np.asarray(r) for n, r in zip(node.outputs, results, strict=False) if n})
        else:
            steps.append(step)
    return steps


def _expect_connected(
    steps: Sequence[Step], constants: dict[str, Array], inputs: Sequence[str], outputs: Sequence[str]
) -> None:
    """Raises FileFormatError where a node uses what no node before it makes."""
    known = {"", *constants, *inputs}
    for step in steps:
        if missing := [name for name in step.node.inputs if name not in known]:
            raise FileFormatError(f"{step.node}: input {missing[0]!r} comes from nowhere before it")
        known.update(step.node.outputs)
    if missing := [name for name in outputs if name not in known]:
        raise FileFormatError(f"model: output {missing[0]!r} comes from nowhere")

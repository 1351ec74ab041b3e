"""The onnx package's own cases, with the outputs that it stores or generates; its runner's tolerances."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import numpy as np
import pytest

import fastconv as fc
from fastconv.onnx.load import graph_of

onnx = pytest.importorskip("onnx")

DATA = Path(onnx.__file__).parent / "backend" / "test" / "data"


def array_of(value):
    """An array of a TensorProto, or of a file with one."""
    if isinstance(value, Path):
        tensor = onnx.TensorProto()
        tensor.ParseFromString(value.read_bytes())
        value = tensor
    return onnx.numpy_helper.to_array(value) if isinstance(value, onnx.TensorProto) else np.asarray(value)


def expect(results, expected, rtol, atol):
    results = results if isinstance(results, tuple) else (results,)
    for got, wanted in zip(results, expected, strict=True):
        assert (got.shape, got.dtype) == (wanted.shape, wanted.dtype)
        np.testing.assert_allclose(got, wanted, rtol=rtol, atol=atol)


WHOLE = sorted((DATA / "light").glob("*.onnx"))


@pytest.mark.parametrize("fuse", [True, False], ids=["fused", "plain"])
@pytest.mark.parametrize("path", WHOLE, ids=lambda path: path.stem)
def test_whole_networks(path, fuse):
    """Nine classic networks; weights are constant, so these are tests of the graph."""
    model = onnx.load(path)
    net = fc.onnx.load(path, fuse=fuse)
    (shape,) = ([d.dim_value for d in v.type.tensor_type.shape.dim] for v in model.graph.input if v.name in net.inputs)
    count = int(np.prod(shape))
    x = (np.arange(count).reshape(shape) / count).astype(np.float32)
    expect(net(x), [array_of(path.with_name(f"{path.stem}_output_0.pb"))], 1e-3, 1e-7)


CONVERTED = sorted(
    [*(DATA / "pytorch-converted").glob("*/model.onnx"), *(DATA / "pytorch-operator").glob("*/model.onnx")]
)


@pytest.mark.parametrize("path", CONVERTED, ids=lambda path: f"{path.parent.parent.name}-{path.parent.name}")
def test_layers_that_pytorch_exported(path):
    for fuse in (True, False):
        net = fc.onnx.load(path, fuse=fuse)
        for folder in path.parent.glob("test_data_set_*"):
            count = len(list(folder.glob("input_*.pb")))
            inputs = tuple(array_of(folder / f"input_{i}.pb") for i in range(count))
            outputs = [array_of(folder / f"output_{i}.pb") for i in range(len(list(folder.glob("output_*.pb"))))]
            expect(net(inputs), outputs, 1e-3, 1e-7)


def test_there_are_as_many_as_there_should_be():
    assert len(WHOLE) == 9 and len(CONVERTED) == 82 + 35


def node_cases():
    """Cases of single operators (and of functions written out in them) whose operators are all known."""
    from onnx.backend.test.case.node import collect_testcases

    known = set(fc.onnx.list_operators())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cases = collect_testcases(None)
    return [case for case in cases if {node.op_type for node in case.model.graph.node} <= known]


# Cases that are refused, or have no answer here, and why.
REFUSED = {
    "test_cast": r"attribute (to|round_mode) = \S+ is not supported",  # 8 bits and less
    "test_training_dropout": "only inference is supported",
    "test_batchnorm_example_training_mode": "only running statistics",
    "test_batchnorm_epsilon_training_mode": "only running statistics",
    "test_spacetodepth": "attribute mode = '...' is not supported",
    "test_reduce_max_empty": "no identity",
    "test_reduce_min_empty": "no identity",
    "test_resize": "not supported|axes: expected|only height and width|leave 1 to",
}

# What the file's inputs are is not arrays.
NOT_ARRAYS = {"test_identity_sequence", "test_identity_opt"}


def test_single_operators():
    """Every case of an operator that is known passes, unless it is named above."""
    passed, refused = [], []
    for case in node_cases():
        if case.name in NOT_ARRAYS:
            continue
        try:
            for fuse in (True, False):
                net = graph_of(case.model, fuse=fuse)
                names = [value.name for value in case.model.graph.input]
                for inputs, outputs in case.data_sets:
                    results = net(dict(zip(names, map(array_of, inputs), strict=True)))
                    expect(results, list(map(array_of, outputs)), case.rtol, case.atol)
            passed.append(case.name)
        except (fc.ModelError, fc.ShapeError) as error:
            reason = next((text for start, text in REFUSED.items() if case.name.startswith(start)), None)
            assert reason is not None, (case.name, error)
            assert re.search(reason, str(error)), (case.name, error)
            refused.append(case.name)
        except AssertionError as error:
            raise AssertionError(f"{case.name}: {error}") from None
    assert len(passed) >= 600 and len(refused) < 110
    for operator, count in {"conv_": 6, "basic_conv": 2, "convtranspose": 11, "averagepool": 20, "maxpool": 19}.items():
        assert sum(name.startswith(f"test_{operator}") for name in passed) >= count - 2, operator

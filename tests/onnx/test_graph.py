"""Graphs as modules: parameters, fusing, dtypes, several inputs, and errors that name node and attribute."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest

import fastconv as fc
from fastconv.onnx.load import graph_of

onnx = pytest.importorskip("onnx")
helper, numpy_helper = onnx.helper, onnx.numpy_helper

RANDOM = np.random.default_rng(11)


def numbers(*shape):
    return RANDOM.integers(-3, 4, shape).astype(np.float32)


def model_of(nodes, constants, inputs=("x",), outputs=("y",), opset=17):
    """A model of (operator, inputs, outputs, attributes) tuples."""
    protos = [helper.make_node(op, i.split(), o.split(), name=f"{op}_{o}", **a) for op, i, o, a in nodes]
    graph = helper.make_graph(
        protos,
        "net",
        [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in inputs],
        [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])


def block(middle=()):
    """Conv, batch norm, sum with a second branch, ReLU."""
    nodes = [
        ("Conv", "x w b", "c", {"pads": [1, 1, 1, 1]}),
        ("BatchNormalization", "c gamma beta mean var", "n", {"epsilon": 1.0}),
        ("Conv", "x v", "d", {}),
        ("Add", "n d", "s", {}),
        *middle,
        ("Relu", "s", "y", {}),
    ]
    constants = {
        "w": numbers(4, 3, 3, 3), "b": numbers(4), "v": numbers(4, 3, 1, 1), "gamma": np.float32([2, 4, -2, 1]),
        "beta": numbers(4), "mean": numbers(4), "var": np.float32([3, 15, 0, 0]),
    }  # fmt: skip
    return nodes, constants


def by_hand(constants, x):
    c = constants
    y = fc.ops.conv2d(x, c["w"], c["b"], padding=1)
    y = fc.ops.batch_norm(y, c["mean"], c["var"], c["gamma"], c["beta"], eps=1.0)
    return fc.ops.relu(y + fc.ops.conv2d(x, c["v"]))


def test_fusing_changes_nothing_but_the_number_of_nodes(direct_only):
    nodes, constants = block()
    x = numbers(2, 3, 6, 5)
    plain, fused = (graph_of(model_of(nodes, constants), fuse=fuse) for fuse in (False, True))
    assert [n.op for n in plain.nodes] == ["Conv", "BatchNormalization", "Conv", "Add", "Relu"]
    assert [(n.op, n.activation) for n in fused.nodes] == [("Conv", None), ("Conv", "relu")]
    # Small integers and deviations that are powers of two: every sum is exact.
    np.testing.assert_array_equal(plain(x), by_hand(constants, x))
    np.testing.assert_array_equal(fused(x), plain(x))


def test_constants_are_parameters_and_statistics_buffers(tmp_path):
    nodes, constants = block()
    net = graph_of(model_of(nodes, constants), fuse=False)
    assert set(net.state_dict()) == set(constants)
    assert {name for name, _ in net.named_buffers()} == {"mean", "var"}
    x = numbers(1, 3, 4, 4)
    other = {name: value + 1 for name, value in constants.items()}
    before = net(x)
    net.load_state_dict(other)
    assert not np.array_equal(net(x), before)
    np.testing.assert_allclose(net(x), by_hand(other, x), rtol=1e-5, atol=1e-5)
    fc.save(net, tmp_path / "net.safetensors")
    np.testing.assert_array_equal(fc.load(tmp_path / "net.safetensors")["w"], other["w"])


def test_weights_that_change_in_place_are_packed_anew():
    net = graph_of(model_of([("Conv", "x w", "c", {}), ("Flatten", "c", "f", {}), ("Gemm", "f m", "y", {})],
                            {"w": numbers(2, 1, 3, 3), "m": numbers(8, 5)}))  # fmt: skip
    x = numbers(3, 1, 4, 4)
    before = net(x)
    for name in ("w", "m"):
        with net._parameters[name].writing() as array:
            array *= 2
    np.testing.assert_array_equal(net(x), 4 * before)


def test_names_of_a_file_do_not_become_attributes():
    """A weight may be called whatever it likes."""
    net = graph_of(model_of([("Conv", "x forward", "t", {}), ("Add", "t training", "y", {})],
                            {"forward": np.ones((1, 1, 1, 1), np.float32), "training": np.ones((1, 1, 1), np.float32)}))  # fmt: skip
    x = numbers(1, 1, 2, 2)
    np.testing.assert_array_equal(net.eval()(x), x + 1)
    assert set(net.state_dict()) == {"forward", "training"}


def test_constants_are_folded_once():
    nodes = [
        ("ConstantOfShape", "shape", "ones", {"value": numpy_helper.from_array(np.float32([2]))}),
        ("Constant", "", "k", {"value": numpy_helper.from_array(np.float32([3]))}),
        ("Mul", "ones k", "six", {}),
        ("Add", "x six", "y", {}),
    ]
    net = graph_of(model_of(nodes, {"shape": np.int64([2, 2])}))
    assert [node.op for node in net.nodes] == ["Add"] and list(net.state_dict()) == ["six"]
    np.testing.assert_array_equal(net(np.zeros((2, 2), np.float32)), np.full((2, 2), 6, np.float32))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_other_dtypes(dtype):
    nodes, constants = block()
    net = graph_of(model_of(nodes, constants))
    x = numbers(1, 3, 5, 5)
    expected = net(x)
    y = net.to(dtype)(x.astype(fc.nn.module.numpy_dtype(dtype)))
    assert y.dtype.name == dtype
    np.testing.assert_allclose(y.astype(np.float32), expected, rtol=0.03, atol=0.5)


def test_several_inputs_and_outputs():
    net = graph_of(model_of([("Add", "a b", "s", {}), ("Sub", "a b", "d", {})], {}, ("a", "b"), ("s", "d")))
    a, b = numbers(3), numbers(3)
    for x in ((a, b), {"b": b, "a": a}):
        total, difference = net(x)
        np.testing.assert_array_equal(total, a + b)
        np.testing.assert_array_equal(difference, a - b)
    with pytest.raises(fc.ShapeError, match="expected 2 arrays, a, b, got 3"):
        net((a, b, a))
    with pytest.raises(fc.ShapeError, match="expected arrays for a, b, got a"):
        net({"a": a})


@pytest.mark.parametrize("pads", [[1, 0, 0, 1, 1, 0], [0, 1, 2, 0, 1, 1]])
@pytest.mark.parametrize(("strides", "dilations", "group"), [([1, 1, 1], [1, 1, 1], 1), ([2, 1, 2], [2, 1, 1], 2)])
def test_three_dimensions(pads, strides, dilations, group, direct_only):
    """Integers: PyTorch sums them in another order to the same result."""
    torch = pytest.importorskip("torch")
    attributes = {"pads": pads, "strides": strides, "dilations": dilations, "group": group}
    w, b, x = numbers(4, 4 // group, 2, 3, 2), numbers(4), numbers(2, 4, 5, 6, 7)
    y = graph_of(model_of([("Conv", "x w b", "y", attributes)], {"w": w, "b": b}))(x)
    padded = np.pad(x, ((0, 0), (0, 0), *zip(pads[:3], pads[3:], strict=True)))
    arrays = [torch.from_numpy(value) for value in (padded, w, b)]
    expected = torch.nn.functional.conv3d(*arrays, stride=strides, dilation=dilations, groups=group)
    np.testing.assert_array_equal(y, expected.numpy())


ONE = {"w": np.ones((1, 1, 2, 2), np.float32)}


@pytest.mark.parametrize(
    ("nodes", "kind", "text"),
    [
        ([("LSTM", "x", "y", {})], fc.ModelError, r"LSTM node 'LSTM_y': this operator is not supported"),
        ([("Relu", "x", "y", {"slope": 3})], fc.ModelError, "Relu node 'Relu_y': attribute slope = 3 is not supported"),
        (
            [("Conv", "x w", "y", {"auto_pad": "SAME"})],
            fc.ModelError,
            "Conv node 'Conv_y': attribute auto_pad = 'SAME'",
        ),
        ([("Conv", "x w", "y", {"pads": 1})], fc.ModelError, "attribute pads: expected a list of ints, got 1"),
        (
            [("MaxPool", "x", "y", {"kernel_shape": [2, 2], "pads": [1]})],
            fc.ShapeError,
            "MaxPool node.*expected 4 numbers",
        ),
        ([("LRN", "x", "y", {})], fc.ModelError, "LRN node 'LRN_y': attribute size is missing"),
        ([("Conv", "x missing", "y", {})], fc.FileFormatError, "input 'missing' comes from nowhere before it"),
        ([("Relu", "x", "z", {})], fc.FileFormatError, "output 'y' comes from nowhere"),
        (
            [("Conv", "x w", "y", {"group": 2})],
            fc.ShapeError,
            "Conv node 'Conv_y': weight: x has 1 channels in 2 groups",
        ),
        ([("Transpose", "x", "y", {"perm": [0, 5]})], fc.ShapeError, "Transpose node 'Transpose_y'"),
        ([("Gelu", "x", "y", {"approximate": "rough"})], fc.ModelError, "approximate = 'rough' is not supported"),
    ],
)
def test_errors_name_node_and_attribute(nodes, kind, text):
    with pytest.raises(kind, match=text):
        graph_of(model_of(nodes, ONE))(np.ones((1, 1, 4, 4), np.float32))


def test_files_that_are_damaged(tmp_path):
    nodes, constants = block()
    content = np.frombuffer(model_of(nodes, constants).SerializeToString(), np.uint8)
    path = tmp_path / "net.onnx"
    for length in range(0, len(content), 97):
        path.write_bytes(content[:length].tobytes())
        with pytest.raises((fc.FileFormatError, fc.ModelError)):
            fc.onnx.load(path)
    random = np.random.default_rng(2)
    for _ in range(300):
        damaged = content.copy()
        damaged[random.integers(len(content), size=3)] = random.integers(256, size=3)
        path.write_bytes(damaged.tobytes())
        with contextlib.suppress(fc.FastconvError):
            fc.onnx.load(path)
    with pytest.raises(fc.FileFormatError, match="no such file"):
        fc.onnx.load(tmp_path / "missing.onnx")

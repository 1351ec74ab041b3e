"""Caffe's .caffemodel, in both generations of its layers."""

from __future__ import annotations

import numpy as np
import pytest

import fastconv as fc

from . import files

RANDOM = np.random.default_rng(5)


def numbers(*shape, dtype=np.float32):
    return RANDOM.standard_normal(shape).astype(dtype)


def load(tmp_path, content):
    (tmp_path / "net.caffemodel").write_bytes(content)
    return fc.load(tmp_path / "net.caffemodel")


def test_new_layers(tmp_path):
    weight, bias, dense = numbers(4, 3, 3, 3), numbers(4), numbers(5, 36)
    mean, var, gamma, slope = numbers(4), numbers(4), numbers(4), numbers(4)
    content = files.field(1, "net") + b"".join([
        files.caffe_layer("data", "Input"),
        files.caffe_layer("conv1/3x3", "Convolution", weight, bias),
        files.caffe_layer("bn", "BatchNorm", mean * 2, var * 2, np.float32([2])),
        files.caffe_layer("bn0", "BatchNorm", mean, var, np.float32([0])),
        files.caffe_layer("scale", "Scale", gamma, bias),
        files.caffe_layer("prelu", "PReLU", slope),
        files.caffe_layer("fc", "InnerProduct", dense.astype(np.float64), numbers(5)),
        files.caffe_layer("other", "Embed", dense, bias),
    ])  # fmt: skip
    state = load(tmp_path, content)
    assert list(state) == [
        "conv1/3x3.weight", "conv1/3x3.bias", "bn.running_mean", "bn.running_var", "bn0.running_mean",
        "bn0.running_var", "scale.weight", "scale.bias", "prelu.weight", "fc.weight", "fc.bias", "other.0", "other.1",
    ]  # fmt: skip
    np.testing.assert_array_equal(state["conv1/3x3.weight"], weight)
    np.testing.assert_array_equal(state["bn.running_mean"], mean)
    np.testing.assert_array_equal(state["bn.running_var"], var)
    assert not state["bn0.running_mean"].any()
    assert state["fc.weight"].dtype == np.float64 and np.array_equal(state["fc.weight"], dense)


def test_old_layers_have_four_axes_for_everything(tmp_path):
    weight, bias, dense = numbers(4, 3, 3, 3), numbers(4), numbers(5, 36)
    content = files.caffe_v1_layer("conv", 4, weight, bias) + files.caffe_v1_layer("fc", 14, dense, bias)
    state = load(tmp_path, files.caffe_v1_layer("relu", 18) + content)
    for name, value in {"conv.weight": weight, "conv.bias": bias, "fc.weight": dense, "fc.bias": bias}.items():
        np.testing.assert_array_equal(state[name], value)


def test_values_that_are_not_packed(tmp_path):
    """An option of the format that some writers take: each value with a key of its own."""
    values = b"".join(files.varint(5 << 3 | 5) + value.tobytes() for value in np.float32([1, 2, 3]))
    shape = files.field(7, files.field(1, 3))
    layer = files.field(1, "a") + files.field(2, "PReLU") + files.field(7, shape + values)
    assert load(tmp_path, files.field(100, layer))["a.weight"].tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "no layer of 0 has blobs"),
        (files.caffe_layer("a", "Convolution", numbers(2)) * 2, "layer 'a' is there twice"),
        (files.field(100, files.field(1, b"\xff")), "field 1 is not UTF-8"),
        (files.field(100, files.field(1, "a") + files.field(7, files.field(5, b"abc"))), "whole values of 4 bytes"),
        (
            files.field(100, files.field(1, "a") + files.field(7, files.field(7, files.field(1, 1 << 40)))),
            r"layer 'a', blob 0: shape \(1099511627776,\) needs 1,099,511,627,776 values, 0 are there",
        ),
        (files.varint(100 << 3 | 2) + files.varint(1 << 50), "field 100 has 1,125,899,906,842,624 bytes, 0 are left"),
        (b"\xff" * 12, "an integer does not end"),
        (b"\x0b", "field 1 of wire type 3 is not possible"),
        (files.field(100, 7), "no layer of 0"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(tmp_path, content, text):
    with pytest.raises(fc.FileFormatError, match=text):
        load(tmp_path, content)

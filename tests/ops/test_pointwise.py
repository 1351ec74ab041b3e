"""linear, activations, softmax, norms, concat, pad: against float64 formulas."""

from __future__ import annotations

import numpy as np
import pytest

import fastconv as fc
from fastconv.nn.module import numpy_dtype
from tests.conv_check import DTYPES, integers

# Relative error of one rounding to the storage type, after a compute type good to a few ulp.
EPSILON = {"float64": 4e-16, "float32": 5e-7, "float16": 1e-3, "bfloat16": 8e-3}


def close(y, exact, dtype, scale=1.0):
    exact = np.asarray(exact, np.float64)
    np.testing.assert_allclose(
        y.astype(np.float64), exact, rtol=EPSILON[dtype] * scale, atol=EPSILON[dtype] * 1e-2 * scale
    )


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "shape", [(1, 1, 1), (7, 13, 5), (1, 100, 64), (13, 33, 17), (40, 300, 64), (0, 4, 5), (3, 2, 0)]
)
def test_linear_is_exact_on_integers(shape, dtype, isa, threads):
    m, n, k = shape
    x, w, b = integers((m, k), 0, dtype), integers((n, k), 1, dtype), integers((n,), 2, dtype)
    exact = x.astype(np.float64) @ w.astype(np.float64).T + b.astype(np.float64)
    for count in (1, 3):
        threads(count)
        y = fc.ops.linear(x, w, b)
        np.testing.assert_array_equal(y, exact.astype(y.dtype))
    np.testing.assert_array_equal(fc.ops.linear(x[:, ::-1], w[:, ::-1], b), y)


def test_linear_takes_leading_dimensions():
    x, w = integers((2, 3, 4), 0, "float32"), integers((5, 4), 1, "float32")
    np.testing.assert_array_equal(fc.ops.linear(x, w), x @ w.T)
    np.testing.assert_array_equal(fc.ops.linear(x[0, 0], w), x[0, 0] @ w.T)


FUNCTIONS = {
    "relu": lambda x: np.maximum(x, 0),
    "relu6": lambda x: np.clip(x, 0, 6),
    "leaky_relu": lambda x: np.where(x > 0, x, x * 0.01),
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "tanh": np.tanh,
    "silu": lambda x: x / (1 + np.exp(-x)),
    "hard_sigmoid": lambda x: np.clip(x + 3, 0, 6) / 6,
    "hard_swish": lambda x: x * np.clip(x + 3, 0, 6) / 6,
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_activations(name, dtype, isa):
    values = np.concatenate([np.linspace(-30, 30, 997), [0.0, -0.0, 1e-3, -1e-3, 80, -80, 100, -100]])
    x = values.astype(numpy_dtype(dtype))
    exact = FUNCTIONS[name](x.astype(np.float64))
    close(getattr(fc.ops, name)(x), exact, dtype, scale=2)
    special = np.array([np.nan, np.inf], np.float32).astype(x.dtype)
    y = getattr(fc.ops, name)(special).astype(np.float64)
    assert np.isnan(y[0]) and y[1] == {"relu6": 6, "sigmoid": 1, "tanh": 1, "hard_sigmoid": 1}.get(name, np.inf)


def test_activations_keep_shape_and_format(device):
    x = integers((2, 3, 5, 7), 0, "float32")
    for form in (
        x,
        fc.ops.channels_last(x),
        x[:, :, ::2],
        x.T,
        np.broadcast_to(x[:1], x.shape),
        x[:0],
        x[0, 0, 0, 0:1],
    ):
        y = fc.ops.relu(device.put(form))
        np.testing.assert_array_equal(device.get(y), np.maximum(form, 0))
    last = device.put(fc.ops.channels_last(x))
    assert fc.ops.relu(last).strides == last.strides
    assert fc.ops.relu(device.put(np.array(-1.0, np.float32))).shape == ()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("dim", [0, 1, -1])
def test_softmax(dim, dtype, isa):
    x = (np.random.default_rng(0).standard_normal((5, 37, 11)) * 8).astype(numpy_dtype(dtype))
    z = x.astype(np.float64)
    shifted = z - z.max(dim, keepdims=True)
    total = np.exp(shifted).sum(dim, keepdims=True)
    close(fc.ops.softmax(x, dim), np.exp(shifted) / total, dtype, scale=8)
    exact = shifted - np.log(total)  # a difference: its error is relative to the terms, not to the result
    np.testing.assert_allclose(
        fc.ops.log_softmax(x, dim).astype(np.float64),
        exact,
        rtol=EPSILON[dtype],
        atol=EPSILON[dtype] * np.abs(exact).max(),
    )


def test_softmax_neither_overflows_nor_depends_on_neighbours(isa):
    x = np.array([[1e4, 1e4 - 1, -1e4], [0, 0, 0]], np.float32)
    y = fc.ops.softmax(x)
    assert np.isfinite(y).all() and abs(y.sum() - 2) < 1e-6
    np.testing.assert_array_equal(fc.ops.softmax(x[:1])[0], y[0])
    assert fc.ops.softmax(np.zeros((0, 4), np.float32)).shape == (0, 4)


@pytest.mark.parametrize("dtype", DTYPES)
def test_batch_norm(dtype, isa):
    generator = np.random.default_rng(0)
    x = generator.standard_normal((3, 21, 5, 4)).astype(numpy_dtype(dtype))
    mean, weight, bias = generator.standard_normal((3, 21)).astype(x.dtype)
    var = generator.random(21).astype(x.dtype) + x.dtype.type(0.5)
    columns = [v.astype(np.float64).reshape(1, -1, 1, 1) for v in (mean, var, weight, bias)]
    exact = (x.astype(np.float64) - columns[0]) / np.sqrt(columns[1] + 1e-3) * columns[2] + columns[3]
    for form in (x, fc.ops.channels_last(x)):
        y = fc.ops.batch_norm(form, mean, var, weight, bias, eps=1e-3)
        np.testing.assert_allclose(y.astype(np.float64), exact, rtol=EPSILON[dtype] * 2, atol=EPSILON[dtype] * 8)
    for shorter in (x[..., 0], x[..., 0, 0]):  # (N, C, L) and (N, C), as in PyTorch
        full = shorter.reshape(*shorter.shape, *(1,) * (4 - shorter.ndim))
        expected = fc.ops.batch_norm(full, mean, var).reshape(shorter.shape)
        np.testing.assert_array_equal(fc.ops.batch_norm(shorter, mean, var), expected)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", [1, 2, 5, 50])
def test_local_response_norm_divides_alpha_by_size(size, dtype, isa):
    x = np.random.default_rng(0).standard_normal((2, 19, 3, 4)).astype(numpy_dtype(dtype))
    z = x.astype(np.float64)
    for beta in (0.75, 0.5):
        exact = np.empty_like(z)
        for c in range(19):
            first, last = max(c - size // 2, 0), min(c + (size - 1) // 2, 18)
            total = np.square(z[:, first : last + 1]).sum(1)
            exact[:, c] = z[:, c] / (2.0 + 0.3 / size * total) ** beta
        close(fc.ops.local_response_norm(x, size, 0.3, beta, 2.0), exact, dtype, scale=4)


def test_concat_in_both_formats(isa):
    parts = [integers((2, c, 5, 4), c, "float32") for c in (3, 1, 8)]
    expected = np.concatenate(parts, 1)
    np.testing.assert_array_equal(fc.ops.concat(parts), expected)
    joined = fc.ops.concat([fc.ops.channels_last(parts[0]), *parts[1:]])
    np.testing.assert_array_equal(joined, expected)
    assert joined.strides[1] == 4
    np.testing.assert_array_equal(fc.ops.concat([parts[0], parts[0]], dim=-1), np.concatenate([parts[0]] * 2, -1))


def test_axes_without_extent_give_empty_results():
    for shape in ((0,), (3, 0), (0, 3)):
        assert fc.ops.softmax(np.zeros(shape, np.float32), 0).shape == shape
        assert fc.ops.log_softmax(np.zeros(shape, np.float32)).shape == shape
    assert fc.ops.linear(np.zeros((2, 5, 0), np.float32), np.zeros((3, 0), np.float32)).shape == (2, 5, 3)
    nothing = np.zeros(0, np.float32)
    assert fc.ops.batch_norm(np.zeros((2, 0, 3, 3), np.float32), nothing, nothing).shape == (2, 0, 3, 3)
    assert fc.ops.local_response_norm(np.zeros((2, 0, 3, 3), np.float32), 5).shape == (2, 0, 3, 3)
    assert fc.ops.contiguous(np.zeros((2, 3, 4, 5, 6), np.float32)[::-1]).flags.c_contiguous


@pytest.mark.parametrize("dtype", DTYPES)
def test_pad(dtype):
    x = integers((2, 3, 4, 5), 0, dtype)
    expected = np.pad(x, ((0, 0), (0, 0), (1, 2), (3, 0)), constant_values=x.dtype.type(7))
    for form in (x, fc.ops.channels_last(x)):
        np.testing.assert_array_equal(fc.ops.pad(form, ((1, 2), (3, 0)), 7), expected)
    assert fc.ops.pad(x[0], 1).shape == (3, 6, 7)


@pytest.mark.parametrize("item", ["uint8", "float16", "float32", "float64", "bfloat16"])
def test_copies_between_any_layouts(item, isa):
    from itertools import permutations

    from fastconv.backends import cpu

    dtype = np.dtype(np.uint8) if item == "uint8" else numpy_dtype(item)
    x = np.arange(3 * 37 * 5 * 70).reshape(3, 37, 5, 70).astype(np.float32).astype(dtype)
    for order in permutations(range(4)):
        source = np.ascontiguousarray(x.transpose(order)).transpose(np.argsort(order))
        for target_order in permutations(range(4)):
            out = np.zeros([x.shape[i] for i in target_order], dtype).transpose(np.argsort(target_order))
            cpu.copy(source, out)
            np.testing.assert_array_equal(out, x)
    out = np.zeros(x.shape, dtype)
    cpu.copy(x[::-1, :, ::-1], out)
    np.testing.assert_array_equal(out, x[::-1, :, ::-1])

"""Activations, their gradients, and bias with residual on every device, against NumPy in float64."""

from __future__ import annotations

import numpy as np
import pytest

import fastconv as fc
from fastconv.backends import registry
from fastconv.nn.module import numpy_dtype
from fastconv.ops.activation import ArrayProblem
from tests.conftest import on_every_isa
from tests.conv_check import DTYPES, integers
from tests.ops.test_pointwise import EPSILON, FUNCTIONS, close

pytestmark = on_every_isa


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


GRADIENTS = {
    "relu": lambda x: (x > 0) * 1.0,
    "relu6": lambda x: ((x > 0) & (x < 6)) * 1.0,
    "leaky_relu": lambda x: np.where(x > 0, 1, 0.01),
    "sigmoid": lambda x: np.exp(-abs(x)) / (1 + np.exp(-abs(x))) ** 2,
    "tanh": lambda x: 1 / np.cosh(x) ** 2,
    "silu": lambda x: sigmoid(x) * (1 + x * sigmoid(-x)),
    "hard_sigmoid": lambda x: (abs(x) < 3) / 6,
    "hard_swish": lambda x: np.where(abs(x) < 3, x / 3 + 0.5, x >= 3),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_activations_and_their_gradients(name, dtype, device):
    values = np.concatenate([np.linspace(-30, 30, 997), [0.0, -0.0, 6.0, 1e-3, -1e-3, 80, -80, 100, -100]])
    x = values.astype(numpy_dtype(dtype))
    z = x.astype(np.float64)
    slope = (0.01,) if name == "leaky_relu" else ()
    close(device.get(getattr(fc.ops, name)(device.put(x), *slope)), FUNCTIONS[name](z), dtype, scale=2)
    grad = integers(x.shape, 0, dtype)
    gx = device.get(fc.ops.activation_grad(device.put(x), device.put(grad), name, *slope)).astype(np.float64)
    # silu' is a difference near its zero at -1.28: as good as its terms.
    expected = grad.astype(np.float64) * GRADIENTS[name](z)
    np.testing.assert_allclose(gx, expected, rtol=EPSILON[dtype] * 4, atol=EPSILON[dtype])


@pytest.mark.parametrize("name", FUNCTIONS)
def test_nan_and_infinity(name, device):
    x = np.float32([np.nan, np.inf])
    y = device.get(getattr(fc.ops, name)(device.put(x)))
    assert np.isnan(y[0]) and y[1] == {"relu6": 6, "sigmoid": 1, "tanh": 1, "hard_sigmoid": 1}.get(name, np.inf)
    grad = device.put(np.ones(2, np.float32))
    gx = device.get(fc.ops.activation_grad(device.put(x), grad, name, 0.5))
    # PyTorch's: at NaN the clipped ones hand the gradient on, leaky_relu its slope, the smooth ones NaN.
    at_nan = {"relu": 1, "relu6": 1, "leaky_relu": 0.5, "hard_sigmoid": 0, "hard_swish": 1}.get(name, np.nan)
    np.testing.assert_array_equal(gx[0], np.float32(at_nan))


def test_gradients_take_any_format(device):
    x, grad = integers((2, 3, 5, 7), 0, "float32"), integers((2, 3, 5, 7), 1, "float32")
    expected = np.where(x > 0, grad, 0)
    for form in (x, fc.ops.channels_last(x), x[::-1, :, ::-1]):
        for given in (grad, fc.ops.channels_last(grad)):
            wanted = np.where(form > 0, given, 0)
            gx = fc.ops.activation_grad(device.put(form), device.put(given), "relu")
            np.testing.assert_array_equal(device.get(gx), wanted)
    last = device.put(fc.ops.channels_last(x))
    assert fc.ops.activation_grad(last, device.put(grad), "relu").strides == last.strides
    np.testing.assert_array_equal(device.get(fc.ops.activation_grad(last, device.put(grad), "relu")), expected)
    assert fc.ops.activation_grad(device.put(x[:0]), device.put(grad[:0]), "relu").shape == (0, 3, 5, 7)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(7, 20), (1, 1), (5, 3), (300, 8), (2, 2100), (0, 4)])
def test_bias_activation(shape, dtype, device):
    x, residual = integers(shape, 0, dtype), integers(shape, 1, dtype)
    bias = integers(shape[1:], 2, "float64" if dtype == "float64" else "float32")
    problem = ArrayProblem(shape, dtype)
    run = registry.choose("bias_activation", device.name, problem).kernel.run
    for with_bias, with_residual, activation in ((1, 1, "relu"), (1, 0, None), (0, 1, "relu6"), (0, 0, "relu")):
        sums = x.astype(np.float64) + with_bias * bias + with_residual * residual.astype(np.float64)
        expected = {None: sums, "relu": np.maximum(sums, 0), "relu6": np.clip(sums, 0, 6)}[activation]
        y = device.put(x.copy())  # in place, as its users may ask
        operands = device.put(bias) if with_bias else None, device.put(residual) if with_residual else None
        run(problem, y, *operands, y, activation)
        np.testing.assert_array_equal(device.get(y).astype(np.float64), expected)


def test_errors_name_the_argument(device):
    x = device.put(np.zeros(3, np.float32))
    with pytest.raises(fc.ShapeError, match="grad: expected the shape of x"):
        fc.ops.activation_grad(x, x[:2], "relu")
    with pytest.raises(fc.AlgorithmError, match="function: expected one of relu"):
        fc.ops.activation_grad(x, x, "gelu")

"""SGD and Adam on every device, step by step, against their formulas in float64."""

from __future__ import annotations

import numpy as np
import pytest

import fastconv as fc
from fastconv.nn.module import numpy_dtype
from tests.conftest import on_every_isa
from tests.conv_check import DTYPES


def masters(dtype, shape, names):
    generator = np.random.default_rng(0)
    kind = np.float64 if dtype == "float64" else np.float32
    return [generator.standard_normal(shape).astype(kind) for _ in names]


@on_every_isa
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"weight_decay": 0.1},
        {"momentum": 0.9},
        {"momentum": 0.9, "dampening": 0.3, "weight_decay": 0.01},
        {"momentum": 0.9, "nesterov": True, "weight_decay": 0.01},
    ],
)
def test_sgd_follows_its_formula(settings, dtype, device):
    for shape in ((1003,), (3, 5, 2, 2)):
        (start,) = masters(dtype, shape, ["param"])
        param, state = device.put(start.copy()), device.put(np.full(shape, np.nan, start.dtype))
        low = device.put(np.zeros(shape, numpy_dtype(dtype)))
        p, v = start.astype(np.float64), None
        for step in range(4):
            grad = np.random.default_rng(step + 1).standard_normal(shape).astype(numpy_dtype(dtype))
            fc.ops.sgd_update(param, device.put(grad), state, lr=0.1, first=step == 0, low=low, **settings)
            g = grad.astype(np.float64) + settings.get("weight_decay", 0) * p
            if momentum := settings.get("momentum"):
                v = g if v is None else momentum * v + (1 - settings.get("dampening", 0)) * g
                g = g + momentum * v if settings.get("nesterov") else v
            p = p - 0.1 * g
        tolerance = 1e-14 if dtype == "float64" else 2e-6
        np.testing.assert_allclose(device.get(param), p, rtol=tolerance, atol=tolerance)
        np.testing.assert_array_equal(device.get(low), device.get(param).astype(numpy_dtype(dtype)))


@on_every_isa
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("settings", [{}, {"weight_decay": 0.1}, {"weight_decay": 0.1, "decoupled": True}])
def test_adam_follows_its_formula(settings, dtype, device):
    for shape in ((1003,), (3, 5, 2, 2)):
        (start,) = masters(dtype, shape, ["param"])
        param = device.put(start.copy())
        mean, square = (device.put(np.zeros(shape, start.dtype)) for _ in range(2))
        low = device.put(np.zeros(shape, numpy_dtype(dtype)))
        p, m, v = start.astype(np.float64), 0.0, 0.0
        decay = settings.get("weight_decay", 0)
        for step in range(1, 5):
            grad = np.random.default_rng(step).standard_normal(shape).astype(numpy_dtype(dtype))
            fc.ops.adam_update(
                param, device.put(grad), mean, square, step, lr=0.01, betas=(0.9, 0.99), low=low, **settings
            )
            if settings.get("decoupled"):
                p, g = p * (1 - 0.01 * decay), grad.astype(np.float64)
            else:
                g = grad.astype(np.float64) + decay * p
            m, v = 0.9 * m + 0.1 * g, 0.99 * v + 0.01 * g * g
            p = p - 0.01 * (m / (1 - 0.9**step)) / (np.sqrt(v / (1 - 0.99**step)) + 1e-8)
        tolerance = 1e-13 if dtype == "float64" else 2e-6
        np.testing.assert_allclose(device.get(param), p, rtol=tolerance, atol=tolerance)
        np.testing.assert_allclose(device.get(square), v, rtol=tolerance, atol=tolerance)
        np.testing.assert_array_equal(device.get(low), device.get(param).astype(numpy_dtype(dtype)))


@on_every_isa
def test_optimizers_update_channels_last_memory_in_place(device):
    start, grad = masters("float32", (4, 3, 2, 5), ["param", "grad"])
    param = device.put(fc.ops.channels_last(start))
    fc.ops.sgd_update(param, device.put(grad), lr=0.5)
    np.testing.assert_allclose(device.get(param), start - np.float32(0.5) * grad, rtol=1e-6)
    fc.ops.sgd_update(device.put(start[:0]), device.put(grad[:0]), lr=0.5)


@on_every_isa
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda p, g: fc.ops.sgd_update(p, g[:2], lr=1), "grad: expected the shape"),
        (lambda p, g: fc.ops.sgd_update(p, g, lr=1, momentum=0.9), "momentum_buffer: expected"),
        (lambda p, g: fc.ops.sgd_update(p, g, p, lr=1, nesterov=True), "nesterov: expected"),
        (lambda p, g: fc.ops.sgd_update(p[:, ::2], g[:, ::2], lr=1), "param: expected dense memory"),
        (lambda p, g: fc.ops.sgd_update(p, g, p.T.copy().T, lr=1, momentum=0.9), "momentum_buffer: expected dense"),
        (lambda p, g: fc.ops.sgd_update(p, g, lr=1, low=p), "low: expected dtype float16"),
        (lambda p, g: fc.ops.sgd_update(g, g, lr=1), "param: expected float32"),
        (lambda p, g: fc.ops.adam_update(p, g, p, p, 0), "step: expected at least 1"),
        (lambda p, g: fc.ops.adam_update(p, g, p, p, 1, betas=(0.9,)), "betas: expected a pair"),
        (lambda p, g: fc.ops.adam_update(p, g, p, p, 1, betas=(0.9, 1)), "betas: expected two"),
    ],
)
def test_errors_name_the_argument(call, message, device):
    param, grad = device.put(np.zeros((4, 6), np.float32)), device.put(np.zeros((4, 6), np.float16))
    with pytest.raises((fc.ShapeError, fc.DTypeError), match=message):
        call(param, grad)


def test_read_only_parameters_are_refused():
    param = np.zeros(3, np.float32)
    param.flags.writeable = False
    with fc.device("cpu"), pytest.raises(fc.DTypeError, match="param: expected a writable array"):
        fc.ops.sgd_update(param, np.zeros(3, np.float32), lr=1)

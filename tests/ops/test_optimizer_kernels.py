"""The optimizers' steps on every device, one by one, against their formulas in float64, and against PyTorch."""

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


def adagrad(p, g, step, state, lr, lr_decay=0.0, eps=1e-10):
    state["sum"] = state.get("sum", 0) + g * g
    return p - lr / (1 + (step - 1) * lr_decay) * g / (np.sqrt(state["sum"]) + eps)


def adadelta(p, g, step, state, lr, rho=0.9, eps=1e-6):
    v = state["v"] = rho * state.get("v", 0) + (1 - rho) * g * g
    change = np.sqrt(state.get("u", 0) + eps) / np.sqrt(v + eps) * g
    state["u"] = rho * state.get("u", 0) + (1 - rho) * change * change
    return p - lr * change


def rmsprop(p, g, step, state, lr, alpha=0.99, eps=1e-8, momentum=0.0, centered=False):
    v = state["v"] = alpha * state.get("v", 0) + (1 - alpha) * g * g
    if centered:
        m = state["m"] = alpha * state.get("m", 0) + (1 - alpha) * g
        v = v - m * m
    change = state["b"] = momentum * state.get("b", 0) + g / (np.sqrt(v) + eps)
    return p - lr * change


# The formula, torch's name, the operation's arguments, its state and whether it takes the step's number.
RULES = [
    (adagrad, "Adagrad", {"lr": 0.1}, ("state_sum",), True),
    (adagrad, "Adagrad", {"lr": 0.1, "lr_decay": 0.5, "eps": 1e-3}, ("state_sum",), True),
    (adadelta, "Adadelta", {"lr": 1.0}, ("square_avg", "acc_delta"), False),
    (adadelta, "Adadelta", {"lr": 0.5, "rho": 0.7, "eps": 1e-3}, ("square_avg", "acc_delta"), False),
    (rmsprop, "RMSprop", {"lr": 0.01}, ("square_avg",), False),
    (rmsprop, "RMSprop", {"lr": 0.01, "alpha": 0.9, "momentum": 0.8}, ("square_avg", "momentum_buffer"), False),
    (rmsprop, "RMSprop", {"lr": 0.01, "alpha": 0.9}, ("square_avg", "grad_avg"), False),
    (rmsprop, "RMSprop", {"lr": 0.01, "alpha": 0.9, "momentum": 0.8}, ("square_avg", "grad_avg", "momentum_buffer"), 0),
]


@on_every_isa
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rule", RULES)
def test_the_adaptive_ones_follow_their_formulas(rule, dtype, device):
    formula, _, settings, names, numbered = rule
    centered = {"centered": True} if "grad_avg" in names else {}
    for shape, decay, l1 in (((1003,), 0.0, 0.0), ((3, 5, 2, 2), 0.1, 0.05)):
        (start,) = masters(dtype, shape, ["param"])
        start.flat[0] = 0
        param, low = device.put(start.copy()), device.put(np.zeros(shape, numpy_dtype(dtype)))
        state = {name: device.put(np.zeros(shape, start.dtype)) for name in names}
        p, kept = start.astype(np.float64), {}
        for step in range(1, 5):
            # Of one sign and far from 0: no digits cancel in v - m^2.
            grad = (0.5 + step % 2 + np.random.default_rng(step).random(shape)).astype(numpy_dtype(dtype))
            count = {"step": step} if numbered else {}
            getattr(fc.ops, f"{formula.__name__}_update")(
                param, device.put(grad), **state, **count, low=low, weight_decay=decay, l1=l1, **settings
            )
            g = grad.astype(np.float64) + decay * p + l1 * np.sign(p)
            p = formula(p, g, step, kept, **settings, **centered)
        tolerance = 1e-12 if dtype == "float64" else 4e-6
        np.testing.assert_allclose(device.get(param), p, rtol=tolerance, atol=tolerance)
        np.testing.assert_array_equal(device.get(low), device.get(param).astype(numpy_dtype(dtype)))


@pytest.mark.parametrize("rule", RULES)
def test_the_adaptive_ones_agree_with_torch(rule):
    torch = pytest.importorskip("torch")
    formula, name, settings, names, numbered = rule
    (start,) = masters("float64", (40,), ["param"])
    leaf = torch.nn.Parameter(torch.tensor(start.copy()))
    centered = {"centered": True} if "grad_avg" in names else {}
    theirs = getattr(torch.optim, name)([leaf], **settings, **centered, weight_decay=0.1)
    state = {name: np.zeros_like(start) for name in names}
    for step in range(1, 6):
        grad = np.random.default_rng(step).standard_normal(start.shape)
        count = {"step": step} if numbered else {}
        getattr(fc.ops, f"{formula.__name__}_update")(start, grad, **state, **count, weight_decay=0.1, **settings)
        leaf.grad = torch.tensor(grad)
        theirs.step()
    np.testing.assert_allclose(start, leaf.detach().numpy(), rtol=1e-11, atol=1e-12)


@on_every_isa
def test_l1_pulls_towards_zero_and_nan_stays(device):
    for name, state, settings in (
        ("sgd", (), {"lr": 0.5}),
        ("adam", (np.zeros(4, np.float32), np.zeros(4, np.float32), 1), {"lr": 0.5}),
        ("adagrad", (np.zeros(4, np.float32), 1), {"lr": 0.5}),
        ("rmsprop", (np.zeros(4, np.float32),), {"lr": 0.5, "alpha": 0.0}),
    ):
        param = device.put(np.float32([4, -4, 0, np.nan]))
        arrays = [device.put(a) if isinstance(a, np.ndarray) else a for a in state]
        getattr(fc.ops, f"{name}_update")(param, device.put(np.zeros(4, np.float32)), *arrays, l1=1.0, **settings)
        p = device.get(param)
        assert 0 < p[0] < 4 and p[1] == -p[0] and p[2] == 0 and np.isnan(p[3]), name


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
        (lambda p, g: fc.ops.adagrad_update(p, g, p, 0), "step: expected at least 1"),
        (lambda p, g: fc.ops.adagrad_update(p, g, p[:2], 1), "state_sum: expected shape"),
        (lambda p, g: fc.ops.adadelta_update(p, g, p, p, rho=2), r"rho: expected a number in \[0, 1\]"),
        (lambda p, g: fc.ops.adadelta_update(p, g, p, g), "acc_delta: expected dtype float32"),
        (lambda p, g: fc.ops.rmsprop_update(p, g, p, alpha=-1), "alpha: expected a number"),
        (lambda p, g: fc.ops.rmsprop_update(p, g, p, momentum=0.9), "momentum_buffer: expected an array"),
        (lambda p, g: fc.ops.rmsprop_update(p, g, p, p[:2]), "grad_avg: expected shape"),
        (lambda p, g: fc.ops.sgd_update(p, g, lr=1, l1="a"), "l1: expected a number"),
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

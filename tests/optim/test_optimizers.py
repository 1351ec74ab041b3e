"""Optimizers step by step: against torch.optim, and against their formulas in float64."""

from __future__ import annotations

import json

import numpy as np
import pytest

import fastconv as fc
from fastconv import optim
from fastconv.nn import Parameter
from fastconv.nn.module import numpy_dtype
from tests.conftest import on_every_isa

CASES = [
    (optim.SGD, "SGD", {"lr": 0.1}),
    (optim.SGD, "SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.2, "weight_decay": 0.01}),
    (optim.SGD, "SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01}),
    (optim.Adagrad, "Adagrad", {"lr": 0.1, "lr_decay": 0.1, "weight_decay": 0.01, "initial_accumulator_value": 0.5}),
    (optim.Adagrad, "Adagrad", {}),
    (optim.Adadelta, "Adadelta", {"lr": 0.5, "rho": 0.8, "weight_decay": 0.01}),
    (optim.Adadelta, "Adadelta", {}),
    (optim.RMSprop, "RMSprop", {"alpha": 0.9, "weight_decay": 0.01}),
    (optim.RMSprop, "RMSprop", {"alpha": 0.9, "momentum": 0.8, "centered": True}),
    (optim.RMSprop, "RMSprop", {"momentum": 0.8}),
    (optim.Adam, "Adam", {"lr": 0.01, "betas": (0.8, 0.99), "weight_decay": 0.1}),
    (optim.Adam, "Adam", {}),
    (optim.AdamW, "AdamW", {"lr": 0.01, "weight_decay": 0.1}),
    (optim.AdamW, "AdamW", {}),
]
SHAPES = ((5, 3, 2, 2), (7,), ())


def gradients(step, dtype):
    generator = np.random.default_rng(step)
    return [np.asarray(generator.standard_normal(shape), dtype) for shape in SHAPES]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("make", "name", "settings"), CASES)
def test_agrees_with_torch(make, name, settings, dtype):
    torch = pytest.importorskip("torch")
    start = gradients(99, dtype)
    ours = [Parameter(value) for value in start]
    theirs = [torch.nn.Parameter(torch.tensor(value)) for value in start]
    optimizer, reference = make(ours, **settings), getattr(torch.optim, name)(theirs, **settings)
    for step in range(12):
        for p, q, grad in zip(ours, theirs, gradients(step, dtype), strict=True):
            p.grad, q.grad = grad, torch.tensor(grad)
        optimizer.step()
        reference.step()
        for p, q in zip(ours, theirs, strict=True):
            # Adadelta's first steps divide numbers near eps: rounding of the root is what differs.
            np.testing.assert_allclose(
                p.data, q.detach().numpy(), rtol=1e-12 if dtype == "float64" else 1e-5, atol=1e-6
            )


def reference_steps(kind, p, grads):
    """The formulas, in float64, with the settings of the test below."""
    s = u = v = a = np.zeros_like(p)
    for step, g in enumerate(grads, 1):
        g = g.astype(np.float64)
        if kind == "l1":
            p = p - 0.1 * (g + 0.05 * np.sign(p))
        elif kind == "momentum":
            v = 0.9 * v + g
            p = p - 0.1 * v
        elif kind == "nag":
            v = 0.9 * v + g
            p = p - 0.1 * (g + 0.9 * v)
        elif kind == "adagrad":
            s = s + g * g
            p = p - 0.1 * g / (np.sqrt(s) + 1e-10)
        elif kind == "adadelta":
            s = 0.9 * s + 0.1 * g * g
            d = np.sqrt(u + 1e-6) / np.sqrt(s + 1e-6) * g
            u = 0.9 * u + 0.1 * d * d
            p = p - d
        elif kind == "rmsprop":
            s, a = 0.9 * s + 0.1 * g * g, 0.9 * a + 0.1 * g
            v = 0.5 * v + g / (np.sqrt(s - a * a) + 1e-8)
            p = p - 0.1 * v
        elif kind == "adamw":
            p = p * (1 - 0.1 * 0.2)
            v, s = 0.9 * v + 0.1 * g, 0.999 * s + 0.001 * g * g
            p = p - 0.1 * (v / (1 - 0.9**step)) / (np.sqrt(s / (1 - 0.999**step)) + 1e-8)
    return p


@on_every_isa
@pytest.mark.parametrize(
    ("kind", "make"),
    [
        ("l1", lambda p: optim.SGD(p, 0.1, l1=0.05)),
        ("momentum", lambda p: optim.Momentum(p, 0.1)),
        ("nag", lambda p: optim.NAG(p, 0.1)),
        ("adagrad", lambda p: optim.Adagrad(p, 0.1)),
        ("adadelta", optim.Adadelta),
        ("rmsprop", lambda p: optim.RMSprop(p, 0.1, 0.9, momentum=0.5, centered=True)),
        ("adamw", lambda p: optim.AdamW(p, 0.1, weight_decay=0.2)),
    ],
)
def test_follows_its_formula_on_every_device(kind, make, device):
    start = np.random.default_rng(1).standard_normal((4, 3, 2)).astype(np.float32)
    p = Parameter(device.put(start))
    grads = [np.random.default_rng(10 + step).standard_normal(start.shape).astype(np.float32) for step in range(6)]
    optimizer = make([p])
    for grad in grads:
        p.grad = device.put(grad)
        optimizer.step()
    np.testing.assert_allclose(
        device.get(p.data), reference_steps(kind, start.astype(np.float64), grads), rtol=1e-5, atol=2e-6
    )


@pytest.mark.parametrize(("make", "name", "settings"), CASES)
def test_a_state_that_is_loaded_goes_on_bit_for_bit(make, name, settings):
    def run(steps, parameters, optimizer):
        for step in steps:
            for p, grad in zip(parameters, gradients(step, np.float32), strict=True):
                p.grad = grad
            optimizer.step()

    whole = [Parameter(value) for value in gradients(99, np.float32)]
    run(range(6), whole, make(whole, **settings))
    first = [Parameter(value) for value in gradients(99, np.float32)]
    optimizer = make(first, **settings)
    run(range(3), first, optimizer)
    state = optimizer.state_dict()
    rest = [Parameter(p.data) for p in first]
    other = make(rest, **{**settings, "lr": 0.7})
    other.load_state_dict(state)
    run(range(3, 6), first, optimizer)  # changes arrays that the state must not share
    run(range(3, 6), rest, other)
    for a, b in zip(whole, rest, strict=True):
        np.testing.assert_array_equal(a.data, b.data)


def test_a_state_dict_is_plain():
    p = Parameter(np.ones(3, np.float32))
    optimizer = optim.Adam([{"params": [p], "name": "all"}])
    assert json.dumps(optimizer.state_dict())  # before the first step there are no arrays
    p.grad = np.ones(3, np.float32)
    optimizer.step()
    (state,) = optimizer.state_dict()["state"]
    assert state["step"] == 1 and type(state["exp_avg"]) is np.ndarray
    assert optimizer.state_dict()["param_groups"][0]["name"] == "all"


def test_groups_have_settings_of_their_own():
    a, b = (Parameter(np.ones(2, np.float32)) for _ in range(2))
    optimizer = optim.SGD([{"params": [a], "lr": 0.5}, {"params": b}], lr=0.25)
    a.grad = b.grad = np.ones(2, np.float32)
    optimizer.step()
    assert a.data.tolist() == [0.5, 0.5] and b.data.tolist() == [0.75, 0.75]
    c = Parameter(np.ones(1, np.float32))
    optimizer.add_param_group({"params": [c], "momentum": 0.5})
    assert [group["momentum"] for group in optimizer.param_groups] == [0, 0, 0.5]
    assert "lr=0.5" in repr(optimizer)


def test_parameters_without_a_gradient_stay():
    a, b = (Parameter(np.ones(2, np.float32)) for _ in range(2))
    a.grad = np.ones(2, np.float32)
    optimizer = optim.AdamW([a, b])
    version = b.version
    optimizer.step()
    assert b.data.tolist() == [1, 1] and b.version == version and a.data[0] < 1
    optimizer.zero_grad()
    assert a.grad is None


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_sixteen_bits_have_a_master_copy(dtype):
    """Steps below half an ulp add up in the master, and are lost without one."""
    p = Parameter(np.ones(4, numpy_dtype(dtype)))
    optimizer = optim.SGD([p], lr=2.0**-14)
    for _ in range(1024):
        p.grad = np.ones(4, p.dtype)
        optimizer.step()
    assert p.dtype.name == dtype and (p.data.astype(np.float32) == 1 - 2.0**-4).all()
    p.data = np.full(4, 3, p.dtype)  # the master follows an assignment
    optimizer.step()
    assert (p.data.astype(np.float32) == 3).all()
    assert (optimizer.state_dict()["state"][0]["master"] == np.float32(3 - 2.0**-14)).all()
    other = optim.SGD([Parameter(p.data)], lr=2.0**-14)
    other.load_state_dict(optimizer.state_dict())
    other.param_groups[0]["params"][0].grad = np.ones(4, p.dtype)
    other.step()
    assert (other.state_dict()["state"][0]["master"] == np.float32(3 - 2.0**-13)).all()


P = Parameter(np.zeros(3, np.float32))


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: optim.SGD([]), "params: expected at least one parameter"),
        (lambda: optim.SGD(P), "params: expected an iterable of parameters"),
        (lambda: optim.SGD([P, np.zeros(3)]), "params: expected parameters, got ndarray"),
        (lambda: optim.SGD([P, P]), "more than once"),
        (lambda: optim.SGD([{"params": [P]}, {"params": [P]}]), "more than once"),
        (lambda: optim.SGD([{"lr": 3}]), "expected a group as a dict with 'params'"),
        (lambda: optim.SGD([{"params": [P], "rate": 3}]), "SGD: no setting 'rate'; there are lr, momentum"),
        (lambda: optim.SGD([P], lr=-1), "lr: expected at least 0, got -1"),
        (lambda: optim.SGD([P], lr=float("nan")), "lr: expected at least 0, got nan"),
        (lambda: optim.SGD([P], lr="x"), "lr: expected a number, got 'x'"),
        (lambda: optim.SGD([P], nesterov=True), "nesterov: expected a momentum"),
        (lambda: optim.Adam([P], betas=(0.9,)), "betas: expected a pair of numbers"),
        (lambda: optim.Adam([P], betas=(0.9, 2)), "betas: expected numbers of at least 0 and below 1, got 2"),
        (lambda: optim.RMSprop([P], alpha=1.5), "alpha: expected 0 to 1"),
    ],
)
def test_errors_name_the_setting(call, text):
    with pytest.raises(fc.TrainingError, match=text):
        call()


def test_a_state_that_does_not_fit_changes_nothing():
    p = Parameter(np.zeros(3, np.float32))
    optimizer = optim.Adam([p])
    p.grad = np.ones(3, np.float32)
    optimizer.step()
    good = optimizer.state_dict()
    for bad, text in (
        ({}, "expected a dict with 'state'"),
        ({**good, "state": []}, "expected groups"),
        ({**good, "state": [{"exp_avg": np.zeros(4)}]}, r"exp_avg of parameter 0: expected shape \(3,\), got \(4,\)"),
    ):
        with pytest.raises(fc.StateDictError, match=text):
            optimizer.load_state_dict(bad)
    assert optimizer.state_dict()["state"][0]["step"] == 1

"""Initial values: determinism, moments within bounds that the number of draws gives, torch's formulas, the state."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

import fastconv as fc
from fastconv.nn import Parameter, init

SHAPE = (64, 32, 3, 3)  # 18,432 values; fan_in 288, fan_out 576

# Each: its function, and the standard deviation that its formula gives; whether it is uniform.
FORMULAS = {
    "kaiming_normal_": (lambda p: init.kaiming_normal_(p, nonlinearity="relu"), math.sqrt(2 / 288), False),
    "kaiming_normal_ fan_out": (lambda p: init.kaiming_normal_(p, 0.2, "fan_out"), math.sqrt(2 / 1.04 / 576), False),
    "kaiming_uniform_": (lambda p: init.kaiming_uniform_(p, nonlinearity="relu"), math.sqrt(2 / 288), True),
    "xavier_normal_": (lambda p: init.xavier_normal_(p, 1.5), 1.5 * math.sqrt(2 / 864), False),
    "xavier_uniform_": (init.xavier_uniform_, math.sqrt(2 / 864), True),
    "lecun_normal_": (init.lecun_normal_, math.sqrt(1 / 288), False),
    "normal_": (lambda p: init.normal_(p, 0.0, 0.3), 0.3, False),
    "uniform_": (lambda p: init.uniform_(p, -1.0, 1.0), math.sqrt(1 / 3), True),
    # of a normal distribution cut off at 2 std: 1 - 4 phi(2) / (Phi(2) - Phi(-2)) = 0.7737
    "trunc_normal_": (lambda p: init.trunc_normal_(p, std=0.1, a=-0.2, b=0.2), 0.1 * math.sqrt(0.77374), False),
}


def made(fill, shape=SHAPE, dtype=np.float32):
    parameter = Parameter(np.full(shape, 9, dtype))
    assert fill(parameter) is parameter
    return parameter.data


@pytest.mark.parametrize("name", FORMULAS)
def test_moments(name):
    fill, std, is_uniform = FORMULAS[name]
    init.manual_seed(0)
    values = made(fill).astype(np.float64)
    n = values.size
    # 4.5 standard errors: of the mean, std / sqrt(n); of the deviation, std / sqrt(2 n) at most for these distributions.
    assert abs(values.mean()) < 4.5 * std / math.sqrt(n)
    assert abs(values.std() - std) < 4.5 * std / math.sqrt(2 * n)
    if is_uniform:
        bound = std * math.sqrt(3)
        assert np.abs(values).max() <= bound * (1 + 1e-6) and np.abs(values).max() > 0.99 * bound


@pytest.mark.parametrize("name", FORMULAS)
def test_the_seed_decides_every_bit(name):
    fill, _, _ = FORMULAS[name]
    init.manual_seed(5)
    first, second = made(fill), made(fill)
    init.manual_seed(5)
    np.testing.assert_array_equal(made(fill), first)
    assert not np.array_equal(first, second)


def test_truncation_keeps_within():
    init.manual_seed(1)
    values = made(lambda p: init.trunc_normal_(p, mean=0.5, std=1.0, a=0.0, b=2.0))
    assert values.min() >= 0 and values.max() <= 2
    with pytest.raises(fc.ModelError, match=r"a, b: expected an interval that N\(0.0, 1.0\^2\) falls into"):
        init.trunc_normal_(Parameter(np.zeros(3, np.float32)), a=7.0, b=8.0)


def test_constants_and_dtypes():
    assert (made(init.zeros_) == 0).all() and (made(init.ones_) == 1).all()
    assert (made(lambda p: init.constant_(p, 0.25), (3,), np.float64) == 0.25).all()
    assert made(init.lecun_normal_, dtype=np.float16).dtype == np.float16


@pytest.mark.parametrize("shape", [(4, 3), (8, 4, 3, 5), (6, 5, 7)])
def test_fans_and_gains_are_torchs(shape):
    torch = pytest.importorskip("torch")
    assert init.fans(shape) == torch.nn.init._calculate_fan_in_and_fan_out(torch.zeros(shape))
    for name in ("linear", "conv2d", "sigmoid", "tanh", "relu", "selu", "leaky_relu"):
        assert init.calculate_gain(name) == torch.nn.init.calculate_gain(name)
    assert init.calculate_gain("leaky_relu", 0.3) == torch.nn.init.calculate_gain("leaky_relu", 0.3)


def test_errors_name_the_argument():
    with pytest.raises(
        fc.ShapeError, match=r"parameter: expected at least two axes \(out, in, ...\), got shape \(3,\)"
    ):
        init.xavier_normal_(Parameter(np.zeros(3, np.float32)))
    with pytest.raises(fc.ModelError, match="mode: expected fan_in or fan_out, got 'fan'"):
        init.kaiming_normal_(Parameter(np.zeros((3, 3), np.float32)), mode="fan")
    with pytest.raises(fc.ModelError, match="nonlinearity: expected one of linear"):
        init.calculate_gain("step")


def test_the_generators_state_goes_through_json():
    init.manual_seed(3)
    init.generator().random(3, dtype=np.float32)  # leaves half a word in the generator
    state = json.loads(json.dumps(init.get_state()))
    first = init.generator().random(5, dtype=np.float32)
    init.manual_seed(8)
    init.set_state(state)
    np.testing.assert_array_equal(init.generator().random(5, dtype=np.float32), first)
    for bad in ({}, {"bit_generator": "MT19937"}, {**state, "generator": {"state": {"state": -1, "inc": "x"}}}):
        with pytest.raises(fc.StateDictError, match="state: expected what get_state"):
            init.set_state(bad)

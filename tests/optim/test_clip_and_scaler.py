"""Gradient clipping against torch and exactly; loss scaling against torch's rules."""

from __future__ import annotations

import math

import numpy as np
import pytest

import fastconv as fc
from fastconv import optim
from fastconv.nn import Parameter
from fastconv.nn.module import numpy_dtype


def with_gradients(*grads):
    parameters = [Parameter(np.zeros_like(grad)) for grad in grads]
    for p, grad in zip(parameters, grads, strict=True):
        p.grad = grad
    return parameters


def random_gradients(dtype=np.float32):
    generator = np.random.default_rng(0)
    return [generator.standard_normal(shape).astype(dtype) for shape in ((5, 3, 3, 3), (17,), (2, 2))]


@pytest.mark.parametrize("norm_type", [2.0, 1.0, 3.0, math.inf])
@pytest.mark.parametrize("max_norm", [0.5, 1e3])
def test_norm_agrees_with_torch(norm_type, max_norm):
    torch = pytest.importorskip("torch")
    parameters, theirs = with_gradients(*random_gradients()), []
    for grad in random_gradients():
        theirs.append(torch.nn.Parameter(torch.zeros(grad.shape)))
        theirs[-1].grad = torch.tensor(grad)
    norm = optim.clip_grad_norm_(parameters, max_norm, norm_type)
    assert float(norm) == pytest.approx(float(torch.nn.utils.clip_grad_norm_(theirs, max_norm, norm_type)), rel=1e-6)
    for p, q in zip(parameters, theirs, strict=True):
        np.testing.assert_allclose(p.grad, q.grad.numpy(), rtol=1e-6)


def test_norm_is_exact_and_leaves_small_gradients_alone():
    parameters = with_gradients(np.array([3], np.float32), np.array([[4, 12]], np.float32), np.array([84], np.float32))
    assert float(optim.clip_grad_norm_(parameters, 85.1)) == 85.0
    assert [p.grad.ravel().tolist() for p in parameters] == [[3], [4, 12], [84]]
    (large,) = with_gradients(np.full(4, 1e30, np.float32))  # its square is no float32
    assert float(optim.clip_grad_norm_(large, 1.0)) == pytest.approx(2e30)
    np.testing.assert_allclose(large.grad, 0.5, rtol=1e-6)
    assert float(optim.clip_grad_norm_([Parameter(np.zeros(2, np.float32))], 1.0)) == 0


def test_gradients_that_share_memory_are_scaled_once():
    shared = np.full(4, 2, np.float32)
    a, b = with_gradients(shared, shared)
    optim.clip_grad_value_([a], 1.0)
    assert a.grad.tolist() == [1] * 4 and b.grad.tolist() == [2] * 4


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_dtypes_stay(dtype):
    parameters = with_gradients(*random_gradients(numpy_dtype(dtype)))
    optim.clip_grad_norm_(parameters, 0.5)
    optim.clip_grad_value_(parameters, 0.05)
    assert all(p.grad.dtype.name == dtype and (np.abs(p.grad.astype(np.float32)) <= 0.0502).all() for p in parameters)


def test_clipping_errors():
    (p,) = with_gradients(np.array([math.inf], np.float32))
    with pytest.raises(fc.TrainingError, match="norm of the gradients is inf"):
        optim.clip_grad_norm_(p, 1.0, error_if_nonfinite=True)
    with pytest.raises(fc.TrainingError, match="max_norm: expected a number above 0, got -1"):
        optim.clip_grad_norm_(p, -1)
    with pytest.raises(fc.TrainingError, match="clip_value: expected a number above 0"):
        optim.clip_grad_value_(p, 0)


def test_scaler_skips_backs_off_and_grows():
    scaler = optim.GradScaler(init_scale=8.0, growth_interval=2)
    (p,) = with_gradients(np.zeros(2, np.float32))
    optimizer = optim.SGD([p], lr=1.0)
    seen = []
    for grad in (1.0, math.inf, 1.0, 1.0, math.nan, 1.0):
        assert float(scaler.scale(np.float32(0.5))) == 0.5 * scaler.get_scale()
        p.grad = np.full(2, grad * scaler.get_scale(), np.float32)
        seen.append((scaler.step(optimizer), scaler.get_scale()))
        scaler.update()
    assert seen == [(True, 8), (False, 8), (True, 4), (True, 4), (False, 8), (True, 4)]
    assert p.data.tolist() == [-4, -4]
    other = optim.GradScaler()
    other.load_state_dict(scaler.state_dict())
    assert other.state_dict() == scaler.state_dict() and other.get_scale() == 4
    with pytest.raises(fc.StateDictError, match="missing scale"):
        other.load_state_dict({})


def test_scaler_unscales_before_clipping_once():
    scaler = optim.GradScaler(init_scale=4.0)
    (p,) = with_gradients(np.array([12, 16], np.float32))
    optimizer = optim.SGD([p], lr=1.0)
    scaler.unscale_(optimizer)
    assert float(optim.clip_grad_norm_(p, 10)) == 5.0
    with pytest.raises(fc.TrainingError, match="unscaled already"):
        scaler.unscale_(optimizer)
    assert scaler.step(optimizer) and p.data.tolist() == [-3, -4]
    scaler.update()
    with pytest.raises(fc.TrainingError, match="expected a step"):
        scaler.update()


def test_a_disabled_scaler_passes_everything_through():
    scaler = optim.GradScaler(enabled=False)
    (p,) = with_gradients(np.ones(1, np.float32))
    assert scaler.scale(3.0) == 3.0 and scaler.get_scale() == 1.0
    assert scaler.step(optim.SGD([p], lr=1.0)) and p.data.tolist() == [-1]
    scaler.update()


@pytest.mark.parametrize(
    "settings", [{"init_scale": 0}, {"growth_factor": 1}, {"backoff_factor": 1}, {"growth_interval": 0}]
)
def test_scaler_errors(settings):
    (name,) = settings
    with pytest.raises(fc.TrainingError, match=f"{name}: expected"):
        optim.GradScaler(**settings)

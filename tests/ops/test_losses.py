"""Losses an element and cross-entropy with class weights on every device: their formulas in float64, PyTorch's numbers."""

from __future__ import annotations

import numpy as np
import pytest

import fastconv as fc
from tests.conftest import on_every_isa
from tests.conv_check import DTYPES, integers
from tests.ops.test_norm_kernels import assert_close, normal

LOSSES = ("mse_loss", "binary_cross_entropy", "binary_cross_entropy_with_logits")


def formula(loss, x, t, weight=1.0, positive=1.0):
    """The loss of each element and its slope, in float64."""
    if loss == "mse_loss":
        return (x - t) ** 2, 2 * (x - t)
    if loss == "binary_cross_entropy":
        with np.errstate(divide="ignore"):
            yes, no = np.maximum(np.log(x), -100), np.maximum(np.log1p(-x), -100)
        return -weight * (t * yes + (1 - t) * no), weight * (x - t) / np.maximum(x * (1 - x), 1e-12)
    soft = np.log1p(np.exp(-np.abs(x))) + np.maximum(-x, 0)
    s = 1 / (1 + np.exp(-x))
    value = (1 - t) * x + (1 + (positive - 1) * t) * soft
    return weight * value, weight * ((positive * t + 1 - t) * s - positive * t)


def operands(loss, shape, dtype):
    generator = np.random.default_rng(3)
    x = normal(shape, 0, dtype, 2.0)
    if loss == "binary_cross_entropy":
        x = (generator.uniform(0.02, 0.98, shape)).astype(x.dtype)
    return x, generator.random(shape).astype(x.dtype)


@on_every_isa
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("shape", [(), (1,), (7, 5), (3, 2050), (2, 3, 5, 4)])
def test_formulas(ops, loss, shape, dtype):
    x, t = operands(loss, shape, dtype)
    values, slopes = formula(loss, x.astype(np.float64), t.astype(np.float64))
    call, gradient = getattr(ops, loss), getattr(ops, f"{loss}_grad")
    for reduction, exact, scale in (("mean", values.mean(), 1 / values.size), ("sum", values.sum(), 1.0)):
        y = call(x, t, reduction=reduction)
        assert y.shape == () and y.dtype == x.dtype
        assert_close(y, exact, dtype, 2)
        assert_close(gradient(np.array(2, x.dtype), x, t, reduction=reduction), 2 * scale * slopes, dtype, 8)
    assert_close(call(x, t, reduction="none"), values, dtype, 4)
    given = normal(shape, 5, dtype)
    assert_close(gradient(given, x, t, reduction="none"), given.astype(np.float64) * slopes, dtype, 8)


@on_every_isa
@pytest.mark.parametrize("dtype", DTYPES)
def test_weights(ops, dtype):
    for loss in LOSSES[1:]:
        x, t = operands(loss, (6, 5), dtype)
        whole, row, column = (np.abs(normal(shape, 7, dtype)) for shape in ((6, 5), (5,), (6, 1)))
        for weight in (whole, row, column):
            named = {"weight": weight}
            positive = np.ones(1)
            if loss.endswith("logits"):
                named["pos_weight"] = positive = row
            wide = (a.astype(np.float64) for a in (x, t, weight, positive))
            values, slopes = formula(loss, *wide)
            assert_close(getattr(ops, loss)(x, t, **named), values.mean(), dtype, 2)
            dx = getattr(ops, f"{loss}_grad")(np.array(30, x.dtype), x, t, **named)
            assert_close(dx, slopes, dtype, 8)


@on_every_isa
def test_squares_are_exact_on_integers_and_formats_are_kept(ops):
    x, t = integers((2, 8, 5, 7), 0, "float32"), integers((2, 8, 5, 7), 1, "float32")
    last = fc.ops.channels_last(x)
    exact = (x - t).astype(np.float64) ** 2
    for form in (x, last):
        assert ops.mse_loss(form, t, "sum") == exact.sum()
        y = ops.mse_loss(form, t, "none")
        np.testing.assert_array_equal(y, exact)
        assert y.strides == form.strides
        dx = ops.mse_loss_grad(np.array(1, np.float32), form, t, "sum")
        np.testing.assert_array_equal(dx, 2 * (x - t))
        assert dx.strides == form.strides


@pytest.mark.parametrize("loss", LOSSES)
def test_threads_change_nothing(loss, threads, isa):
    x, t = operands(loss, (40000,), "float32")
    results = []
    for count in (1, 2, 5):
        threads(count)
        results.append(getattr(fc.ops, loss)(x, t))
    assert results[0] == results[1] == results[2]


@on_every_isa
def test_edges_and_nan(ops):
    x, t = np.float32([0, 1, 0, 1, 2, np.nan]), np.float32([0, 1, 1, 0, 0, 1])
    y = ops.binary_cross_entropy(x, t, reduction="none")
    np.testing.assert_array_equal(y, np.float32([0, 0, 100, 100, np.nan, np.nan]))
    dx = ops.binary_cross_entropy_grad(np.ones(6, np.float32), x, t, reduction="none")
    np.testing.assert_allclose(dx[:4], [0, 0, -1e12, 1e12], rtol=1e-6)
    z = np.float32([200, -200, 200, -200, np.inf, np.nan])
    y = ops.binary_cross_entropy_with_logits(z, t, reduction="none")
    np.testing.assert_array_equal(y[:4], [200, 200, 0, 0])
    assert y[4] == np.inf and np.isnan(y[5])
    nothing = np.zeros((0, 3), np.float32)
    assert np.isnan(ops.mse_loss(nothing, nothing)) and ops.mse_loss(nothing, nothing, "sum") == 0
    assert ops.mse_loss(nothing, nothing, "none").shape == (0, 3)
    assert ops.mse_loss_grad(np.array(1, np.float32), nothing, nothing).shape == (0, 3)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_elements_agree_with_torch(reduction):
    torch = pytest.importorskip("torch")
    weight, positive = np.float32([0.5, 2, 1, 3]), np.float32([1, 4, 0.25, 2])
    for loss in LOSSES:
        x, t = operands(loss, (30, 4), "float32")
        named = {"mse_loss": {}, LOSSES[1]: {"weight": weight}, LOSSES[2]: {"weight": weight, "pos_weight": positive}}
        leaf = torch.tensor(x, requires_grad=True)
        theirs = getattr(torch.nn.functional, loss)(
            leaf, torch.tensor(t), **{k: torch.tensor(v) for k, v in named[loss].items()}, reduction=reduction
        )
        ours = getattr(fc.ops, loss)(x, t, **named[loss], reduction=reduction)
        np.testing.assert_allclose(ours, theirs.detach().numpy(), rtol=2e-6, atol=1e-6)
        grad = np.ones(ours.shape, np.float32)
        theirs.backward(torch.tensor(grad))
        dx = getattr(fc.ops, f"{loss}_grad")(grad, x, t, **named[loss], reduction=reduction)
        np.testing.assert_allclose(dx, leaf.grad.numpy(), rtol=2e-5, atol=1e-6)


@on_every_isa
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("shape", [(7, 5), (3, 1100), (2, 4, 3, 2)])
def test_class_weights(ops, shape, smoothing, dtype):
    x = normal(shape, 0, dtype, 3.0)
    target = np.random.default_rng(1).integers(0, shape[1], shape[:1] + shape[2:])
    target.flat[1] = -100
    weight = np.abs(normal((shape[1],), 4, dtype)) + x.dtype.type(0.25)
    w = weight.astype(np.float64)
    z = np.moveaxis(x.astype(np.float64), 1, -1).reshape(-1, shape[1])
    logs = z - z.max(1, keepdims=True)
    logs -= np.log(np.exp(logs).sum(1, keepdims=True))
    flat = target.reshape(-1)
    kept = flat >= 0
    wanted = np.tile(smoothing / shape[1] * w, (len(flat), 1))
    wanted[np.arange(len(flat)), np.where(kept, flat, 0)] += (1 - smoothing) * w[np.where(kept, flat, 0)]
    wanted[~kept] = 0
    losses = -(wanted * logs).sum(1)
    slopes = np.exp(logs) * wanted.sum(1, keepdims=True) - wanted
    counted = w[flat[kept]].sum()
    for reduction, exact, scale in (("mean", losses.sum() / counted, 1 / counted), ("sum", losses.sum(), 1.0)):
        named = {"label_smoothing": smoothing, "reduction": reduction, "weight": weight}
        assert_close(ops.cross_entropy(x, target, **named), exact, dtype, 4)
        dx = ops.cross_entropy_grad(np.array(2, x.dtype), x, target, **named)
        assert_close(np.moveaxis(dx, 1, -1).reshape(z.shape), 2 * scale * slopes, dtype, 4)
    named = {"label_smoothing": smoothing, "reduction": "none", "weight": weight}
    assert_close(ops.cross_entropy(x, target, **named).reshape(-1), losses, dtype, 4)


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_class_weights_agree_with_torch(reduction, smoothing):
    torch = pytest.importorskip("torch")
    x, weight = normal((9, 6, 2), 0, "float32", 2.0), np.float32([1, 0.5, 0, 2, 3, 0.1])
    target = np.random.default_rng(0).integers(0, 6, (9, 2))
    target[3] = 5
    leaf = torch.tensor(x, requires_grad=True)
    theirs = torch.nn.functional.cross_entropy(
        leaf,
        torch.tensor(target),
        torch.tensor(weight),
        ignore_index=5,
        reduction=reduction,
        label_smoothing=smoothing,
    )
    named = {"ignore_index": 5, "reduction": reduction, "label_smoothing": smoothing, "weight": weight}
    ours = fc.ops.cross_entropy(x, target, **named)
    np.testing.assert_allclose(ours, theirs.detach().numpy(), rtol=1e-5, atol=1e-6)
    theirs.backward(torch.ones_like(theirs))
    dx = fc.ops.cross_entropy_grad(np.ones(ours.shape, np.float32), x, target, **named)
    np.testing.assert_allclose(dx, leaf.grad.numpy(), rtol=1e-5, atol=1e-6)


X = np.zeros((3, 4), np.float32)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: fc.ops.mse_loss(X, X[:2]), "target: expected the shape of x"),
        (lambda: fc.ops.mse_loss(X, X.astype(np.float64)), "target: expected the input's dtype"),
        (lambda: fc.ops.mse_loss(X, X, "median"), "reduction: expected one of"),
        (lambda: fc.ops.mse_loss_grad(X, X, X), "grad: expected the shape of the loss"),
        (lambda: fc.ops.binary_cross_entropy(X, X, X[:, :3]), "weight: expected a shape that broadcasts"),
        (lambda: fc.ops.binary_cross_entropy(X, X, X[None]), "weight: expected a shape that broadcasts"),
        (lambda: fc.ops.binary_cross_entropy_with_logits(X, X, pos_weight=X[:2]), "pos_weight: expected a shape"),
        (lambda: fc.ops.cross_entropy(X, np.array([0, 1, 2]), weight=X[0, :3]), r"weight: expected shape \(4,\)"),
    ],
)
def test_errors_name_the_argument(call, message):
    with pytest.raises((fc.ShapeError, fc.DTypeError, fc.AlgorithmError), match=message):
        call()

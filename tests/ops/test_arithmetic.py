"""Residual sums and channels scaled on every device: exact on integers, gradients the adjoint, formats kept."""

from __future__ import annotations

import numpy as np
import pytest

import fastconv as fc
from fastconv.backends import simt
from tests.conftest import on_every_isa
from tests.conv_check import DTYPES, integers

SHAPES = [(2, 3, 5, 4), (1, 40, 7, 7), (3, 16, 2, 3), (2, 67, 1, 1), (1, 8, 33, 20)]


@on_every_isa
@pytest.mark.parametrize("dtype", DTYPES)
def test_sums(ops, dtype):
    for shape in [(), (5,), (1025,), (3, 1024, 2), (0, 4), *SHAPES]:
        x, y = integers(shape, 0, dtype), integers(shape, 1, dtype)
        exact = x.astype(np.float64) + y.astype(np.float64)
        np.testing.assert_array_equal(ops.add(x, y), exact)
        np.testing.assert_array_equal(ops.add(x, y, "relu"), np.maximum(exact, 0))
        if len(shape) == 4:
            z = ops.add(fc.ops.channels_last(x), y)
            np.testing.assert_array_equal(z, exact)
            assert z.strides == fc.ops.channels_last(x).strides


@on_every_isa
@pytest.mark.parametrize("dtype", DTYPES)
def test_scaled_channels_and_gradients(ops, dtype):
    for shape in SHAPES:
        x, grad = integers(shape, 0, dtype, -1, 1), integers(shape, 1, dtype, -1, 1)
        scale = integers(shape[:2], 2, dtype)
        wide = scale.astype(np.float64)[:, :, None, None]
        dscale = (x.astype(np.float64) * grad.astype(np.float64)).sum((2, 3))
        for form in (x, fc.ops.channels_last(x)):
            y = ops.scale_channels(form, scale)
            np.testing.assert_array_equal(y, x.astype(np.float64) * wide)
            assert y.flags.c_contiguous == form.flags.c_contiguous
            dx, ds = ops.scale_channels_grad(grad, form, scale)
            np.testing.assert_array_equal(dx, grad.astype(np.float64) * wide)
            np.testing.assert_array_equal(ds, dscale)
        one = ops.scale_channels_grad(grad[0], x[0], scale[0][:, None, None])
        assert one[0].shape == shape[1:] and one[1].shape == (shape[1], 1, 1)
        np.testing.assert_array_equal(one[1].ravel(), dscale[0])
        np.testing.assert_array_equal(ops.scale_channels(x[0], scale[0]), y[0])


@on_every_isa
@pytest.mark.parametrize("order", ["forward", "reverse", "random", "skew"])
def test_long_sums_do_not_depend_on_the_batch(ops, order):
    x = np.random.default_rng(0).standard_normal((3, 20, 31, 29)).astype(np.float32)
    grad = np.random.default_rng(1).standard_normal(x.shape).astype(np.float32)
    with simt.options(order=order, seed=2):
        _, ds = ops.scale_channels_grad(grad, x, np.ones((3, 20), np.float32))
        _, alone = ops.scale_channels_grad(grad[1:2], x[1:2], np.ones((1, 20), np.float32))
    np.testing.assert_array_equal(ds[1:2], alone)
    products = x.astype(np.float64) * grad
    bound = 900 * np.finfo(np.float32).eps * np.abs(products).mean((2, 3))  # a term's share of a sum of 899
    assert (np.abs(ds - products.sum((2, 3))) <= bound * 8).all()


@on_every_isa
def test_nothing_nan_and_infinity(ops):
    x = np.zeros((0, 3, 2, 2), np.float32)
    assert ops.scale_channels(x, np.zeros((0, 3), np.float32)).shape == x.shape
    empty = np.zeros((2, 3, 0, 2), np.float32)
    dx, ds = ops.scale_channels_grad(empty, empty, np.ones((2, 3), np.float32))
    assert dx.shape == empty.shape and (ds == 0).all()
    y = ops.add(np.float32([np.nan, np.inf, np.inf, -np.inf]), np.float32([1, 1, -np.inf, 1]), "relu")
    np.testing.assert_array_equal(y, np.float32([np.nan, np.inf, np.nan, 0]))


def test_agreement_with_torch():
    torch = pytest.importorskip("torch")
    x = np.float32([-4, -3, -2.5, 0, 1, 3, 4, np.nan, np.inf, -np.inf])
    grad = np.arange(1, 11, dtype=np.float32)
    for ours, theirs in (("hard_sigmoid", "hardsigmoid"), ("hard_swish", "hardswish")):
        leaf = torch.tensor(x, requires_grad=True)
        y = getattr(torch.nn.functional, theirs)(leaf)
        y.backward(torch.tensor(grad))
        np.testing.assert_allclose(getattr(fc.ops, ours)(x), y.detach().numpy(), rtol=2e-7)
        np.testing.assert_allclose(fc.ops.activation_grad(x, grad, ours), leaf.grad.numpy(), rtol=2e-7)


X, S = np.zeros((2, 3, 4, 4), np.float32), np.zeros((2, 3), np.float32)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: fc.ops.add(X, X[:1]), "y: expected the shape of x"),
        (lambda: fc.ops.add(X, X.astype(np.float16)), "y: expected the input's dtype"),
        (lambda: fc.ops.add(X, X, "gelu"), "activation: expected one of"),
        (lambda: fc.ops.scale_channels(X, S[:, :2]), r"scale: expected shape \(2, 3\)"),
        (lambda: fc.ops.scale_channels(X[0], S), r"scale: expected shape \(3,\)"),
        (lambda: fc.ops.scale_channels(X[0, 0], S), "x: expected shape"),
        (lambda: fc.ops.scale_channels_grad(X[:1], X, S), "grad: expected the shape of x"),
    ],
)
def test_errors_name_the_argument(call, message):
    with pytest.raises((fc.ShapeError, fc.DTypeError, fc.AlgorithmError), match=message):
        call()

"""Transposed convolution and its gradients: exact on integers, the adjoint of convolution, PyTorch's numbers."""

from __future__ import annotations

import numpy as np
import pytest

import fastconv as fc
from tests.conftest import on_every_isa
from tests.conv_check import DTYPES, integers

# (stride, padding, output_padding, groups, dilation); the last ones reach over the stride, by dilation.
CASES = [
    (1, 0, 0, 1, 1),
    (2, 1, 1, 1, 1),
    ((2, 3), (1, 0), (1, 2), 2, 1),
    (3, 2, 0, 1, (1, 2)),
    (2, 0, 1, 6, 1),
    (1, 1, 1, 1, 2),
    (2, (0, 1), (2, 3), 2, (3, 4)),
]
X_SHAPE = (2, 6, 5, 4)


def by_definition(x, weight, stride, padding, output_padding, groups, dilation):
    """Every pixel of x spreads the weight over a window, in float64."""
    (sh, sw), (ph, pw), (oh, ow), (dh, dw) = (
        (v, v) if isinstance(v, int) else v for v in (stride, padding, output_padding, dilation)
    )
    n, c, h, w = x.shape
    _, group_k, r, s = weight.shape
    full = np.zeros((n, group_k * groups, (h - 1) * sh + dh * (r - 1) + 1 + oh, (w - 1) * sw + dw * (s - 1) + 1 + ow))
    z, f = x.astype(np.float64), weight.astype(np.float64)
    for channel in range(c):
        first = channel // (c // groups) * group_k
        for k, i, j in np.ndindex(group_k, r, s):
            window = full[:, first + k, i * dh : i * dh + (h - 1) * sh + 1, j * dw : j * dw + (w - 1) * sw + 1]
            window[:, ::sh, ::sw] += z[:, channel] * f[channel, k, i, j]
    return full[:, :, ph : full.shape[2] - ph, pw : full.shape[3] - pw]


@on_every_isa
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES)
def test_exact_on_integers(ops, case, dtype, direct_only):
    groups = case[3]
    x, weight = integers(X_SHAPE, 0, dtype, -2, 2), integers((6, 4 // min(groups, 2), 3, 2), 1, dtype, -2, 2)
    exact = by_definition(x, weight, *case)
    bias = integers((exact.shape[1],), 2, dtype)
    for form in (x, fc.ops.channels_last(x)):
        np.testing.assert_array_equal(ops.conv_transpose2d(form, weight, None, *case), exact)
        y = ops.conv_transpose2d(form, weight, bias, *case, activation="relu")
        np.testing.assert_array_equal(y, np.maximum(exact + bias.astype(np.float64)[:, None, None], 0))
        assert y.flags.c_contiguous == form.flags.c_contiguous
    np.testing.assert_array_equal(ops.conv_transpose2d(x[1], weight, None, *case), exact[1])


@on_every_isa
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES)
def test_gradients_are_the_adjoint(ops, case, dtype, direct_only):
    """<y, g> = <x, dx> = <weight, dw>, exactly: all of it is sums of products of small integers."""
    x, weight = integers(X_SHAPE, 0, dtype, -1, 1), integers((6, 2 if case[3] == 2 else 1, 3, 2), 1, dtype, -1, 1)
    y = ops.conv_transpose2d(x, weight, None, *case).astype(np.float64)
    grad = integers(y.shape, 2, dtype, -1, 1)
    inner = (y * grad.astype(np.float64)).sum()
    dx = ops.conv_transpose2d_input_grad(grad, weight, x.shape, *case)
    dw = ops.conv_transpose2d_weight_grad(grad, x, weight.shape, *case)
    assert dx.shape == x.shape and dx.flags.c_contiguous and dw.shape == weight.shape
    assert inner == (x.astype(np.float64) * dx.astype(np.float64)).sum()
    assert inner == (weight.astype(np.float64) * dw.astype(np.float64)).sum()
    one = ops.conv_transpose2d_input_grad(fc.ops.channels_last(grad)[1], weight, x.shape[1:], *case)
    np.testing.assert_array_equal(one, dx[1])


@pytest.mark.parametrize("case", CASES)
def test_agreement_with_torch(case):
    torch = pytest.importorskip("torch")
    x, weight = integers(X_SHAPE, 0, "float32"), integers((6, 6 // case[3], 4, 3), 1, "float32")
    bias = integers((weight.shape[1] * case[3],), 2, "float32")
    leaves = [torch.tensor(a, requires_grad=True) for a in (x, weight, bias)]
    theirs = torch.nn.functional.conv_transpose2d(*leaves, *case)
    grad = integers(tuple(theirs.shape), 3, "float32")
    theirs.backward(torch.tensor(grad))
    with fc.allow_winograd(False):
        np.testing.assert_array_equal(fc.ops.conv_transpose2d(x, weight, bias, *case), theirs.detach().numpy())
        dx = fc.ops.conv_transpose2d_input_grad(grad, weight, x.shape, *case)
        dw = fc.ops.conv_transpose2d_weight_grad(grad, x, weight.shape, *case)
    np.testing.assert_array_equal(dx, leaves[0].grad.numpy())
    np.testing.assert_array_equal(dw, leaves[1].grad.numpy())


def test_a_prepared_weight_and_an_empty_batch():
    x, weight = integers((0, 4, 3, 3), 0, "float32"), fc.ops.prepare_weight(integers((4, 2, 2, 2), 1, "float32"))
    assert fc.ops.conv_transpose2d(x, weight, stride=2).shape == (0, 2, 6, 6)
    images = integers((1, 4, 3, 3), 0, "float32")
    y = fc.ops.conv_transpose2d(images, weight, stride=2)
    np.testing.assert_array_equal(y, fc.ops.conv_transpose2d(images, weight.array, stride=2))


def test_nan_and_infinity_go_where_the_window_goes():
    x = np.zeros((1, 1, 3, 3), np.float32)
    x[0, 0, 1, 1] = np.inf
    y = fc.ops.conv_transpose2d(x, np.ones((1, 1, 1, 1), np.float32), stride=2, algo="reference")
    assert y[0, 0, 2, 2] == np.inf and np.isfinite(y).sum() == 24


X, W = np.zeros((2, 4, 6, 6), np.float32), np.zeros((4, 3, 3, 3), np.float32)
Y = np.zeros((2, 3, 8, 8), np.float32)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: fc.ops.conv_transpose2d(X, W, output_padding=1), "output_padding: expected less than stride"),
        (lambda: fc.ops.conv_transpose2d(X, W, None, 2, 0, (1, 2)), r"output_padding: expected less.*got \(1, 2\)"),
        (lambda: fc.ops.conv_transpose2d(X, W[:3]), r"weight: x has 4 channels, so expected \(4, K/groups, R, S\)"),
        (lambda: fc.ops.conv_transpose2d(X, W, groups=3), "groups: expected a divisor of the 4 channels"),
        (lambda: fc.ops.conv_transpose2d(X, W, groups=0), "groups: expected a positive int"),
        (lambda: fc.ops.conv_transpose2d(X, W, padding=4), "padding: expected to leave a result"),
        (lambda: fc.ops.conv_transpose2d(X, W, padding="same"), "padding: expected an int or a pair"),
        (lambda: fc.ops.conv_transpose2d(X, W, np.zeros(4, np.float32)), r"bias: expected shape \(3,\)"),
        (lambda: fc.ops.conv_transpose2d(X, W.astype(np.float64)), "weight: expected the input's dtype"),
        (lambda: fc.ops.conv_transpose2d(X[:, :, :0], W), "x: expected a height and width"),
        (lambda: fc.ops.conv_transpose2d(X, W[:, :, :0]), "weight: expected a kernel"),
        (lambda: fc.ops.conv_transpose2d(X, W, activation="gelu"), "activation: expected one of"),
        (lambda: fc.ops.conv_transpose2d_input_grad(Y[:, :, 1:], W, X.shape), "grad: expected the transposed"),
        (lambda: fc.ops.conv_transpose2d_input_grad(Y, W, X.shape[1:]), r"input_shape: expected \(N, C, H, W\)"),
        (lambda: fc.ops.conv_transpose2d_weight_grad(Y[:1], X, W.shape), "grad: expected the transposed"),
        (lambda: fc.ops.conv_transpose2d_weight_grad(Y, X, (4, 3)), "weight_shape: expected"),
    ],
)
def test_errors_name_the_argument(call, message):
    with pytest.raises((fc.ShapeError, fc.DTypeError, fc.AlgorithmError), match=message):
        call()

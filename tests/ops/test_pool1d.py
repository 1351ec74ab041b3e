"""1-D pooling and its gradients: PyTorch's numbers, exactly on integers."""

from __future__ import annotations

import numpy as np
import pytest

import fastconv as fc
from tests.conv_check import integers

torch = pytest.importorskip("torch")

SHAPES = [(2, 6, 17), (1, 1, 9), (3, 20, 8)]


@pytest.mark.parametrize("ceil_mode", [False, True])
@pytest.mark.parametrize(("kernel", "stride", "padding"), [(2, None, 0), (3, 2, 1), (4, 1, 2), ((3,), (3,), (0,))])
def test_agreement_with_torch(ops, kernel, stride, padding, ceil_mode):
    for shape in SHAPES:
        x = integers(shape, 0, "float32", -50, 50)
        leaf = torch.tensor(x, requires_grad=True)
        for dilation in (1, 2):
            case = (kernel, stride, padding, dilation, ceil_mode)
            theirs, at = torch.nn.functional.max_pool1d(leaf, *case, return_indices=True)
            y, indices = ops.max_pool1d(x, *case, return_indices=True)
            np.testing.assert_array_equal(y, theirs.detach().numpy())
            np.testing.assert_array_equal(ops.max_pool1d(x, *case), y)
            np.testing.assert_array_equal(indices, at.numpy())
            grad = integers(y.shape, 1, "float32")
            (expected,) = torch.autograd.grad(theirs, leaf, torch.tensor(grad))
            np.testing.assert_array_equal(ops.max_pool1d_grad(grad, indices, shape, *case), expected.numpy())
            one = ops.max_pool1d_grad(grad[0], indices[0], shape[1:], *case)
            np.testing.assert_array_equal(one, expected[0].numpy())
        for counted in (False, True):
            case = (kernel, stride, padding, ceil_mode, counted)
            theirs = torch.nn.functional.avg_pool1d(leaf, *case)
            y = ops.avg_pool1d(x, *case)
            np.testing.assert_allclose(y, theirs.detach().numpy(), rtol=1e-6)
            grad = integers(y.shape, 1, "float32")
            (expected,) = torch.autograd.grad(theirs, leaf, torch.tensor(grad))
            # Quotients rounded once each, summed: up to 4 of up to 3.
            np.testing.assert_allclose(ops.avg_pool1d_grad(grad, shape, *case), expected.numpy(), rtol=1e-6, atol=2e-6)
            np.testing.assert_array_equal(ops.avg_pool1d(x[0], *case), y[0])


X = np.zeros((2, 3, 8), np.float32)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: fc.ops.max_pool1d(X[None], 2), r"x: expected shape \(N, C, L\)"),
        (lambda: fc.ops.avg_pool1d(X[0, 0], 2), r"x: expected shape \(N, C, L\)"),
        (lambda: fc.ops.max_pool1d(X, (2, 2)), "kernel_size: expected an int"),
        (lambda: fc.ops.max_pool1d(X, 0), "kernel_size: expected at least 1"),
        (lambda: fc.ops.avg_pool1d(X, 2, padding=2), "padding: expected at most half"),
        (lambda: fc.ops.avg_pool1d_grad(X, 5, 2), "input_shape: expected"),
        (lambda: fc.ops.avg_pool1d_grad(X, (1, 2, 3, 4), 2), "input_shape: expected"),
        (lambda: fc.ops.max_pool1d_grad(X, X, (2, 3, 16), 2), "indices: expected int64"),
    ],
)
def test_errors_name_the_argument(call, message):
    with pytest.raises((fc.ShapeError, fc.DTypeError), match=message):
        call()

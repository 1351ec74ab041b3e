"""Max unpooling and its gradient on every device: exact, the last of several at one place, PyTorch's numbers."""

from __future__ import annotations

import numpy as np
import pytest

import fastconv as fc
from fastconv.backends import registry, simt
from fastconv.ops.unpool import UnpoolProblem
from tests.conftest import on_every_isa
from tests.conv_check import DTYPES, integers

pytestmark = on_every_isa


def by_definition(x, indices, h, w):
    """One after the other: the last stays."""
    y = np.zeros((*x.shape[:2], h * w), x.dtype)
    for n, c, p, q in np.ndindex(*x.shape):
        y[n, c, indices[n, c, p, q]] = x[n, c, p, q]
    return y.reshape(*x.shape[:2], h, w)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(2, 3, 6, 8), (1, 40, 4, 4), (3, 1, 8, 2), (1, 65, 2, 6)])
def test_pooled_maxima_go_back(ops, shape, dtype):
    x = integers(shape, 0, dtype, -99, 99)
    for form in (x, fc.ops.channels_last(x)):
        y, indices = ops.max_pool2d(form, 2, return_indices=True)
        back = ops.max_unpool2d(y, indices, 2)
        np.testing.assert_array_equal(back, by_definition(y, indices, *shape[2:]))
        grad = integers(shape, 1, dtype)
        gx = ops.max_unpool2d_grad(grad, indices)
        flat = grad.reshape(*shape[:2], -1)
        np.testing.assert_array_equal(gx, np.take_along_axis(flat, indices.reshape(*shape[:2], -1), 2).reshape(y.shape))
        inner = (back.astype(np.float64) * grad.astype(np.float64)).sum()
        assert inner == (y.astype(np.float64) * gx.astype(np.float64)).sum()


@pytest.mark.parametrize("order", ["forward", "reverse", "random", "skew"])
def test_of_several_at_one_place_the_last_stays(ops, order):
    """Random positions in a small image, so that most are named several times."""
    x = integers((2, 35, 6, 5), 0, "float32", -99, 99)
    indices = np.random.default_rng(1).integers(0, 12, x.shape)
    with simt.options(order=order, seed=4):
        y = ops.max_unpool2d(x, indices, (1, 1), padding=0, stride=3, output_size=(14, 11))
        np.testing.assert_array_equal(y, by_definition(x, indices, 14, 11))


def test_overlapping_pools_against_torch(ops):
    torch = pytest.importorskip("torch")
    x = integers((2, 5, 9, 7), 0, "float32", -50, 50)
    y, indices = ops.max_pool2d(x, 3, 2, 1, return_indices=True)
    for size in (None, (9, 7), (2, 5, 10, 8)):
        theirs = torch.nn.functional.max_unpool2d(
            torch.tensor(y), torch.tensor(indices), 3, 2, 1, None if size is None else size[-2:]
        )
        np.testing.assert_array_equal(ops.max_unpool2d(y, indices, 3, 2, 1, size), theirs.numpy())


def test_formats_single_images_and_nothing(ops):
    x = integers((2, 8, 4, 6), 0, "float32")
    y, indices = ops.max_pool2d(fc.ops.channels_last(x), 2, return_indices=True)
    back = ops.max_unpool2d(y, indices, 2)
    assert back.strides == fc.ops.channels_last(x).strides
    np.testing.assert_array_equal(ops.max_unpool2d(y[1], indices[1], 2), back[1])
    np.testing.assert_array_equal(ops.max_unpool2d_grad(x[1], indices[1]), ops.max_unpool2d_grad(x, indices)[1])
    assert ops.max_unpool2d(y[:0], indices[:0], 2).shape == (0, 8, 4, 6)
    assert ops.max_unpool2d_grad(x[:, :0], indices[:, :0]).shape == (2, 0, 2, 3)


def test_an_index_outside_the_image_writes_nothing(ops):
    """What a GPU does, where the indices cannot be looked at without waiting for them."""
    put, get, name = ops.device.put, ops.device.get, ops.device.name
    problem = UnpoolProblem(1, 2, 1, 2, 2, 2, "float32")
    x, indices = np.float32([1, 2, 3, 4]).reshape(1, 1, 2, 2), np.array([4, -1, 2, 3]).reshape(1, 1, 2, 2)
    y, gx = put(np.full((1, 2, 2, 2), 9, np.float32)), put(np.full(x.shape, 9, np.float32))
    registry.choose("max_unpool2d", name, problem).kernel.run(problem, put(x), put(indices), y)
    np.testing.assert_array_equal(get(y).ravel(), [0, 0, 0, 0, 3, 0, 0, 4])
    registry.choose("max_unpool2d_grad", name, problem).kernel.run(problem, y, put(indices), gx)
    np.testing.assert_array_equal(get(gx).ravel(), [0, 0, 3, 4])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x, i: fc.ops.max_unpool2d(x, i[:, :1], 2), "indices: expected the shape of x"),
        (lambda x, i: fc.ops.max_unpool2d(x, i[0], 2), "indices: expected as many dimensions as x"),
        (lambda x, i: fc.ops.max_unpool2d(x, x, 2), "indices: expected int64"),
        (lambda x, i: fc.ops.max_unpool2d(x, i, 0), "kernel_size: expected at least 1"),
        (lambda x, i: fc.ops.max_unpool2d(x, i, 2, padding=3), "padding: expected to leave"),
        (lambda x, i: fc.ops.max_unpool2d(x, i, 2, output_size=9), r"output_size: expected less than the stride"),
        (lambda x, i: fc.ops.max_unpool2d_grad(x, i[:, :1]), "indices: expected those of 1 images of 2 channels"),
        (lambda x, i: fc.ops.max_unpool2d(x, i + 99, 2), "indices: expected 0 to 35, positions in the result, got 99"),
        (lambda x, i: fc.ops.max_unpool2d_grad(x, i - 1), "indices: expected 0 to 8, positions in the result, got -1"),
    ],
)
def test_errors_name_the_argument(call, message, device):
    if device.name == "cuda" and "positions" in message:
        pytest.skip("indices on a GPU are not looked at")
    with pytest.raises((fc.ShapeError, fc.DTypeError), match=message):
        call(device.put(np.zeros((1, 2, 3, 3), np.float32)), device.put(np.zeros((1, 2, 3, 3), np.int64)))

"""Pooling and its gradients on every device, exactly, window by window, on small integers."""

from __future__ import annotations

import numpy as np
import pytest

import fastconv as fc
from fastconv.backends import simt
from fastconv.nn.module import numpy_dtype
from tests.conftest import on_every_isa
from tests.conv_check import DTYPES, integers
from tests.ops.test_pool import CASES, pool_by_definition, windows

pytestmark = on_every_isa

SHAPES = [(2, 20, 9, 7), (1, 3, 7, 8), (3, 8, 5, 9), (1, 1, 8, 6)]


def max_grad_by_definition(grad, indices, shape):
    gx = np.zeros((shape[0], shape[1], shape[2] * shape[3]))
    for n, c in np.ndindex(*shape[:2]):
        np.add.at(gx[n, c], indices[n, c].ravel(), grad[n, c].astype(np.float64).ravel())
    return gx.reshape(shape)


def avg_grad_by_definition(grad, shape, kernel, stride, padding, ceil_mode, count_include_pad):
    gx = np.zeros(shape)
    rows = list(windows(shape[2], kernel, stride, padding, 1, ceil_mode))
    cols = list(windows(shape[3], kernel, stride, padding, 1, ceil_mode))
    for p, (h0, hs, h1) in enumerate(rows):
        for q, (w0, ws, w1) in enumerate(cols):
            count = (h1 - h0) * (w1 - w0) if count_include_pad else len(hs) * len(ws)
            gx[:, :, hs[0] : hs[-1] + 1, ws[0] : ws[-1] + 1] += grad[:, :, p : p + 1, q : q + 1] / count
    return gx


def values(shape, dtype):
    """Every value up to 250, so that most windows have one maximum, some several."""
    x = np.random.default_rng(0).permutation(int(np.prod(shape))).reshape(shape) % 251
    return x.astype(np.float32).astype(numpy_dtype(dtype))


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_max_pool_and_its_gradient(case, dtype, device):
    kernel, stride, padding, dilation, ceil_mode = case
    for shape in SHAPES:
        x = values(shape, dtype)
        exact, at = pool_by_definition(x, kernel, stride, padding, dilation, ceil_mode)
        grad = integers(exact.shape, 1, dtype)
        moved = device.put(fc.ops.channels_last(x))
        y, indices = fc.ops.max_pool2d(moved, *case, return_indices=True)
        gx = fc.ops.max_pool2d_grad(device.put(fc.ops.channels_last(grad)), indices, shape, *case)
        np.testing.assert_array_equal(device.get(y).astype(np.float64), exact)
        np.testing.assert_array_equal(device.get(indices), at)
        np.testing.assert_array_equal(device.get(fc.ops.max_pool2d(moved, *case)), device.get(y))
        np.testing.assert_array_equal(device.get(gx).astype(np.float64), max_grad_by_definition(grad, at, shape))


@pytest.mark.parametrize("count_include_pad", [True, False])
@pytest.mark.parametrize("case", [case for case in CASES if case[3] == 1])
@pytest.mark.parametrize("dtype", DTYPES)
def test_avg_pool_and_its_gradient(case, count_include_pad, dtype, device):
    kernel, stride, padding, _, ceil_mode = case
    arguments = (kernel, stride, padding, ceil_mode, count_include_pad)
    kind = np.float64 if dtype == "float64" else np.float32
    for shape in SHAPES:
        x = integers(shape, 0, dtype)
        exact, _ = pool_by_definition(x, kernel, stride, padding, 1, ceil_mode, "avg", count_include_pad)
        y = fc.ops.avg_pool2d(device.put(x), *arguments)
        np.testing.assert_array_equal(device.get(y), exact.astype(kind).astype(x.dtype))
        grad = integers(exact.shape, 1, dtype)
        gx = device.get(fc.ops.avg_pool2d_grad(device.put(grad), shape, *arguments))
        expected = avg_grad_by_definition(grad.astype(np.float64), shape, *arguments)
        epsilon = max(float(np.finfo(kind).eps), {"float16": 2.0**-11, "bfloat16": 2.0**-8}.get(dtype, 0))
        # Each quotient and each sum is rounded; four windows at most give at most 3 each.
        np.testing.assert_allclose(gx.astype(np.float64), expected, rtol=epsilon, atol=16 * float(np.finfo(kind).eps))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("channels", [1, 3, 8, 20])
def test_gradients_are_the_adjoint(channels, dtype, device):
    """<pool(x), g> = <x, pool_grad(g)>, where no division rounds: windows of 4 x 2, the padding counted."""
    shape, arguments = (3, channels, 9, 6), ((4, 2), (2, 1), (2, 1))
    x = integers(shape, 0, dtype)
    y = device.get(fc.ops.avg_pool2d(device.put(x), *arguments)).astype(np.float64)
    g = (integers(y.shape, 1, "float32") * 8).astype(x.dtype)
    gx = device.get(fc.ops.avg_pool2d_grad(device.put(g), shape, *arguments)).astype(np.float64)
    assert (y * g.astype(np.float64)).sum() == (x.astype(np.float64) * gx).sum()
    y, indices = fc.ops.max_pool2d(device.put(x), *arguments, return_indices=True)
    gx = device.get(fc.ops.max_pool2d_grad(device.put(g), indices, shape, *arguments)).astype(np.float64)
    y = device.get(y).astype(np.float64)
    assert (y * g.astype(np.float64)).sum() == (x.astype(np.float64) * gx).sum()


@pytest.mark.parametrize("order", ["forward", "reverse", "random", "skew"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_wide_windows(dtype, order, device):
    """Windows whose rows several threads share: all of an image, and overlapping ones over part of it."""
    kind = np.float64 if dtype == "float64" else np.float32
    for channels in (1, 3, 8, 300) if order == "skew" else (20,):
        x = integers((2, channels, 13, 9), 0, dtype)
        with simt.options(order=order, seed=5):
            whole = device.get(fc.ops.adaptive_avg_pool2d(device.put(x), 1))
            parts = device.get(fc.ops.avg_pool2d(device.put(x), (10, 6), 2, 3, True, False))
        mean = x.astype(np.float64).mean((2, 3), keepdims=True)
        np.testing.assert_array_equal(whole, mean.astype(kind).astype(x.dtype))
        exact = np.zeros(parts.shape)
        rows, cols = windows(13, 10, 2, 3, 1, True), list(windows(9, 6, 2, 3, 1, True))
        for p, (_, hs, _) in enumerate(rows):
            for q, (_, ws, _) in enumerate(cols):
                exact[:, :, p, q] = x[:, :, hs][:, :, :, ws].astype(np.float64).mean((2, 3))
        np.testing.assert_array_equal(parts, exact.astype(kind).astype(x.dtype))


@pytest.mark.parametrize("size", [1, 3, (2, 5), 13])
def test_adaptive_pools_and_their_gradients(size, device):
    """The windows of 13 outputs over 9 x 7 inputs overlap; float64, so that only the last bits are open."""
    x = integers((2, 6, 9, 7), 0, "float64", -50, 50)
    y = fc.ops.adaptive_avg_pool2d(device.put(x), size)
    best, indices = fc.ops.adaptive_max_pool2d(device.put(x), size, return_indices=True)
    expected, at = np.zeros(y.shape), np.zeros(y.shape, np.int64)
    p, q = y.shape[2:]
    g = integers(y.shape, 1, "float64")
    gx = np.zeros(x.shape)
    for i, j in np.ndindex(p, q):
        rows, cols = slice(i * 9 // p, -(-(i + 1) * 9 // p)), slice(j * 7 // q, -(-(j + 1) * 7 // q))
        window = x[:, :, rows, cols]
        expected[:, :, i, j] = window.mean((2, 3))
        first = window.reshape(2, 6, -1).argmax(-1)
        at[:, :, i, j] = (rows.start + first // window.shape[3]) * 7 + cols.start + first % window.shape[3]
        gx[:, :, rows, cols] += g[:, :, i : i + 1, j : j + 1] / (window.shape[2] * window.shape[3])
    np.testing.assert_allclose(device.get(y), expected, rtol=1e-15)
    np.testing.assert_array_equal(device.get(indices), at)
    np.testing.assert_array_equal(
        device.get(best), np.take_along_axis(x.reshape(2, 6, -1), at.reshape(2, 6, -1), 2).reshape(y.shape)
    )
    np.testing.assert_allclose(device.get(fc.ops.adaptive_avg_pool2d_grad(device.put(g), x.shape)), gx, atol=1e-14)
    np.testing.assert_array_equal(
        device.get(fc.ops.adaptive_max_pool2d_grad(device.put(g), indices, x.shape)),
        max_grad_by_definition(g, at, x.shape),
    )


def test_formats_single_images_and_empty_batches(device):
    x = integers((2, 8, 6, 6), 0, "float32")
    grad = integers((2, 8, 3, 3), 1, "float32")
    _, indices = fc.ops.max_pool2d(device.put(x), 2, return_indices=True)
    both = fc.ops.max_pool2d_grad(device.put(grad), indices, x.shape, 2)
    last = fc.ops.max_pool2d_grad(device.put(fc.ops.channels_last(grad)), indices, x.shape, 2)
    assert both.flags.c_contiguous and last.strides == fc.ops.channels_last(x).strides
    np.testing.assert_array_equal(device.get(both), device.get(last))
    one = fc.ops.max_pool2d_grad(device.put(grad[0]), indices[0], x.shape[1:], 2)
    np.testing.assert_array_equal(device.get(one), device.get(both)[0])
    nothing = device.put(np.zeros((0, 8, 3, 3), np.float32))
    assert fc.ops.avg_pool2d_grad(nothing, (0, 8, 6, 6), 2).shape == (0, 8, 6, 6)
    assert fc.ops.max_pool2d(device.put(x[:0]), 2).shape == (0, 8, 3, 3)
    assert fc.ops.avg_pool2d(device.put(x[:, :0]), 2).shape == (2, 0, 3, 3)


def test_memory_that_no_vector_begins_in(device):
    """Channels that 16 bytes divide, from an address that they do not."""
    flat = device.put(integers((1 + 2 * 6 * 5 * 8,), 0, "float32"))
    x = flat[1:].reshape(2, 6, 5, 8).transpose(0, 3, 1, 2)
    exact, _ = pool_by_definition(device.get(x), 3, 2, 1)
    np.testing.assert_array_equal(device.get(fc.ops.max_pool2d(x, 3, 2, 1)), exact)


def test_nan_wins_infinity_stays_and_gradients_keep_them(device):
    x = np.full((1, 4, 4, 4), -np.inf, np.float32)
    x[0, :, 1, 1] = np.nan
    x[0, :, 2:, :2] = np.inf
    y, indices = fc.ops.max_pool2d(device.put(x), 2, return_indices=True)
    y, indices = device.get(y), device.get(indices)
    assert np.isnan(y[0, :, 0, 0]).all() and (indices[0, :, 0, 0] == 5).all()
    assert (y[0, :, 1, 1] == -np.inf).all() and (indices[0, :, 1, 1] == 10).all()
    mean = device.get(fc.ops.avg_pool2d(device.put(x), 2))
    assert np.isnan(mean[0, :, 0, 0]).all() and (mean[0, :, 1, 0] == np.inf).all()
    grad = np.float32([[np.nan, np.inf], [-np.inf, 1]]).reshape(1, 1, 2, 2)
    gx = device.get(fc.ops.avg_pool2d_grad(device.put(grad), (1, 1, 4, 4), 2))
    np.testing.assert_array_equal(gx, np.repeat(np.repeat(grad / 4, 2, 2), 2, 3))


@pytest.mark.parametrize("order", ["forward", "reverse", "random", "skew"])
def test_the_order_of_threads_changes_nothing(order, device):
    x, arguments = integers((3, 20, 7, 5), 0, "float16"), (3, 2, 1)
    with simt.options(order=order, seed=3):
        y, indices = fc.ops.max_pool2d(device.put(x), *arguments, return_indices=True)
        gx = fc.ops.max_pool2d_grad(y, indices, x.shape, *arguments)
        mean = fc.ops.avg_pool2d_grad(fc.ops.avg_pool2d(device.put(x), *arguments), x.shape, *arguments)
    exact, at = pool_by_definition(x, *arguments)
    np.testing.assert_array_equal(device.get(y), exact.astype(np.float16))
    np.testing.assert_array_equal(device.get(gx), max_grad_by_definition(exact, at, x.shape).astype(np.float16))
    assert mean.shape == x.shape


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda g, i: fc.ops.max_pool2d_grad(g, i, (1, 2, 9, 9), 2), "grad: expected the pooled shape"),
        (lambda g, i: fc.ops.max_pool2d_grad(g, i[:, :1], (1, 2, 6, 6), 2), "indices: expected the pooled shape"),
        (lambda g, i: fc.ops.max_pool2d_grad(g, i[0], (1, 2, 6, 6), 2), "indices: expected as many dimensions"),
        (lambda g, i: fc.ops.max_pool2d_grad(g, g, (1, 2, 6, 6), 2), "indices: expected int64"),
        (lambda g, i: fc.ops.avg_pool2d_grad(g, (2, 6, 6), 2), "input_shape: expected"),
        (lambda g, i: fc.ops.adaptive_avg_pool2d_grad(g, 6), "input_shape: expected"),
        (lambda g, i: fc.ops.avg_pool2d_grad(g, (2, 2, 6, 6), 2), "grad: expected the pooled shape"),
    ],
)
def test_errors_name_the_argument(call, message, device):
    grad = device.put(np.zeros((1, 2, 3, 3), np.float32))
    indices = device.put(np.zeros((1, 2, 3, 3), np.int64))
    with pytest.raises((fc.ShapeError, fc.DTypeError), match=message):
        call(grad, indices)

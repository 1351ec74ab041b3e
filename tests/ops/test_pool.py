"""Pooling against its definition window by window, and the rules on which libraries differ."""

from __future__ import annotations

import numpy as np
import pytest

import fastconv as fc
from fastconv.nn.module import numpy_dtype
from tests.conv_check import DTYPES, integers


def windows(extent, kernel, stride, padding, dilation, ceil_mode):
    """(first, taps inside the input, end of the window cut at the padded input) for each output."""
    span = extent + 2 * padding - dilation * (kernel - 1) - 1
    count = (-(-span // stride) if ceil_mode else span // stride) + 1
    if ceil_mode and (count - 1) * stride >= extent + padding:
        count -= 1
    for i in range(count):
        first = i * stride - padding
        taps = [first + t * dilation for t in range(kernel) if 0 <= first + t * dilation < extent]
        yield first, taps, min(first + kernel, extent + padding)


def pool_by_definition(x, kernel, stride, padding, dilation=1, ceil_mode=False, kind="max", count_include_pad=True):
    rows = list(windows(x.shape[2], kernel, stride, padding, dilation, ceil_mode))
    cols = list(windows(x.shape[3], kernel, stride, padding, dilation, ceil_mode))
    y = np.zeros((*x.shape[:2], len(rows), len(cols)))
    at = np.zeros(y.shape, np.int64)
    for p, (h0, hs, h1) in enumerate(rows):
        for q, (w0, ws, w1) in enumerate(cols):
            taps = x[:, :, hs][:, :, :, ws].astype(np.float64).reshape(*x.shape[:2], -1)
            if kind == "max":
                y[:, :, p, q] = taps.max(-1)
                best = taps.argmax(-1)
                at[:, :, p, q] = np.asarray(hs)[best // len(ws)] * x.shape[3] + np.asarray(ws)[best % len(ws)]
            else:
                count = (h1 - h0) * (w1 - w0) if count_include_pad else taps.shape[-1]
                y[:, :, p, q] = taps.sum(-1) / count
    return y, at


CASES = [
    # kernel, stride, padding, dilation, ceil_mode
    (2, 2, 0, 1, False),
    (3, 2, 1, 1, False),
    (3, 2, 0, 1, True),
    (3, 2, 1, 1, True),
    (2, 3, 1, 1, True),  # the last window would start in the trailing padding: dropped
    (3, 1, 1, 2, False),
    (4, 4, 2, 1, True),
    (1, 1, 0, 1, False),
]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_max_pool(case, dtype, isa):
    kernel, stride, padding, dilation, ceil_mode = case
    for shape in ((2, 19, 10, 11), (1, 3, 7, 8)):
        x = np.random.default_rng(0).permutation(int(np.prod(shape))).reshape(shape) % 251
        x = x.astype(np.float32).astype(numpy_dtype(dtype))
        exact, at = pool_by_definition(x, kernel, stride, padding, dilation, ceil_mode)
        for form in (x, fc.ops.channels_last(x)):
            y = fc.ops.max_pool2d(form, kernel, stride, padding, dilation, ceil_mode)
            np.testing.assert_array_equal(y.astype(np.float64), exact)
            y, indices = fc.ops.max_pool2d(form, kernel, stride, padding, dilation, ceil_mode, return_indices=True)
            np.testing.assert_array_equal(y.astype(np.float64), exact)
            np.testing.assert_array_equal(indices, at)
            assert indices.dtype == np.int64


@pytest.mark.parametrize("count_include_pad", [True, False])
@pytest.mark.parametrize("case", [case for case in CASES if case[3] == 1])
@pytest.mark.parametrize("dtype", DTYPES)
def test_avg_pool(case, count_include_pad, dtype, isa):
    kernel, stride, padding, _, ceil_mode = case
    x = integers((2, 19, 10, 11), 0, dtype)
    exact, _ = pool_by_definition(x, kernel, stride, padding, 1, ceil_mode, "avg", count_include_pad)
    y = fc.ops.avg_pool2d(x, kernel, stride, padding, ceil_mode, count_include_pad)
    # Integer sums are exact; the quotient is rounded once, in the compute type, then to storage.
    kind = np.float64 if dtype == "float64" else np.float32
    np.testing.assert_array_equal(y, exact.astype(kind).astype(y.dtype))


@pytest.mark.parametrize("size", [1, 3, (2, 5), (None, 4), 13])
def test_adaptive_pools(size, isa):
    x = integers((2, 5, 10, 7), 0, "float32", -50, 50)
    p, q = (size, size) if isinstance(size, int) else (size[0] or 10, size[1])
    avg, best = np.zeros((2, 5, p, q)), np.zeros((2, 5, p, q))
    for i in range(p):
        for j in range(q):
            window = x[:, :, i * 10 // p : -(-(i + 1) * 10 // p), j * 7 // q : -(-(j + 1) * 7 // q)]
            avg[:, :, i, j], best[:, :, i, j] = window.astype(np.float64).mean((2, 3)), window.max((2, 3))
    np.testing.assert_allclose(fc.ops.adaptive_avg_pool2d(x, size), avg, rtol=1e-6)
    y, indices = fc.ops.adaptive_max_pool2d(x, size, return_indices=True)
    np.testing.assert_array_equal(y, best)
    np.testing.assert_array_equal(
        x.reshape(2, 5, -1)[np.arange(2)[:, None, None], np.arange(5)[:, None], indices.reshape(2, 5, -1)],
        best.reshape(2, 5, -1),
    )


def test_ceil_mode_takes_a_kernel_larger_than_the_input(device):
    x = np.arange(18, dtype=np.float32).reshape(1, 1, 3, 6)
    y = fc.ops.avg_pool2d(device.put(x), 5, (3, 1), ceil_mode=True)
    np.testing.assert_allclose(device.get(y), [[[[x[..., 0:5].mean(), x[..., 1:6].mean()]]]], rtol=1e-6)


def test_nan_wins_and_minus_infinity_survives(isa):
    x = np.full((1, 20, 4, 4), -np.inf, np.float32)
    x[0, :, 1, 1] = np.nan
    y = fc.ops.max_pool2d(x, 2)
    assert np.isnan(y[0, :, 0, 0]).all() and (y[0, :, 1, 1] == -np.inf).all()


def test_single_images_and_empty_batches(device):
    x = device.put(integers((5, 8, 8), 0, "float32"))
    np.testing.assert_array_equal(device.get(fc.ops.max_pool2d(x, 2)), device.get(fc.ops.max_pool2d(x[None], 2)[0]))
    assert fc.ops.max_pool2d(device.put(np.zeros((0, 5, 8, 8), np.float32)), 2).shape == (0, 5, 4, 4)
    assert fc.ops.avg_pool2d(device.put(np.zeros((3, 0, 8, 8), np.float32)), 2).shape == (3, 0, 4, 4)

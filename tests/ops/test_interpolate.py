"""Interpolation and its gradient on every device: by definition, exactly where weights are, and PyTorch's numbers."""

from __future__ import annotations

import numpy as np
import pytest

import fastconv as fc
from fastconv.ops.interpolate import Axis, _taps, _transposed_taps
from tests.conftest import on_every_isa
from tests.conv_check import DTYPES, integers

# (size, scale_factor, mode, align_corners)
CASES = [
    ((7, 5), None, "nearest", False),
    (14, None, "nearest", False),
    (None, (0.5, 2.6), "nearest", False),
    ((9, 16), None, "bilinear", False),
    ((3, 4), None, "bilinear", True),
    (None, 1.7, "bilinear", False),
    (None, (2, 0.4), "bilinear", True),
    (1, None, "bilinear", True),
]
SHAPES = [(2, 3, 7, 5), (1, 20, 6, 8), (3, 8, 1, 1), (1, 67, 4, 9)]


def matrix(axis):
    """The axis as a dense (size, extent) matrix."""
    first, begin, weight = _taps(axis)
    dense = np.zeros((axis.size, axis.extent))
    for i in range(axis.size):
        for j in range(begin[i + 1] - begin[i]):
            dense[i, first[i] + j] += weight[begin[i] + j]
    return dense


def axes(shape, size, scale_factor, mode, align_corners, dtype):
    for axis in (0, 1):
        scale = scale_factor[axis] if isinstance(scale_factor, tuple) else scale_factor
        extent = shape[2 + axis]
        wanted = int(extent * scale) if scale else size[axis] if isinstance(size, tuple) else size
        kind = "float64" if dtype == "float64" else "float32"
        yield Axis(mode, extent, wanted, scale, align_corners, kind)


def sizes_fit(shape, case):
    return all(axis.size >= 1 for axis in axes(shape, *case, "float32"))


@on_every_isa
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES)
def test_against_dense_matrices(ops, case, dtype):
    """Weights and their products are rounded: two products and three sums of the compute type, then the storage type."""
    bound = {"float64": 1e-15, "float32": 5e-7, "float16": 2.0**-11, "bfloat16": 2.0**-8}[dtype]
    for shape in SHAPES:
        if not sizes_fit(shape, case):
            continue
        x = integers(shape, 0, dtype)
        rows, cols = (matrix(axis) for axis in axes(shape, *case, dtype))
        exact = rows @ x.astype(np.float64) @ cols.T
        y = ops.interpolate(fc.ops.channels_last(x), *case)
        np.testing.assert_array_equal(ops.interpolate(x, *case), y)
        grad = integers(exact.shape, 1, dtype)
        gx = ops.interpolate_grad(grad, shape, *case)
        if case[2] == "nearest":  # moves and sums of small integers
            np.testing.assert_array_equal(y, exact)
            np.testing.assert_array_equal(gx, rows.T @ grad.astype(np.float64) @ cols)
            continue
        np.testing.assert_allclose(y.astype(np.float64), exact, rtol=bound, atol=3 * bound)
        # Up to 5 samples an axis give to a pixel, each up to 3.
        back = rows.T @ grad.astype(np.float64) @ cols
        np.testing.assert_allclose(gx.astype(np.float64), back, rtol=2 * bound, atol=40 * bound)


@on_every_isa
@pytest.mark.parametrize("dtype", DTYPES)
def test_halves_are_exact_and_the_gradient_is_the_adjoint(ops, dtype):
    """Twice the size has weights of quarters, four times of eighths: nothing rounds."""
    x = (integers((2, 19, 4, 3), 0, "float32") * 4).astype(integers((1,), 0, dtype).dtype)
    for size in ((8, 6), (16, 6)):
        y = ops.interpolate(x, size, mode="bilinear")
        grad = integers(y.shape, 1, dtype, -1, 1)
        gx = ops.interpolate_grad(grad, x.shape, mode="bilinear")
        left = (y.astype(np.float64) * grad.astype(np.float64)).sum()
        assert left == (x.astype(np.float64) * gx.astype(np.float64)).sum()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("align_corners", [False, True])
def test_agreement_with_torch(dtype, align_corners):
    torch = pytest.importorskip("torch")
    generator = np.random.default_rng(0)
    ulps = 4 * float(np.finfo(dtype).eps)
    for _ in range(60):
        h, w, p, q = (int(v) for v in generator.integers(1, 40, 4))
        x = generator.random((2, 3, h, w)).astype(dtype)
        scale = float(generator.uniform(1, 3))
        for named in ({"size": (p, q)}, {"scale_factor": scale}):
            leaf = torch.tensor(x, requires_grad=True)
            theirs = torch.nn.functional.interpolate(leaf, mode="bilinear", align_corners=align_corners, **named)
            ours = fc.ops.interpolate(x, mode="bilinear", align_corners=align_corners, **named)
            # A position is rounded at its own size: torch may fuse the product and the sum that it is.
            position = float(np.finfo(dtype).eps) * max(h, w)
            np.testing.assert_allclose(ours, theirs.detach().numpy(), rtol=0, atol=ulps + position)
            grad = generator.random(ours.shape).astype(dtype)
            theirs.backward(torch.tensor(grad))
            gx = fc.ops.interpolate_grad(grad, x.shape, mode="bilinear", align_corners=align_corners, **named)
            bound = (ulps + position) * max(float(leaf.grad.max()), 1)
            np.testing.assert_allclose(gx, leaf.grad.numpy(), rtol=0, atol=4 * bound)
            nearest = torch.nn.functional.interpolate(leaf, mode="nearest", **named)
            np.testing.assert_array_equal(fc.ops.interpolate(x, **named), nearest.detach().numpy())


def test_transposed_tables_are_the_transposed_matrix():
    generator = np.random.default_rng(1)
    for _ in range(300):
        extent, size = (int(v) for v in generator.integers(1, 30, 2))
        scale = None if generator.integers(2) else (size + 0.5) / extent
        axis = Axis(
            ("nearest", "bilinear")[generator.integers(2)], extent, size, scale, bool(generator.integers(2)), "float64"
        )
        first, begin, weight = _transposed_taps(axis)
        dense = np.zeros((extent, size))
        for i in range(extent):
            dense[i, first[i] : first[i] + begin[i + 1] - begin[i]] = weight[begin[i] : begin[i + 1]]
        np.testing.assert_array_equal(dense, matrix(axis).T)


@on_every_isa
def test_formats_single_images_empty_batches_and_nan(ops):
    x = integers((2, 8, 4, 4), 0, "float32")
    last = ops.interpolate(fc.ops.channels_last(x), 8, mode="bilinear")
    assert last.strides == fc.ops.channels_last(np.zeros((2, 8, 8, 8), np.float32)).strides
    np.testing.assert_array_equal(ops.interpolate(x[1], 8, mode="bilinear"), last[1])
    np.testing.assert_array_equal(ops.interpolate_grad(last[1], (8, 4, 4)), ops.interpolate_grad(last, x.shape)[1])
    assert ops.interpolate(x[:0], 8).shape == (0, 8, 8, 8)
    assert ops.interpolate(x[:, :0], 8).shape == (2, 0, 8, 8)
    x[0, :, 1, 1] = np.nan
    x[0, :, 1, 3] = np.inf
    np.testing.assert_array_equal(ops.interpolate(x, 4, mode="bilinear"), x)  # itself, neighbours notwithstanding
    y = ops.interpolate(x, 8, mode="bilinear")
    assert np.isnan(y[0, 0, 1:5, 1:5]).all() and np.isfinite(y[0, 0, 5:, :]).all() and (y[0, 0, 2:4, 7] == np.inf).all()


@on_every_isa
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: fc.ops.interpolate(x, None), "size, scale_factor: expected one of them"),
        (lambda x: fc.ops.interpolate(x, 3, 2.0), "size, scale_factor: expected one of them"),
        (lambda x: fc.ops.interpolate(x, 0), "size: expected at least 1"),
        (lambda x: fc.ops.interpolate(x, scale_factor=0.1), "scale_factor: expected to leave"),
        (lambda x: fc.ops.interpolate(x, scale_factor=float("nan")), "scale_factor: expected to leave"),
        (lambda x: fc.ops.interpolate(x, scale_factor=(1, 2, 3)), "scale_factor: expected a number or a pair"),
        (lambda x: fc.ops.interpolate(x, 3, mode="bicubic"), "mode: expected one of nearest, bilinear, got 'bicubic'"),
        (lambda x: fc.ops.interpolate(x, 3, align_corners=True), "align_corners: expected False"),
        (lambda x: fc.ops.interpolate(x[:, :, :0], 3), "x: expected a height and width"),
        (lambda x: fc.ops.interpolate(x, 1 << 31), "size: expected at most"),
        (lambda x: fc.ops.interpolate_grad(x, (2, 3, 4, 4), 9), "grad: expected the interpolation's result shape"),
        (lambda x: fc.ops.interpolate_grad(x, (3, 4, 4)), "input_shape: expected"),
    ],
)
def test_errors_name_the_argument(call, message, device):
    with pytest.raises((fc.ShapeError, fc.AlgorithmError), match=message):
        call(device.put(np.zeros((2, 3, 5, 5), np.float32)))

"""Winograd's method: within its bound of float64, the same bits for any threads and batch, on every instruction set."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import fastconv as fc
from bench.accuracy import SHAPES, convolve, measure, operands
from fastconv.backends import registry
from fastconv.nn.module import numpy_dtype
from fastconv.problem import ConvProblem
from tests.conv_check import numpy_conv2d
from tests.shapes import awkward, tiled

DTYPES = ("float32", "float16", "bfloat16")
UNIT = {"float32": 2.0**-24, "float16": 2.0**-11, "bfloat16": 2.0**-8}  # half an ulp of 1
LEAST = {"float32": 0.0, "float16": 2.0**-25, "bfloat16": 0.0}  # half a subnormal; the others' are out of reach here


def takes(problem, op="conv2d"):
    return any(k.algo == "winograd" and k.refusal(problem) is None for k in registry.kernels(op, "cpu"))


PROBLEMS = list(dict.fromkeys(problem for problem in awkward() + tiled() if takes(problem)))
THREADED = [problem for problem in PROBLEMS if problem.n * problem.macs > 1 << 18]
assert len(PROBLEMS) > 100 and len(THREADED) > 4


def cook_toom(taps):
    """A^T (m, 6), G (6, taps) and B^T (6, 6) at 0, +-1/sqrt2, +-sqrt2 and infinity, from their definition.

    One tap is not transformed: the identity.
    """
    if taps == 1:
        return np.eye(1), np.eye(1), np.eye(1)
    points = np.array([0, 0.5**0.5, -(0.5**0.5), 2**0.5, -(2**0.5)])
    others = [np.delete(points, i) for i in range(5)]
    a, g, b = np.zeros((7 - taps, 6)), np.zeros((6, taps)), np.zeros((6, 6))
    a[:, :5], a[-1, 5] = points ** np.arange(7 - taps)[:, None], 1
    g[:5] = (
        points[:, None] ** np.arange(taps)
        / np.array([np.prod(p - q) for p, q in zip(points, others, strict=True)])[:, None]
    )
    g[5, -1] = 1
    for i, roots in enumerate([*others, points]):
        b[i, : len(roots) + 1] = np.poly(roots)[::-1]
    return a, g, b


def parts_of(kernel):
    """(parts, taps): how many parts a kernel of one row or column is cut into, taps 3 apart, and the taps of one."""
    r, s = kernel.shape[2:]
    length = max(r, s)
    return (1, length) if r == s or length <= 5 else (-(-(length - 1) // 3), 4)


def split(padded, kernel):
    """The parts of a kernel of one row or column as channels: the images 3 pixels apart, and 4 taps of each part."""
    parts, taps = parts_of(kernel)
    if parts == 1:
        return padded, kernel
    axis = 2 if kernel.shape[3] == 1 else 3
    k, c, length = *kernel.shape[:2], kernel.shape[axis]
    extent = padded.shape[axis] - 3 * (parts - 1)
    images = np.concatenate([np.take(padded, range(3 * i, 3 * i + extent), axis) for i in range(parts)], 1)
    filters = np.zeros((k, parts, c, taps))
    flat = kernel.reshape(k, c, length)
    for i in range(parts):  # the fourth tap is the next part's first
        own = flat[:, :, 3 * i : 3 * i + (4 if i + 1 == parts else 3)]
        filters[:, i, :, : own.shape[2]] = own
    return images, filters.reshape(k, parts * c, *((taps, 1) if axis == 2 else (1, taps)))


def tiles_of(images, kernel, stride, before, extents, matrices=cook_toom):
    """A^T [sum over c of (G g G^T) * (B^T d B)] A over all tiles, in float64: a convolution by Winograd's method.

    `before` is the padding (top, left), negative where the first pixels are not read; `extents` are (P, Q).
    """
    (n, c, _, _), (k, _, r, s), (top, left), (p, q) = images.shape, kernel.shape, before, extents
    parts, length = parts_of(kernel)
    taps = [1 if min(r, s) == 1 and axis == 1 else -(-length // stride) for axis in (r, s)]
    outs = [1 if count == 1 else 7 - count for count in taps]
    down, across = (-(-extent // m) for extent, m in zip((p, q), outs, strict=True))
    beyond = [3 * (parts - 1) if axis > 1 else 0 for axis in (r, s)]  # read by further parts
    fold = [
        (count * m + t - 1) * stride + more
        for count, m, t, more in zip((down, across), outs, taps, beyond, strict=True)
    ]
    padded = np.zeros((n, c, *fold))
    images = images[:, :, max(-top, 0) :, max(-left, 0) :][:, :, : fold[0] - max(top, 0), : fold[1] - max(left, 0)]
    top, left = max(top, 0), max(left, 0)
    padded[:, :, top : top + images.shape[2], left : left + images.shape[3]] = images
    padded, kernel = split(padded, kernel)
    filters = np.zeros((k, kernel.shape[1], taps[0] * stride, taps[1] * stride))
    filters[:, :, : kernel.shape[2], : kernel.shape[3]] = kernel

    def folded(array):
        a, b, h, w = array.shape
        split = array.reshape(a, b, h // stride, stride, w // stride, stride).transpose(0, 3, 5, 1, 2, 4)
        return split.reshape(a, b * stride**2, h // stride, w // stride)

    (at, g, bt), (at_across, g_across, bt_across) = map(matrices, taps)
    tile = (bt.shape[0], bt_across.shape[0])
    windows = np.lib.stride_tricks.sliding_window_view(folded(padded), tile, axis=(2, 3))
    windows = windows[:, :, :: outs[0], :: outs[1]]
    v = np.einsum("ei,nchwij,fj->efchwn", bt, windows, bt_across, optimize=True)
    u = np.einsum("er,kcrs,fs->efkc", g, folded(filters), g_across, optimize=True)
    products = np.einsum("efkc,efchwn->efkhwn", u, v, optimize=True)
    y = np.einsum("ae,efkhwn,bf->nkhawb", at, products, at_across, optimize=True)
    return y.reshape(n, k, down * outs[0], across * outs[1])[:, :, :p, :q]


def magnitudes(taps):
    return [np.abs(matrix) for matrix in cook_toom(taps)]


def bound(images, kernel, stride, before, extents):
    """How far float32 may be from the exact result: every rounding is relative to a sum of magnitudes.

    A result passes 6 roundings in each of two transforms of the weight, 5 in each of two input transforms and of two
    output ones (constants and, where products are not fused, they, too), a product and C additions: (C + 33) 2^-24
    |A|^T [sum (|G| |g| |G|^T) * (|B|^T |d| |B|)] |A|; then bias and residual, 2 more. A kernel of one row or column
    passes half the transforms, and C counts its parts' channels. Source of the form: Barabasz et al., Error Analysis and Improving the Accuracy of Winograd
    Convolution, 2018.
    """
    size = tiles_of(np.abs(images), np.abs(kernel), stride, before, extents, magnitudes)
    roundings = 35 if min(kernel.shape[2:]) > 1 else 19
    return (images.shape[1] * parts_of(kernel)[0] * stride**2 + roundings) * UNIT["float32"] * size


def normal(shape, seed, dtype):
    return np.random.default_rng(seed).standard_normal(shape).astype(numpy_dtype(dtype))


def wide(*arrays):
    return tuple(array.astype(np.float64) for array in arrays)


def assert_within(y, exact, tolerance, dtype):
    """`tolerance` of the float32 part, and one rounding to storage."""
    stored = UNIT[dtype] * (np.abs(exact) + tolerance) + LEAST[dtype] if dtype != "float32" else 0
    excess = np.abs(y.astype(np.float64) - exact) - tolerance - stored
    assert (excess <= 0).all(), (
        f"beyond the bound by {excess.max():.3g} at {np.unravel_index(excess.argmax(), y.shape)}"
    )


@pytest.mark.parametrize("problem", PROBLEMS, ids=str)
def test_the_transforms_are_a_convolution(problem):
    """The matrices that the bound is made of compute the definition."""
    x, w = normal(problem.x_shape, 0, "float64"), normal(problem.weight_shape, 1, "float64")
    before = (problem.padding[0][0], problem.padding[1][0])
    found = tiles_of(x, w, problem.stride[0], before, problem.y_shape[2:])
    np.testing.assert_allclose(found, numpy_conv2d(x, w, problem), atol=1e-11)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("problem", PROBLEMS, ids=str)
def test_forward_is_within_its_bound(problem, dtype, isa):
    x, w = normal(problem.x_shape, 0, dtype), normal(problem.weight_shape, 1, dtype)
    bias, residual = normal(problem.k, 2, dtype), normal(problem.y_shape, 3, dtype)
    arguments = (problem.stride, problem.padding)
    plain = fc.ops.conv2d(x, w, None, *arguments, algo="winograd")
    fused = fc.ops.conv2d(x, w, bias, *arguments, activation="relu", residual=residual, algo="winograd")
    exact, added = numpy_conv2d(*wide(x, w), problem), wide(bias.reshape(1, -1, 1, 1), residual)
    before = (problem.padding[0][0], problem.padding[1][0])
    tolerance = bound(*wide(x, w), problem.stride[0], before, problem.y_shape[2:])
    assert_within(plain, exact, tolerance, dtype)
    more = 2 * UNIT["float32"] * sum(np.abs(part) for part in added)
    assert_within(fused, np.maximum(exact + added[0] + added[1], 0), tolerance + more, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("problem", [p for p in PROBLEMS if takes(p, "conv2d_input_grad")], ids=str)
def test_the_input_gradient_is_within_its_bound(problem, dtype, isa):
    grad, w = normal(problem.y_shape, 0, dtype), normal(problem.weight_shape, 1, dtype)
    arguments = (problem.x_shape, problem.stride, problem.padding)
    dx = fc.ops.conv2d_input_grad(grad, w, *arguments, algo="winograd")
    exact = fc.ops.conv2d_input_grad(*wide(grad, w), *arguments, algo="reference")
    mirrored = wide(w)[0].transpose(1, 0, 2, 3)[:, :, ::-1, ::-1]
    before = (problem.r - 1 - problem.padding[0][0], problem.s - 1 - problem.padding[1][0])
    assert_within(dx, exact, bound(wide(grad)[0], mirrored, 1, before, problem.x_shape[2:]), dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("problem", PROBLEMS[:40] + THREADED, ids=str)
def test_threads_and_batch_do_not_change_bits(problem, dtype, isa, threads):
    batch = replace(problem, n=max(problem.n, 3), dtype=dtype)
    for direction, op in (("forward", "conv2d"), ("input_grad", "conv2d_input_grad")):
        if not takes(batch, op):
            continue
        images, weight = operands(direction, batch)
        threads(1)
        expected = convolve(direction, batch, images, weight, "winograd")
        for count in (2, 3):
            threads(count)
            np.testing.assert_array_equal(convolve(direction, batch, images, weight, "winograd"), expected)
        for i in range(batch.n):
            alone = convolve(direction, batch.one_image, images[i : i + 1], weight, "winograd")
            np.testing.assert_array_equal(alone[0], expected[i])


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("problem", PROBLEMS[:40], ids=str)
def test_sixteen_bits_are_computed_in_float32_and_rounded_once(problem, dtype, isa):
    x, w = normal(problem.x_shape, 0, dtype), normal(problem.weight_shape, 1, dtype)
    arguments = (None, problem.stride, problem.padding)
    single = fc.ops.conv2d(x.astype(np.float32), w.astype(np.float32), *arguments, algo="winograd")
    np.testing.assert_array_equal(fc.ops.conv2d(x, w, *arguments, algo="winograd"), single.astype(x.dtype))


@pytest.mark.parametrize(("direction", "text"), SHAPES)
def test_the_error_is_in_the_class_of_a_sequential_sum(direction, text, isa):
    """At most 3 times that of summing in one float32 variable: docs/numerics.md has 1.45 to 2.7, the portable kernels
    2.8. The largest errors are single values, 0.7 to 3.3 times the sum's over several seeds: at most 4 times."""
    found = measure(direction, text)
    (rms, largest), (naive_rms, naive_largest) = found["winograd"], found["sequential sum"]
    assert rms <= 3 * naive_rms and largest <= 4 * naive_largest
    assert found["implicit_gemm"][0] <= 1.1 * naive_rms


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nan_and_inf_reach_the_outputs_of_their_tiles_alone(value, isa):
    """F(4,3) reads 6 x 6 pixels a tile, 4 apart: pixel (2, 2) is an inner one of the first tile, and in no other."""
    x, w = np.ones((1, 8, 16, 16), np.float32), np.ones((5, 8, 3, 3), np.float32)
    x[0, 3, 2, 2] = value
    direct = fc.ops.conv2d(x, w, padding=1, algo="implicit_gemm")
    by_tiles = fc.ops.conv2d(x, w, padding=1, algo="winograd")
    broken = ~np.isfinite(by_tiles)
    assert broken[~np.isfinite(direct)].all(), "what the direct method breaks is broken"
    assert broken[:, :, :4, :4].all() and broken.sum() == 5 * 4 * 4
    with fc.allow_winograd(False):
        np.testing.assert_array_equal(fc.ops.conv2d(x, w, padding=1), direct)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("column", [False, True])
def test_nan_and_inf_stay_in_the_tiles_of_their_row_or_column(value, column, isa):
    """Parts of F(3,4) read 6 pixels a tile, 3 apart: pixel 7 is in the tiles that begin at 3 and 6, so that it reaches
    outputs 3 to 8 by the first part, and 0 to 5 by the second."""
    x, w = np.ones((1, 8, 5, 24), np.float32), np.ones((5, 8, 1, 7), np.float32)
    x[0, 3, 2, 7] = value
    if column:
        x, w = x.transpose(0, 1, 3, 2), w.transpose(0, 1, 3, 2)
    broken = ~np.isfinite(fc.ops.conv2d(x, w, algo="winograd"))
    broken = broken.transpose(0, 1, 3, 2) if column else broken
    assert broken[:, :, 2, :9].all() and broken.sum() == 5 * 9


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("ic4ih9oc4kh3kw5", "takes square kernels and strides"),
        ("ic4ih9oc4kh1", "takes kernels of 3 to 5 taps"),
        ("ic4ih9oc4kh3sh2", "takes kernels of 3 to 5 taps"),
        ("ic4ih9oc4kh1kw2", "takes kernels of one row or column of 3 to 16 taps"),
        ("ic4ih20oc4kh17kw1", "takes kernels of one row or column of 3 to 16 taps"),
        ("ic4ih9iw9oc4oh9ow4kh1kw3sh1sw2", "takes stride 1 for kernels of one row or column"),
        ("ic4ih9oc4kh3dh1", "takes dilation 1"),
        ("g2ic4ih9oc4kh3", "takes one group"),
    ],
)
def test_what_it_refuses(text, reason):
    problem = ConvProblem.parse(text)
    x, w = np.zeros(problem.x_shape, np.float32), np.zeros(problem.weight_shape, np.float32)
    with pytest.raises(fc.AlgorithmError, match=reason):
        fc.ops.conv2d(x, w, None, problem.stride, problem.padding, problem.dilation, problem.groups, algo="winograd")

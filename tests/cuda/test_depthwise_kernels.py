"""Depthwise convolution and its gradients on the CUDA kernels, run and checked by the executor."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import fastconv as fc
from fastconv.backends import registry, simt
from fastconv.backends.gpu import depthwise
from fastconv.errors import AlgorithmError
from fastconv.nn.module import numpy_dtype
from fastconv.problem import ConvProblem
from tests.conv_check import DTYPES, integers, numpy_conv2d

# The CUDA kernels: in the executor, and on a GPU.
pytestmark = pytest.mark.parametrize("device", ["simt", pytest.param("cuda", marks=pytest.mark.gpu)], indirect=True)


PROBLEMS = [
    ConvProblem(2, 8, 7, 9, 8, 3, 3, (1, 1), ((1, 1), (1, 1)), groups=8),
    ConvProblem(1, 40, 6, 13, 40, 3, 3, (1, 1), ((1, 1), (1, 1)), groups=40),  # a tail of lanes and of strips
    ConvProblem(3, 16, 9, 8, 16, 3, 3, (2, 2), ((1, 1), (1, 1)), groups=16),
    ConvProblem(1, 16, 8, 11, 16, 3, 3, (2, 2), ((0, 1), (0, 1)), groups=16),  # TensorFlow's "same" with stride 2
    ConvProblem(1, 8, 11, 10, 8, 5, 5, (1, 1), ((2, 2), (2, 2)), groups=8),
    ConvProblem(2, 8, 12, 9, 8, 5, 5, (2, 2), ((2, 2), (2, 1)), groups=8),
    ConvProblem(1, 8, 10, 7, 8, 7, 7, (1, 1), ((3, 3), (3, 3)), groups=8),
    ConvProblem(1, 8, 5, 5, 8, 3, 3, (1, 1), ((4, 3), (5, 2)), groups=8),  # more padding than window
    ConvProblem(1, 8, 15, 15, 8, 7, 7, (2, 2), ((3, 3), (3, 3)), groups=8),  # general from here on
    ConvProblem(1, 8, 9, 7, 8, 3, 3, (1, 1), ((2, 2), (2, 2)), (2, 2), 8),
    ConvProblem(1, 8, 9, 12, 8, 2, 5, (3, 2), ((0, 1), (3, 0)), (2, 1), 8),
    ConvProblem(2, 3, 7, 5, 3, 3, 3, (1, 1), ((1, 1), (1, 1)), groups=3),
    ConvProblem(1, 33, 5, 6, 33, 3, 3, (2, 2), ((1, 1), (1, 1)), groups=33),
    ConvProblem(1, 1, 6, 5, 1, 3, 3, (1, 1), ((1, 0), (0, 1)), groups=1),
    ConvProblem(1, 4, 6, 5, 12, 3, 3, (2, 1), ((1, 1), (1, 1)), groups=4),  # three filters a channel
    ConvProblem(1, 20, 1, 30, 20, 1, 4, (1, 1), ((0, 0), (2, 1)), groups=20),
    ConvProblem(0, 8, 7, 9, 8, 3, 3, (1, 1), ((1, 1), (1, 1)), groups=8),
]


def of(problem, dtype):
    return replace(problem, dtype=dtype)


def operands(d, dtype):
    return integers(d.x_shape, 0, dtype), integers(d.weight_shape, 1, dtype), integers(d.y_shape, 2, dtype, -2, 2)


def arguments(d):
    return d.stride, d.padding, d.dilation, d.groups


def numpy_gradients(x, weight, grad, d):
    """dx and dw by the definition, one tap and one output at a time."""
    (top, bottom), (left, right) = d.padding
    padded = np.pad(x.astype(np.float64), ((0, 0), (0, 0), (top, bottom), (left, right)))
    back, dw, each = np.zeros_like(padded), np.zeros(weight.shape), d.k // d.c
    w, g = weight.astype(np.float64), grad.astype(np.float64)
    for r in range(d.r):
        for s in range(d.s):
            rows = np.arange(d.p) * d.stride[0] + r * d.dilation[0]
            columns = np.arange(d.q) * d.stride[1] + s * d.dilation[1]
            for k in range(d.k):
                window = np.ix_(range(d.n), [k // each], rows, columns)
                back[window] += g[:, k : k + 1] * w[k, 0, r, s]
                dw[k, 0, r, s] = (g[:, k : k + 1] * padded[window]).sum()
    return back[:, :, top : top + d.h, left : left + d.w], dw


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("problem", PROBLEMS, ids=str)
def test_exact_on_integers(ops, problem, dtype):
    d = of(problem, dtype)
    x, w, g = operands(d, dtype)
    bias, residual = integers((d.k,), 3, dtype), integers(d.y_shape, 4, dtype)
    exact = numpy_conv2d(x, w, d) if d.n else np.zeros(d.y_shape)
    for form in (x, fc.ops.channels_last(x)):
        y = ops.conv2d(form, w, None, *arguments(d), algo="depthwise")
        np.testing.assert_array_equal(y, exact.astype(y.dtype))
    fused = ops.conv2d(x, w, bias, *arguments(d), activation="relu6", residual=residual, algo="depthwise")
    total = np.clip(exact + bias.astype(np.float64).reshape(1, -1, 1, 1) + residual.astype(np.float64), 0, 6)
    np.testing.assert_array_equal(fused, total.astype(y.dtype))

    exact_dx, exact_dw = numpy_gradients(x, w, g, d)
    dx = ops.conv2d_input_grad(g, w, d.x_shape, *arguments(d), algo="depthwise")
    np.testing.assert_array_equal(dx, exact_dx.astype(dx.dtype))
    dw = ops.conv2d_weight_grad(g, x, d.weight_shape, *arguments(d), algo="depthwise")
    np.testing.assert_array_equal(dw, exact_dw.astype(dw.dtype))
    if dtype in ("float32", "float64"):  # no rounding: the three are one trilinear form
        forward, g64 = (y.astype(np.float64) * g.astype(np.float64)).sum(), dw.astype(np.float64)
        assert forward == (dx.astype(np.float64) * x.astype(np.float64)).sum() == (g64 * w.astype(np.float64)).sum()


@pytest.mark.parametrize("activation", ["silu", "sigmoid"])
def test_activations_are_fused(ops, activation):
    d = PROBLEMS[0]
    x, w, _ = operands(d, "float32")
    y = ops.conv2d(x, w, None, *arguments(d), activation=activation, algo="depthwise")
    z = numpy_conv2d(x, w, d)
    exact = {"silu": z / (1 + np.exp(-z)), "sigmoid": 1 / (1 + np.exp(-z))}[activation]
    np.testing.assert_allclose(y, exact, rtol=1e-6)


@pytest.mark.parametrize("order", simt.ORDERS)
def test_bits_depend_neither_on_the_order_of_threads_nor_on_the_batch(ops, order):
    generator = np.random.default_rng(0)
    for problem in (PROBLEMS[2], PROBLEMS[10], PROBLEMS[12]):
        d = of(problem, "float16")
        x = generator.standard_normal((3, *d.x_shape[1:])).astype(np.float16)
        w = generator.standard_normal(d.weight_shape).astype(np.float16)
        g = generator.standard_normal((3, *d.y_shape[1:])).astype(np.float16)
        rest = arguments(d)

        def everything(x=x, w=w, g=g, rest=rest):
            return (
                ops.conv2d(x, w, None, *rest, algo="depthwise"),
                ops.conv2d_input_grad(g, w, x.shape, *rest, algo="depthwise"),
                ops.conv2d_weight_grad(g, x, w.shape, *rest, algo="depthwise"),
            )

        expected = everything()
        with simt.options(order=order, seed=5):
            y, dx, dw = everything()
            for value, same in zip((y, dx, dw), expected, strict=True):
                np.testing.assert_array_equal(value, same)
            one_y, one_dx, _ = everything(x[1:2], w, g[1:2])
            np.testing.assert_array_equal(one_y[0], y[1])
            np.testing.assert_array_equal(one_dx[0], dx[1])


def test_weight_gradient_over_several_chunks(ops):
    for problem in (
        ConvProblem(2, 8, 150, 6, 8, 3, 3, (1, 1), ((1, 1), (1, 1)), groups=8),
        ConvProblem(2, 3, 300, 5, 6, 3, 2, (1, 1), ((1, 1), (1, 1)), groups=3),
    ):
        width = 4 if problem.k == problem.c else 1
        rows, chunks = depthwise.wgrad_split(problem, width)
        assert chunks > 1 and rows * chunks >= problem.n * problem.p > rows * (chunks - 1)
        x, w, g = operands(problem, "float32")
        dw = ops.conv2d_weight_grad(g, x, w.shape, *arguments(problem), algo="depthwise")
        np.testing.assert_array_equal(dw, numpy_gradients(x, w, g, problem)[1])


def test_padding_is_zero_and_infinities_stay_where_they_are(ops):
    d = ConvProblem(1, 4, 5, 9, 4, 3, 3, (1, 1), ((1, 1), (1, 1)), groups=4)
    x = np.zeros(d.x_shape, np.float32)
    x[..., 0] = np.inf  # a window over the right edge must not read the next row's
    y = ops.conv2d(x, np.ones(d.weight_shape, np.float32), None, *arguments(d), algo="depthwise")
    assert np.isinf(y[..., :2]).all() and (y[..., 2:] == 0).all()
    w = np.ones(d.weight_shape, np.float32)
    w[:, :, 0, 0] = np.inf  # as the formula has it: 0 x Inf on padding, also in the general kernel
    for channels in (slice(None), slice(0, 3)):
        ones = np.ones((1, *w[channels].shape[:1], 5, 9), np.float32)
        y = ops.conv2d(ones, w[channels], None, 1, 1, 1, ones.shape[1], algo="depthwise")
        assert np.isnan(y[:, :, 0]).all() and np.isnan(y[:, :, :, 0]).all() and (y[:, :, 1:, 1:] == np.inf).all()
        # Backward there is no padding: what does not exist adds nothing.
        dx = ops.conv2d_input_grad(ones, w[channels], ones.shape, 1, 1, 1, ones.shape[1], algo="depthwise")
        assert not np.isnan(dx).any() and np.isfinite(dx[:, :, -1]).all() and np.isinf(dx[:, :, :-1, :-1]).all()


def test_unaligned_memory_takes_the_scalar_kernel_and_gets_the_same_bits(ops):
    generator = np.random.default_rng(0)
    for d in (PROBLEMS[0], PROBLEMS[2]):
        x, w, g = (generator.standard_normal(s).astype(np.float32) for s in (d.x_shape, d.weight_shape, d.y_shape))
        shifted = []
        for array in (x, g):
            n, c, h, wide = array.shape
            view = np.zeros(array.size + 1, np.float32)[1:].reshape(n, h, wide, c).transpose(0, 3, 1, 2)
            view[...] = array
            shifted.append(view)
        y, same_y = (ops.conv2d(form, w, None, *arguments(d), algo="depthwise") for form in (x, shifted[0]))
        np.testing.assert_array_equal(y, same_y)
        dx, same_dx = (
            ops.conv2d_input_grad(form, w, x.shape, *arguments(d), algo="depthwise") for form in (g, shifted[1])
        )
        np.testing.assert_array_equal(dx, same_dx)


def test_what_is_refused_and_what_is_chosen(ops):
    x, w = np.ones((1, 8, 4, 4), np.float32), np.ones((8, 4, 3, 3), np.float32)
    with pytest.raises(AlgorithmError, match="2 groups of 8 channels: takes groups == channels"):
        ops.conv2d(x, w, groups=2, algo="depthwise")
    with pytest.raises(AlgorithmError, match="an ordinary convolution"):
        ops.conv2d(x[:, :1], w[:, :1], algo="depthwise")
    for op in ("conv2d", "conv2d_input_grad", "conv2d_weight_grad"):
        assert registry.choose(op, "simt", PROBLEMS[0]).kernel.algo == "depthwise"
    assert depthwise.special_size(of(PROBLEMS[0], "float16"), 8) == (3, 1)
    assert depthwise.special_size(of(PROBLEMS[0], "float16"), 1) is None
    assert depthwise.special_size(PROBLEMS[9], 4) is None
    kernel = next(k for k in registry.kernels("conv2d_weight_grad", "simt") if k.algo == "depthwise")
    assert kernel.workspace(PROBLEMS[0]) == depthwise.wgrad_split(PROBLEMS[0], 4)[1] * 9 * 8 * 4


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_sixteen_bit_types_are_rounded_once(ops, dtype):
    d = of(PROBLEMS[1], dtype)
    generator = np.random.default_rng(0)
    x, w = (generator.standard_normal(shape).astype(numpy_dtype(dtype)) for shape in (d.x_shape, d.weight_shape))
    y = ops.conv2d(x, w, None, *arguments(d), algo="depthwise").astype(np.float64)
    exact = numpy_conv2d(x.astype(np.float64), w.astype(np.float64), d)
    # Half an ulp, and 9 float32 roundings of sums that are at most a few times the result's largest.
    half_ulp = {"float16": 2.0**-11, "bfloat16": 2.0**-8}[dtype]
    assert (np.abs(y - exact) <= half_ulp * np.abs(exact) + 1e-5).all()

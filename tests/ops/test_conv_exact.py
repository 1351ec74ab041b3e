"""Every algorithm, ISA, dtype and thread count computes exactly what the definition says, on integers."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastconv as fc
from fastconv.backends import cpu, simt
from fastconv.problem import ConvProblem
from tests.conv_check import ALGORITHMS, DTYPES, check, check_in_executor, integers, numpy_conv2d
from tests.shapes import awkward


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("isa_name", cpu.supported_isas())
@pytest.mark.parametrize("algo", ALGORITHMS)
@pytest.mark.parametrize("problem", awkward(), ids=str)
def test_awkward_shapes(problem, algo, isa_name, dtype):
    for threads in (1, 2, 3):
        check(dataclasses.replace(problem, dtype=dtype), algo, isa_name, threads)


sizes = st.sampled_from([1, 2, 3, 5, 7, 8, 11, 13, 16, 17, 31, 33])


@st.composite
def problems(draw):
    groups = draw(st.sampled_from([1, 1, 1, 2, 3, 5]))
    kernel = draw(st.tuples(st.integers(1, 6), st.integers(1, 6)))
    dilation = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    padding = draw(st.tuples(*[st.tuples(st.integers(0, 4), st.integers(0, 4))] * 2))
    extents = []
    for axis in (0, 1):
        least = max(dilation[axis] * (kernel[axis] - 1) + 1 - sum(padding[axis]), 1)
        extents.append(least + draw(st.integers(0, 13)))
    return ConvProblem(
        n=draw(st.integers(0, 3)),
        c=groups * draw(sizes),
        h=extents[0],
        w=extents[1],
        k=groups * draw(sizes),
        r=kernel[0],
        s=kernel[1],
        stride=draw(st.tuples(st.integers(1, 4), st.integers(1, 4))),
        padding=padding,
        dilation=dilation,
        groups=groups,
        dtype=draw(st.sampled_from(DTYPES)),
    )


@settings(max_examples=300)
@given(
    problem=problems(),
    algo=st.sampled_from(ALGORITHMS),
    isa_name=st.sampled_from(cpu.supported_isas()),
    threads=st.sampled_from([1, 2, 5]),
    seed=st.integers(0, 9),
)
def test_random_shapes(problem, algo, isa_name, threads, seed):
    check(problem, algo, isa_name, threads, seed)


@pytest.mark.skipif(simt.available() is not None, reason=str(simt.available()))
@settings(max_examples=60)
@given(problem=problems(), algo=st.sampled_from(["implicit_gemm", "im2col_gemm"]), seed=st.integers(0, 11))
def test_random_shapes_in_the_executor(problem, algo, seed):
    check_in_executor(problem, algo, seed)


@pytest.mark.parametrize("activation", ["relu", "relu6", "silu", "sigmoid", None])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("algo", ALGORITHMS)
def test_activations(algo, activation, dtype, isa):
    problem = ConvProblem.parse("mb1ic5ih6oc19oh6kh3ph1", dtype)
    x, w = integers(problem.x_shape, 0, dtype), integers(problem.weight_shape, 1, dtype)
    y = fc.ops.conv2d(x, w, padding=1, activation=activation, algo=algo)
    z = numpy_conv2d(x, w, problem)
    with np.errstate(over="ignore"):
        exact = {
            None: z,
            "relu": np.maximum(z, 0),
            "relu6": np.clip(z, 0, 6),
            "silu": z / (1 + np.exp(-z)),
            "sigmoid": 1 / (1 + np.exp(-z)),
        }[activation]
    # exp() in float32 is within 2 ulp; then one rounding to the storage type.
    ulp = {"float64": 1e-15, "float32": 4e-7, "float16": 1e-3, "bfloat16": 8e-3}[dtype]
    tolerance = 0 if activation in (None, "relu", "relu6") else ulp
    np.testing.assert_allclose(
        y.astype(np.float64), exact.astype(y.dtype).astype(np.float64), rtol=tolerance, atol=tolerance * 1e-3
    )


@pytest.mark.parametrize("algo", ALGORITHMS)
def test_padding_never_multiplies_memory(algo, isa):
    """A window over the edge reads zeros, not what lies beside the row: an Inf there would give NaN."""
    x = np.zeros((1, 3, 4, 4), np.float32)
    x[:, :, :, 0] = np.inf
    w = np.ones((2, 3, 3, 3), np.float32)
    y = fc.ops.conv2d(x, w, padding=1, algo=algo)
    assert np.isinf(y[..., :2]).all() and (y[..., 2:] == 0).all()


@pytest.mark.parametrize("algo", ALGORITHMS)
def test_padding_is_a_zero_that_is_multiplied(algo, isa):
    """As the formula and PyTorch have it: an infinite weight that falls on padding gives NaN, in every algorithm."""
    w = np.ones((1, 1, 3, 3), np.float32)
    w[0, 0, 0, 0] = np.inf
    y = fc.ops.conv2d(np.ones((1, 1, 2, 2), np.float32), w, padding=1, algo=algo)
    assert np.isnan(y.ravel()[:3]).all() and y.ravel()[3] == np.inf


@pytest.mark.parametrize("algo", ALGORITHMS)
def test_nan_and_inf_go_through(algo, isa):
    x = np.zeros((1, 2, 3, 3), np.float32)
    x[0, 0, 1, 1] = np.nan
    y = fc.ops.conv2d(x, np.ones((1, 2, 1, 1), np.float32), activation="relu", algo=algo)
    assert np.isnan(y[0, 0, 1, 1]) and np.isfinite(np.delete(y.ravel(), 4)).all()


@pytest.mark.parametrize("algo", ALGORITHMS)
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_sixteen_bit_results_are_rounded_once(algo, dtype, isa):
    """Products of two 16-bit numbers are exact in float32, so the result is the correctly rounded product:
    ties, subnormals, overflow to Inf."""
    generator = np.random.default_rng(0)
    bits = generator.integers(0, 1 << 16, 40_000, dtype=np.uint16)
    x = bits.view(integers((1,), 0, dtype).dtype).reshape(1, 1, 200, 200)
    x = np.where(np.isfinite(x.astype(np.float32)), x, x.dtype.type(1))
    for factor in (1.0, 0.3330078125, 1.0009765625, 0.0001220703125, 3.0):
        w = np.full((1, 1, 1, 1), factor, np.float32).astype(x.dtype)
        y = fc.ops.conv2d(x, w, algo=algo)
        exact = x.astype(np.float64) * w.astype(np.float64).item()
        if dtype == "bfloat16":  # float32 subnormals may be flushed to zero
            keep = (np.abs(exact) > 2e-38) & (np.abs(x.astype(np.float64)) > 2e-38)
            y, exact = y[keep], exact[keep]
        with np.errstate(over="ignore"):
            np.testing.assert_array_equal(y.astype(np.float64), exact.astype(x.dtype).astype(np.float64))

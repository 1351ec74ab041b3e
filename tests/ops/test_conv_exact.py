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
from tests.conv_check import (
    ALGORITHMS,
    DTYPES,
    GRADIENTS,
    algorithms,
    check,
    check_gradients,
    check_in_executor,
    integers,
    numpy_conv2d,
    takes,
)
from tests.shapes import awkward

GRADIENT_ALGORITHMS = tuple(dict.fromkeys(algo for op in GRADIENTS for algo in algorithms(op)))


def taken(problems, algos=ALGORITHMS, ops=("conv2d",)):
    """The pairs of a problem and an algorithm that takes it."""
    return [(p, a) for p in problems for a in algos if any(takes(a, p, op) for op in ops)]


def parse_all(*texts):
    return [ConvProblem.parse(text) for text in texts]


def random_of(problem, dtype=None, seed=0):
    """x and weight of a problem, small integers, and the arguments of conv2d that follow the bias."""
    dtype = dtype or problem.dtype
    x, w = integers(problem.x_shape, seed, dtype), integers(problem.weight_shape, seed + 1, dtype)
    return x, w, (problem.stride, problem.padding, problem.dilation, problem.groups)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("isa_name", cpu.supported_isas())
@pytest.mark.parametrize(("problem", "algo"), taken(awkward()), ids=str)
def test_awkward_shapes(problem, algo, isa_name, dtype):
    for threads in (1, 2, 3):
        check(dataclasses.replace(problem, dtype=dtype), algo, isa_name, threads)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("isa_name", cpu.supported_isas())
@pytest.mark.parametrize(("problem", "algo"), taken(awkward(), GRADIENT_ALGORITHMS, GRADIENTS), ids=str)
def test_gradients_of_awkward_shapes(problem, algo, isa_name, dtype):
    for threads in (1, 2, 3):
        check_gradients(dataclasses.replace(problem, dtype=dtype), algo, isa_name, threads)


@pytest.mark.parametrize(("problem", "algo"), taken(awkward("float64"), GRADIENT_ALGORITHMS, GRADIENTS), ids=str)
def test_gradients_are_adjoint(problem, algo, isa):
    """<conv(x), g> = <x, dgrad(g)> = <w, wgrad(g, x)>, exactly: all sums are of integers below 2^53."""
    x, w, arguments = random_of(problem)
    g = integers(problem.y_shape, 2, "float64")
    product = np.vdot(fc.ops.conv2d(x, w, None, *arguments, algo=algo if takes(algo, problem) else None), g)
    if takes(algo, problem, "conv2d_input_grad"):
        dx = fc.ops.conv2d_input_grad(g, w, problem.x_shape, *arguments, algo=algo)
        assert np.vdot(x, dx) == product
    if takes(algo, problem, "conv2d_weight_grad"):
        dw = fc.ops.conv2d_weight_grad(g, x, problem.weight_shape, *arguments, algo=algo)
        assert np.vdot(w, dw) == product


sizes = st.sampled_from([1, 2, 3, 5, 7, 8, 11, 13, 16, 17, 31, 33])


@st.composite
def problems(draw):
    groups = draw(st.sampled_from([1, 1, 1, 2, 3, 5, 16, 17, 33, 35]))
    channels = sizes if groups <= 5 else st.sampled_from([1, 1, 1, 2, 3, 4, 8])  # depthwise, or narrow groups
    multiple = draw(st.booleans())
    group_c = draw(channels)
    group_k = group_c if groups > 5 and not multiple else draw(channels)
    kernel = draw(st.tuples(st.integers(1, 6), st.integers(1, 6)))
    dilation = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    padding = draw(st.tuples(*[st.tuples(st.integers(0, 4), st.integers(0, 4))] * 2))
    extents = []
    for axis in (0, 1):
        least = max(dilation[axis] * (kernel[axis] - 1) + 1 - sum(padding[axis]), 1)
        extents.append(least + draw(st.integers(0, 13)))
    return ConvProblem(
        n=draw(st.integers(0, 3)),
        c=groups * group_c,
        h=extents[0],
        w=extents[1],
        k=groups * group_k,
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
    isa_name=st.sampled_from(cpu.supported_isas()),
    threads=st.sampled_from([1, 2, 5]),
    seed=st.integers(0, 9),
    data=st.data(),
)
def test_random_shapes(problem, isa_name, threads, seed, data):
    algo = data.draw(st.sampled_from([algo for algo in ALGORITHMS if takes(algo, problem)]))
    check(problem, algo, isa_name, threads, seed)


@settings(max_examples=200)
@given(
    problem=problems(),
    isa_name=st.sampled_from(cpu.supported_isas()),
    threads=st.sampled_from([1, 2, 5]),
    seed=st.integers(0, 9),
)
def test_gradients_of_random_shapes(problem, isa_name, threads, seed):
    for algo in GRADIENT_ALGORITHMS:
        check_gradients(problem, algo, isa_name, threads, seed)


@pytest.mark.skipif(simt.available() is not None, reason=str(simt.available()))
@settings(max_examples=60)
@given(problem=problems(), algo=st.sampled_from(["implicit_gemm", "im2col_gemm"]), seed=st.integers(0, 11))
def test_random_shapes_in_the_executor(problem, algo, seed):
    check_in_executor(problem, algo, seed)


@pytest.mark.parametrize("activation", ["relu", "relu6", "silu", "sigmoid", None])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("problem", "algo"),
    taken(
        parse_all(
            "mb1ic5ih6oc19oh6kh3ph1",
            "g19mb1ic19ih6iw9oc19oh6ow9kh3ph1",
            "g150mb1ic150ih3oc150",
            "g7mb1ic14ih6oc21oh6kh3ph1",
        )
    ),
    ids=str,
)
def test_activations(problem, algo, activation, dtype, isa):
    x, w, arguments = random_of(problem, dtype)
    y = fc.ops.conv2d(x, w, None, *arguments, activation=activation, algo=algo)
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


# One problem a family: dense, depthwise, grouped; narrow, and wide enough for whole tiles between the edges.
PADDED = taken(
    parse_all(
        *(
            f"{channels}ih2iw{w}oh2ow{w}kh3ph1"
            for w in (2, 40)
            for channels in ("mb1ic3oc2", "g3mb1ic3oc3", "g4mb1ic8oc12")
        ),
        "g32mb1ic32ih2iw40oc32oh2ow40kh3ph1",
        "g16mb1ic64ih2iw40oc64oh2ow40kh3ph1",
    )
)


@pytest.mark.parametrize(("problem", "algo"), PADDED, ids=str)
def test_padding_never_multiplies_memory(problem, algo, isa):
    """A window over the edge reads zeros, not what lies beside the row: an Inf there would give NaN."""
    x = np.zeros(problem.x_shape, np.float32)
    x[:, :, :, 0] = np.inf
    y = fc.ops.conv2d(x, np.ones(problem.weight_shape, np.float32), padding=1, groups=problem.groups, algo=algo)
    assert np.isinf(y[..., :2]).all() and (y[..., 2:] == 0).all()


@pytest.mark.parametrize(("problem", "algo"), PADDED, ids=str)
def test_padding_is_a_zero_that_is_multiplied(problem, algo, isa):
    """As the formula and PyTorch have it: an infinite weight that falls on padding gives NaN, in every algorithm."""
    x, w = np.ones(problem.x_shape, np.float32), np.ones(problem.weight_shape, np.float32)
    finite = numpy_conv2d(x, w, problem)
    w[-1, 0, 0, 0] = np.inf
    y = fc.ops.conv2d(x, w, padding=1, groups=problem.groups, algo=algo)
    assert np.isnan(y[:, -1, 0]).all() and np.isnan(y[:, -1, 1, 0]).all() and (y[:, -1, 1, 1:] == np.inf).all()
    np.testing.assert_array_equal(y[:, :-1], finite[:, :-1])


@pytest.mark.parametrize(("problem", "algo"), PADDED, ids=str)
def test_nan_and_inf_go_through(problem, algo, isa):
    x, w = np.zeros(problem.x_shape, np.float32), np.zeros(problem.weight_shape, np.float32)
    x[0, :, 1, 1] = np.nan
    w[:, :, 1, 1] = 1
    y = fc.ops.conv2d(x, w[:, :, 1:2, 1:2], groups=problem.groups, activation="relu", algo=algo)
    assert np.isnan(y[0, :, 1, 1]).all() and np.isnan(y).sum() == problem.k


@pytest.mark.parametrize(("problem", "algo"), taken(parse_all("mb1ic1ih200oc1", "g2mb1ic2ih100iw200oc4")), ids=str)
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_sixteen_bit_results_are_rounded_once(problem, algo, dtype, isa):
    """Products of two 16-bit numbers are exact in float32, so the result is the correctly rounded product:
    ties, subnormals, overflow to Inf."""
    generator = np.random.default_rng(0)
    bits = generator.integers(0, 1 << 16, 40_000, dtype=np.uint16)
    x = bits.view(integers((1,), 0, dtype).dtype).reshape(problem.x_shape)
    x = np.where(np.isfinite(x.astype(np.float32)), x, x.dtype.type(1))
    for factor in (1.0, 0.3330078125, 1.0009765625, 0.0001220703125, 3.0):
        w = np.full(problem.weight_shape, factor, np.float32).astype(x.dtype)
        y = fc.ops.conv2d(x, w, groups=problem.groups, algo=algo)
        exact = np.repeat(x.astype(np.float64) * float(w.flat[0]), problem.k // problem.c, axis=1)
        if dtype == "bfloat16":  # float32 subnormals may be flushed to zero
            keep = (np.abs(exact) > 2e-38) & (
                np.abs(np.repeat(x, problem.k // problem.c, axis=1).astype(np.float64)) > 2e-38
            )
            y, exact = y[keep], exact[keep]
        with np.errstate(over="ignore"):
            np.testing.assert_array_equal(y.astype(np.float64), exact.astype(x.dtype).astype(np.float64))

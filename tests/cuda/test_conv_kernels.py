"""Convolution on CUDA devices: exact on integers, in every order of threads and copies, for every kind of problem."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import fastconv as fc
from fastconv.backends import simt
from fastconv.problem import ConvProblem

from ..conv_check import DTYPES, integers, numpy_conv2d
from ..simt.running import VARIANTS

needs_executor = pytest.mark.skipif(simt.available() is not None, reason=str(simt.available()))

pytestmark = pytest.mark.usefixtures("direct_only")  # the CPU is the reference here: exact on integers

# Small, and each awkward in its own way.
PROBLEMS = (
    "mb2ic16ih7iw9oc24kh3ph1",  # whole vectors; rows and images end within a tile
    "mb1ic8ih9oc40kh3sh2ph1",  # stride 2, filters past a tile of 32
    "mb1ic24ih6oc8kh3ph1",  # channels that are no multiple of a step
    "mb3ic5ih5iw7oc3kh2kw3ph1pw0",  # nothing is a multiple of anything
    "mb1ic3ih8oc1kh5ph2",  # K = 1
    "mb1ic16ih9oc16kh3dh1ph2",  # dilation
    "mb1ic8ih6iw11oc8kh3kw1sh1sw3ph0pw2",  # a stride longer than the kernel is wide: some inputs are never read
    "g2mb1ic16ih5oc32kh3ph1",  # groups of whole vectors
    "g3mb2ic9ih5oc6kh3ph1",  # groups of 3 and 2 channels
    "mb2ic32ih4oc64kh1",  # 1 x 1
    "mb2ic8ih7oc16kh1sh2",  # 1 x 1, stride 2: classes of input pixels without a tap
    "mb1ic70ih3oc72kh3ph1",  # channels past a step of 64
)
ASYMMETRIC = ConvProblem(2, 8, 6, 5, 16, 3, 2, stride=(2, 1), padding=((0, 2), (1, 0)))


def problems(dtype="float32"):
    return [*(ConvProblem.parse(text, dtype) for text in PROBLEMS), ASYMMETRIC]


def arguments(problem):
    return (problem.stride, problem.padding, problem.dilation, problem.groups)


def with_dtype(problem, dtype):
    return replace(problem, dtype=dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("problem", problems(), ids=str)
def test_forward_and_both_gradients_are_exact(device, problem, dtype):
    """All on integers: forward against the definition, gradients by the identity <y, g> = <dx, x> = <dw, w>, which each
    tap of each element takes part in, and against one another's definitions on the CPU."""
    problem = with_dtype(problem, dtype)
    x, w = integers(problem.x_shape, 0, dtype), integers(problem.weight_shape, 1, dtype)
    bias, residual = integers((problem.k,), 2, dtype), integers(problem.y_shape, 3, dtype)
    exact = numpy_conv2d(x, w, problem)
    on, weight = device.put(x), device.put(w)
    explained = fc.ops.explain("conv2d", on, weight, None, *arguments(problem))
    for algo in [candidate.algo for candidate in explained.candidates if candidate.refusal is None]:
        plain = device.get(fc.ops.conv2d(on, weight, None, *arguments(problem), algo=algo))
        np.testing.assert_array_equal(plain, exact.astype(plain.dtype), err_msg=algo)
        fused = fc.ops.conv2d(
            *(fc.ops.channels_last(on), weight, device.put(bias), *arguments(problem)),
            activation="relu",
            residual=device.put(residual),
            algo=algo,
        )
        with_all = np.maximum(exact + bias.astype(float).reshape(1, -1, 1, 1) + residual.astype(float), 0)
        np.testing.assert_array_equal(device.get(fused), with_all.astype(plain.dtype), err_msg=algo)

    grad = integers(problem.y_shape, 4, dtype)
    dx = device.get(fc.ops.conv2d_input_grad(device.put(grad), weight, problem.x_shape, *arguments(problem)))
    dw = device.get(fc.ops.conv2d_weight_grad(device.put(grad), on, problem.weight_shape, *arguments(problem)))
    with fc.device("cpu"):
        expected_dx = fc.ops.conv2d_input_grad(grad, w, problem.x_shape, *arguments(problem))
        expected_dw = fc.ops.conv2d_weight_grad(grad, x, problem.weight_shape, *arguments(problem))
    np.testing.assert_array_equal(dx, expected_dx)
    np.testing.assert_array_equal(dw, expected_dw)
    if dtype in ("float32", "float64"):  # the others round
        inner = (exact * grad.astype(float)).sum()
        assert inner == (dx.astype(float) * x.astype(float)).sum() == (dw.astype(float) * w.astype(float)).sum()


@needs_executor
@pytest.mark.parametrize(("order", "copies"), VARIANTS)
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_every_order_of_threads_and_copies(order, copies, dtype):
    problem = ConvProblem.parse("mb1ic72ih5oc40kh3sh2ph1", dtype)
    x, w = integers(problem.x_shape, 0, dtype), integers(problem.weight_shape, 1, dtype)
    grad = integers(problem.y_shape, 2, dtype)
    results = []
    for where in ("cpu", "simt"):
        with fc.device(where), simt.options(order=order, copies=copies, seed=9):
            results.append(
                (
                    fc.ops.conv2d(x, w, None, *arguments(problem)),
                    fc.ops.conv2d_input_grad(grad, w, problem.x_shape, *arguments(problem)),
                    fc.ops.conv2d_weight_grad(grad, x, problem.weight_shape, *arguments(problem)),
                )
            )
    for cpu, executed in zip(*results, strict=True):
        np.testing.assert_array_equal(executed, cpu)


@needs_executor
@pytest.mark.parametrize("problem", problems()[:3], ids=str)
def test_tf32_on_integers_is_exact_and_only_when_asked_for(problem):
    x, w = integers(problem.x_shape, 0, "float32"), integers(problem.weight_shape, 1, "float32")
    with fc.device("simt"):
        y = fc.ops.conv2d(x, w, None, *arguments(problem), algo="implicit_gemm_tf32")
        assert fc.ops.explain("conv2d", x, w, None, *arguments(problem)).choice != "implicit_gemm_tf32"
        dx = fc.ops.conv2d_input_grad(y, w, problem.x_shape, *arguments(problem), algo="implicit_gemm_tf32")
        dw = fc.ops.conv2d_weight_grad(y, x, problem.weight_shape, *arguments(problem), algo="implicit_gemm_tf32")
    np.testing.assert_array_equal(y, numpy_conv2d(x, w, problem))
    with fc.device("cpu"):
        np.testing.assert_array_equal(dx, fc.ops.conv2d_input_grad(y, w, problem.x_shape, *arguments(problem)))
        np.testing.assert_array_equal(dw, fc.ops.conv2d_weight_grad(y, x, problem.weight_shape, *arguments(problem)))


@needs_executor
@pytest.mark.parametrize("dtype", DTYPES)
def test_an_image_gives_the_same_bits_alone_and_in_a_batch(dtype):
    rng = np.random.default_rng(5)
    kind = integers((1,), 0, dtype).dtype
    x, w = rng.standard_normal((3, 16, 6, 6)).astype(kind), rng.standard_normal((24, 16, 3, 3)).astype(kind)
    with fc.device("simt"):
        for algo in fc.ops.algorithms("conv2d", x, w, padding=1):
            batch = fc.ops.conv2d(x, w, padding=1, algo=algo)
            alone = [fc.ops.conv2d(x[i : i + 1], w, padding=1, algo=algo) for i in range(3)]
            assert np.concatenate(alone).tobytes() == batch.tobytes(), algo


@needs_executor
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_float_results_are_as_near_as_the_accumulation_allows(dtype):
    """Against float64 on the same rounded inputs: |error| <= steps u |x| * |w| + a rounding of the result."""
    rng = np.random.default_rng(6)
    kind = np.dtype(dtype)
    x, w = rng.standard_normal((2, 40, 5, 5)).astype(kind), rng.standard_normal((16, 40, 3, 3)).astype(kind)
    problem = ConvProblem(2, 40, 5, 5, 16, 3, 3, padding=((1, 1), (1, 1)), dtype=dtype)
    with fc.device("simt"):
        y = fc.ops.conv2d(x, w, padding=1).astype(np.float64)
    exact = numpy_conv2d(x, w, problem)
    magnitude = numpy_conv2d(np.abs(x), np.abs(w), problem)
    # float32: one rounding (2^-24) a product. Tensor cores truncate: 2^-23 an instruction and 2^-24 a product of it.
    bound = 360 * 2.0**-23 * magnitude + np.abs(exact) * (2.0**-11 if dtype == "float16" else 2.0**-24)
    assert (np.abs(y - exact) <= bound).all()


def elsewhere(array):
    """The same values in memory that begins one element further."""
    moved = np.empty(array.size + 1, array.dtype)[1:].reshape(array.transpose(0, 2, 3, 1).shape).transpose(0, 3, 1, 2)
    moved[...] = array
    return moved


@needs_executor
@pytest.mark.parametrize("text", ["g16mb1ic16ih24oc16kh3ph1", "mb1ic64ih16oc64kh1", "mb2ic32ih20oc16kh3ph1"])
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
def test_bits_do_not_depend_on_where_arrays_begin(text, dtype):
    problem = ConvProblem.parse(text, dtype)
    rng = np.random.default_rng(8)
    x, grad = (rng.standard_normal(s).astype(dtype) for s in (problem.x_shape, problem.y_shape))
    w = rng.standard_normal(problem.weight_shape).astype(dtype)

    def bits(x, grad):
        with fc.device("simt"):
            results = (
                fc.ops.conv2d(x, w, None, *arguments(problem)),
                fc.ops.conv2d_input_grad(grad, w, problem.x_shape, *arguments(problem)),
                fc.ops.conv2d_weight_grad(grad, x, problem.weight_shape, *arguments(problem)),
            )
        return [np.ascontiguousarray(result).tobytes() for result in results]

    assert bits(elsewhere(x), elsewhere(grad)) == bits(x, grad)


@needs_executor
@pytest.mark.parametrize("algo", ["implicit_gemm", "im2col_gemm"])
def test_without_channels_the_result_is_the_bias(algo):
    with fc.device("simt"):
        x, w = np.zeros((1, 0, 3, 3), np.float32), np.zeros((2, 0, 1, 1), np.float32)
        y = fc.ops.conv2d(x, w, np.array([1, 2], np.float32), algo=algo)
    np.testing.assert_array_equal(y[0, :, 0, 0], [1, 2])


@needs_executor
def test_underflow_to_minus_zero_is_the_same_in_every_tile():
    x, w = np.zeros((32, 8, 14, 14)), np.zeros((64, 8, 1, 1))
    x[:, 7], w[:, 7] = -1e-200, 1e-200
    with fc.device("simt"):
        batch, alone = fc.ops.conv2d(x, w), fc.ops.conv2d(x[:1], w)
    assert batch[:1].tobytes() == alone.tobytes()


@needs_executor
def test_inf_in_the_input_reaches_only_the_pixels_that_see_it():
    """What is padded, and the channels past the last, are zeros that meet no Inf."""
    x, w = np.ones((1, 12, 5, 5), np.float16), np.ones((9, 12, 3, 3), np.float16)
    x[0, 11, 0, 0], w[8, 3, 1, 1] = np.inf, np.inf
    with fc.device("simt"):
        for algo in ("implicit_gemm", "im2col_gemm"):
            y = fc.ops.conv2d(x, w, padding=1, algo=algo)
            assert np.isinf(y[0, :8, :2, :2]).all() and np.isfinite(y[0, :8, 2:, 2:]).all()
            assert np.isinf(y[0, 8]).all() and not np.isnan(y).any()


@needs_executor
def test_memory_that_no_vector_fits():
    """Arrays that start between 16-byte lines, and results written into them."""
    memory = np.zeros(1 * 8 * 5 * 5 + 1, np.float16)
    x = memory[1:].reshape(1, 5, 5, 8).transpose(0, 3, 1, 2)
    x[...] = integers(x.shape, 0, "float16")
    w = integers((8, 8, 3, 3), 1, "float16")
    out = np.zeros(201, np.float16)[1:].reshape(1, 5, 5, 8).transpose(0, 3, 1, 2)
    with fc.device("simt"):
        assert fc.ops.conv2d(x, w, padding=1, out=out) is out
    np.testing.assert_array_equal(out, numpy_conv2d(x, w, ConvProblem.parse("mb1ic8ih5oc8kh3ph1", "float16")))


def test_linear_and_empty_batches(device):
    x, w = integers((5, 24), 0, "float16"), integers((11, 24), 1, "float16")
    y = device.get(fc.ops.linear(device.put(x), device.put(w), device.put(integers((11,), 2, "float16"))))
    np.testing.assert_array_equal(y, x.astype(float) @ w.astype(float).T + integers((11,), 2, "float16").astype(float))
    nothing = device.put(np.zeros((0, 8, 5, 5), np.float32))
    weight = device.put(np.ones((4, 8, 3, 3), np.float32))
    assert fc.ops.conv2d(nothing, weight).shape == (0, 4, 3, 3)
    grad = device.put(np.zeros((0, 4, 3, 3), np.float32))
    assert fc.ops.conv2d_input_grad(grad, weight, (0, 8, 5, 5)).shape == (0, 8, 5, 5)
    assert (device.get(fc.ops.conv2d_weight_grad(grad, nothing, (4, 8, 3, 3))) == 0).all()


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda g, w, x: fc.ops.conv2d_input_grad(g[0], w, x.shape), "grad: expected shape (N, K, P, Q), got (4, 3, 3)"),
        (lambda g, w, x: fc.ops.conv2d_input_grad(g, w, (1, 8, 6, 5)), "grad: expected the convolution's result shape"),
        (lambda g, w, x: fc.ops.conv2d_input_grad(g, w, 5), "input_shape: expected (N, C, H, W), got 5"),
        (lambda g, w, x: fc.ops.conv2d_weight_grad(g, x, (4, 8, 3)), "weight_shape: expected (K, C/groups, R, S)"),
        (lambda g, w, x: fc.ops.conv2d_weight_grad(g, x.astype(np.float64), w.shape), "x: expected the input's dtype"),
    ],
)  # fmt: skip
def test_errors_of_the_gradients(call, says):
    g, w, x = np.ones((1, 4, 3, 3), np.float32), np.ones((4, 8, 3, 3), np.float32), np.ones((1, 8, 5, 5), np.float32)
    with pytest.raises((fc.ShapeError, fc.DTypeError)) as caught:
        call(g, w, x)
    assert says in str(caught.value)

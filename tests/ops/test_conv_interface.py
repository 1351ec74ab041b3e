"""Memory formats, padding forms, out=, views, DLPack, conv1d: how conv2d is called."""

from __future__ import annotations

import numpy as np
import pytest

import fastconv as fc
from fastconv.backends import placement
from fastconv.problem import ConvProblem
from tests.conv_check import integers, numpy_conv2d

PROBLEM = ConvProblem.parse("mb2ic5ih7iw9oc6oh7ow9kh3ph1")
X, W = integers(PROBLEM.x_shape, 0, "float32"), integers(PROBLEM.weight_shape, 1, "float32")
EXACT = numpy_conv2d(X, W, PROBLEM).astype(np.float32)


def is_channels_last(x):
    return x.transpose(0, 2, 3, 1).flags.c_contiguous and x.strides[1] == x.itemsize


@pytest.fixture(autouse=True, params=["cpu", "simt"])
def engine(request):
    """Runs every test here with the CPU's kernels and with the CUDA kernels in the executor."""
    if missing := placement.BACKENDS[request.param].available():
        pytest.skip(missing)
    parameters = request.node.callspec.params
    if request.param != "cpu" and (parameters.get("algo") == "reference" or "isa" in parameters):
        pytest.skip("the reference and the instruction sets are the CPU's")
    with fc.device(request.param):
        yield request.param


def test_the_result_has_the_memory_format_of_the_input():
    assert fc.ops.conv2d(X, W, padding=1).flags.c_contiguous
    y = fc.ops.conv2d(fc.ops.channels_last(X), W, padding=1)
    assert is_channels_last(y)
    np.testing.assert_array_equal(y, EXACT)


def test_one_channel_keeps_its_format_too():
    x = np.zeros((2, 1, 6, 6), np.float32)
    w = np.zeros((4, 1, 3, 3), np.float32)
    assert fc.ops.conv2d(x, w).flags.c_contiguous
    assert is_channels_last(fc.ops.conv2d(fc.ops.channels_last(x), w))


@pytest.mark.parametrize("algo", ["implicit_gemm", "im2col_gemm", "reference"])
def test_views_of_any_strides(algo):
    wide = integers((2, 5, 14, 9), 2, "float32")
    cases = [
        (wide[:, :, ::2], W),
        (wide[:, ::-1, :7], W),
        (np.broadcast_to(X[:1], X.shape), W),
        (X, W[:, :, ::-1]),
        (X, np.ascontiguousarray(W.transpose(2, 3, 1, 0)).transpose(3, 2, 0, 1)),
        (np.asfortranarray(X), W),
    ]
    for x, w in cases:
        np.testing.assert_array_equal(fc.ops.conv2d(x, w, padding=1, algo=algo), numpy_conv2d(x, w, PROBLEM))


@pytest.mark.parametrize("dtype", ["float32", "float16", "float64"])
def test_misaligned_memory(dtype):
    def misaligned(a):
        raw = np.zeros(a.nbytes + 1, np.uint8)[1:]
        view = raw.view(a.dtype).reshape(a.shape)
        view[...] = a
        assert not view.flags.aligned
        return view

    x, w = X.astype(dtype), W.astype(dtype)
    b, r = np.ones(6, dtype), np.ones(EXACT.shape, dtype)
    out = misaligned(np.zeros(EXACT.shape, dtype))
    for form in (misaligned(x), misaligned(x.transpose(0, 2, 3, 1).copy()).transpose(0, 3, 1, 2)):
        y = fc.ops.conv2d(form, misaligned(w), misaligned(b), padding=1, residual=misaligned(r), out=out)
        assert y is out
        np.testing.assert_array_equal(y, EXACT + 2)


@pytest.mark.parametrize("form", [1, (1, 1), ((1, 1), (1, 1)), "same", np.int64(1)])
def test_padding_forms(form):
    np.testing.assert_array_equal(fc.ops.conv2d(X, W, padding=form), EXACT)


def test_same_puts_the_extra_at_the_end_and_valid_is_none():
    x, w = integers((1, 2, 6, 6), 0, "float32"), integers((3, 2, 4, 2), 1, "float32")
    np.testing.assert_array_equal(fc.ops.conv2d(x, w, padding="same"), fc.ops.conv2d(x, w, padding=((1, 2), (0, 1))))
    np.testing.assert_array_equal(fc.ops.conv2d(x, w, padding="valid"), fc.ops.conv2d(x, w))


def test_asymmetric_padding_equals_padding_first():
    sides = ((2, 0), (1, 3))
    np.testing.assert_array_equal(fc.ops.conv2d(X, W, padding=sides), fc.ops.conv2d(fc.ops.pad(X, sides), W))


def test_out_of_either_format_and_as_the_residual():
    for out in (
        np.empty_like(EXACT),
        fc.ops.channels_last(np.empty_like(EXACT)),
        np.empty((2, 6, 7, 18), np.float32)[..., ::2],
    ):
        assert fc.ops.conv2d(X, W, padding=1, out=out) is out
        np.testing.assert_array_equal(out, EXACT)
    for make in (np.ascontiguousarray, fc.ops.channels_last):
        both = make(np.ones_like(EXACT))
        fc.ops.conv2d(X, W, padding=1, residual=both, out=both)
        np.testing.assert_array_equal(both, EXACT + 1)


@pytest.mark.parametrize("algo", ["implicit_gemm", "im2col_gemm", "reference"])
def test_out_may_overlap_what_is_read(algo):
    weight = integers((5, 5, 3, 3), 3, "float32")
    expected = fc.ops.conv2d(X, weight, padding=1)
    x = fc.ops.channels_last(X).copy(order="K")
    fc.ops.conv2d(x, weight, padding=1, out=x, algo=algo)
    np.testing.assert_array_equal(x, expected)
    memory = np.ones(EXACT.size + 8, np.float32)  # a residual shifted by one pixel against out
    nhwc = (2, 7, 9, 6)
    residual = memory[: EXACT.size].reshape(nhwc).transpose(0, 3, 1, 2)
    out = memory[6 : EXACT.size + 6].reshape(nhwc).transpose(0, 3, 1, 2)
    fc.ops.conv2d(fc.ops.channels_last(X), W, padding=1, residual=residual, out=out, algo=algo)
    np.testing.assert_array_equal(out, EXACT + 1)


def test_a_bias_inside_out_is_read_before_it_is_overwritten():
    out = fc.ops.channels_last(np.ones_like(EXACT))
    fc.ops.conv2d(fc.ops.channels_last(X), W, out[0, :, 0, 0], padding=1, out=out)
    np.testing.assert_array_equal(out, EXACT + 1)


def test_extreme_strides_and_paddings_do_not_overflow(engine):
    x, w = np.ones((1, 256, 1, 1), np.float32), np.ones((1, 256, 1, 1), np.float32)
    for algo in ("implicit_gemm", "im2col_gemm", *(["reference"] if engine == "cpu" else [])):
        with pytest.raises(ValueError, match=r"extents too large|takes less than|takes fewer than"):
            fc.ops.conv2d(x, w, stride=(1, 2**57), padding=((0, 0), (2**56, 2**56)), algo=algo)
        if engine != "cpu":
            continue  # counts steps in 32 bits, and has said so
        y = fc.ops.conv2d(x, w, stride=(1, 2**40), padding=((0, 0), (2**39, 2**39)), algo=algo)
        exact = [0.0] * y.shape[3] if 2**39 % 2**40 else [256.0]
        assert y.shape == (1, 1, 1, 2) and y.ravel().tolist() == exact


def test_one_tuples_are_pytorchs():
    np.testing.assert_array_equal(fc.ops.conv2d(X, W, stride=(1,), padding=(1,)), EXACT)
    x, w = integers((1, 2, 9), 0, "float32"), integers((3, 2, 3), 1, "float32")
    np.testing.assert_array_equal(fc.ops.conv1d(x, w, stride=(2,), dilation=(1,)), fc.ops.conv1d(x, w, stride=2))


def test_explaining_an_empty_call():
    for x, w in ((X[:0], W), (X, W[:0])):
        assert "chosen: " in str(fc.ops.explain("conv2d", x, w, padding=1))


def test_a_single_image():
    np.testing.assert_array_equal(fc.ops.conv2d(X[0], W, padding=1), EXACT[0])


@pytest.mark.parametrize("shape", [(0, 5, 7, 9), (2, 0, 7, 9)])
def test_empty_batches_and_no_channels(shape):
    y = fc.ops.conv2d(np.zeros(shape, np.float32), np.zeros((6, shape[1], 3, 3), np.float32), np.ones(6, np.float32))
    assert y.shape == (shape[0], 6, 5, 7) and (y == 1).all()


def test_no_filters():
    assert fc.ops.conv2d(X, W[:0]).shape == (2, 0, 5, 7)


def test_a_prepared_weight_gives_the_same_on_every_isa(isa):
    prepared = fc.ops.prepare_weight(W)
    np.testing.assert_array_equal(fc.ops.conv2d(X, prepared, padding=1), EXACT)
    np.testing.assert_array_equal(fc.ops.conv2d(X, prepared, padding=1, algo="reference"), EXACT)


def test_a_bias_in_float32_for_a_sixteen_bit_input():
    bias = np.full(6, 0.5, np.float32)
    y = fc.ops.conv2d(X.astype(np.float16), W.astype(np.float16), bias, padding=1)
    np.testing.assert_array_equal(y, (EXACT + 0.5).astype(np.float16))


def test_conv1d():
    x, w = integers((3, 4, 20), 0, "float32"), integers((6, 2, 5), 1, "float32")
    problem = ConvProblem(3, 4, 1, 20, 6, 1, 5, (1, 2), ((0, 0), (2, 1)), (1, 2), 2)
    exact = numpy_conv2d(x[:, :, None], w[:, :, None], problem)[:, :, 0]
    y = fc.ops.conv1d(x, w, stride=2, padding=(2, 1), dilation=2, groups=2)
    np.testing.assert_array_equal(y, exact)
    np.testing.assert_array_equal(fc.ops.conv1d(x[0], w, stride=2, padding=(2, 1), dilation=2, groups=2), exact[0])
    assert fc.ops.conv1d(x, w, padding="same", groups=2).shape == (3, 6, 20)


class Producer:
    """Some other library's array: it has DLPack and nothing else."""

    def __init__(self, array, device=1):
        self.array, self.device = array, device

    def __dlpack__(self, **keywords):
        return self.array.__dlpack__(**keywords)

    def __dlpack_device__(self):
        return (self.device, 0)


def test_any_dlpack_producer_is_accepted():
    np.testing.assert_array_equal(fc.ops.conv2d(Producer(X), Producer(W), padding=1), EXACT)
    with pytest.raises(fc.DeviceError, match="x: expected memory of the CPU or of a CUDA GPU"):
        fc.ops.conv2d(Producer(X, device=4), W)
    if "cuda" not in fc.devices():
        with pytest.raises(fc.DeviceError, match=r"CUDA|CuPy"):
            fc.ops.conv2d(Producer(X, device=2), W)

"""The first convolution of a network on the CUDA kernels, run and checked by the executor."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fastconv.backends import registry, simt
from fastconv.backends.gpu import stem
from fastconv.errors import AlgorithmError
from fastconv.problem import ConvProblem
from tests.conv_check import DTYPES, integers, numpy_conv2d

# The CUDA kernels: in the executor, and on a GPU.
pytestmark = pytest.mark.parametrize("device", ["simt", pytest.param("cuda", marks=pytest.mark.gpu)], indirect=True)


PROBLEMS = [
    ConvProblem(1, 3, 19, 23, 16, 7, 7, (2, 2), ((3, 3), (3, 3))),  # ResNet's
    ConvProblem(2, 3, 9, 11, 8, 3, 3, (2, 2), ((0, 1), (0, 1))),  # MobileNet's, padded on one side
    ConvProblem(1, 3, 23, 27, 66, 11, 11, (4, 4), ((2, 2), (2, 2))),  # AlexNet's; filters cross a tile
    ConvProblem(3, 1, 12, 10, 6, 5, 5, (1, 1), ((0, 0), (0, 0))),  # LeNet's
    ConvProblem(1, 1, 8, 37, 20, 3, 3, (1, 1), ((1, 1), (1, 1))),  # columns cross a tile
    ConvProblem(1, 4, 21, 6, 33, 2, 3, (1, 2), ((1, 0), (2, 3)), (3, 2)),
    ConvProblem(1, 2, 3, 3, 5, 3, 3, (1, 1), ((4, 4), (4, 4))),  # more padding than image
    ConvProblem(1, 1, 1, 1, 1, 1, 1),
    ConvProblem(0, 3, 9, 9, 8, 3, 3),
]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("problem", PROBLEMS, ids=str)
def test_exact_on_integers(ops, problem, dtype):
    d = replace(problem, dtype=dtype)
    x, w = integers(d.x_shape, 0, dtype), integers(d.weight_shape, 1, dtype, -2, 2)
    bias, residual = integers((d.k,), 2, dtype), integers(d.y_shape, 3, dtype)
    arguments = (d.stride, d.padding, d.dilation)
    exact = numpy_conv2d(x, w, d) if d.n else np.zeros(d.y_shape)
    y = ops.conv2d(x, w, None, *arguments, algo="stem")
    np.testing.assert_array_equal(y, exact.astype(y.dtype))
    y = ops.conv2d(x, w, bias, *arguments, activation="relu", residual=residual, algo="stem")
    total = exact + bias.astype(np.float64).reshape(1, -1, 1, 1) + residual.astype(np.float64)
    np.testing.assert_array_equal(y, np.maximum(total, 0).astype(y.dtype))


@pytest.mark.parametrize("order", simt.ORDERS)
def test_bits_depend_neither_on_the_order_of_threads_nor_on_the_batch(ops, order):
    generator = np.random.default_rng(0)
    x = generator.standard_normal((3, 3, 13, 11)).astype(np.float16)
    w = generator.standard_normal((24, 3, 7, 7)).astype(np.float16)
    y = ops.conv2d(x, w, None, 2, 3, activation="silu", algo="stem")
    with simt.options(order=order, seed=3):
        np.testing.assert_array_equal(ops.conv2d(x, w, None, 2, 3, activation="silu", algo="stem"), y)
        np.testing.assert_array_equal(ops.conv2d(x[2:], w, None, 2, 3, activation="silu", algo="stem")[0], y[2])


def test_padding_is_zero_and_a_window_over_the_edge_reads_no_other_row(ops):
    x = np.zeros((1, 3, 4, 9), np.float32)
    x[..., 0] = np.inf
    y = ops.conv2d(x, np.ones((4, 3, 3, 3), np.float32), padding=1, algo="stem")
    assert np.isinf(y[..., :2]).all() and (y[..., 2:] == 0).all()


def test_residual_and_result_may_be_one_array_without_alignment(ops):
    x, w = integers((1, 3, 9, 9), 0, "float32"), integers((8, 3, 3, 3), 1, "float32")
    memory = np.zeros(8 * 49 + 1, np.float32)
    out = memory[1:].reshape(1, 7, 7, 8).transpose(0, 3, 1, 2)
    out[...] = integers(out.shape, 2, "float32")
    expected = ops.conv2d(x, w, residual=out.copy(), algo="stem")
    np.testing.assert_array_equal(ops.conv2d(x, w, residual=out, out=out, algo="stem"), expected)


def test_what_is_refused_and_what_is_chosen(ops):
    x = np.ones((1, 8, 4, 4), np.float32)
    with pytest.raises(AlgorithmError, match="8 channels: takes up to 4"):
        ops.conv2d(x, np.ones((4, 8, 1, 1), np.float32), algo="stem")
    with pytest.raises(AlgorithmError, match="2 groups: takes one"):
        ops.conv2d(x[:, :4], np.ones((4, 2, 1, 1), np.float32), groups=2, algo="stem")
    with pytest.raises(AlgorithmError, match="shared memory"):
        ops.conv2d(np.ones((1, 1, 4, 4), np.float32), np.ones((1, 1, 1, 1), np.float32), stride=500, algo="stem")
    assert stem.lanes_for(ConvProblem(1, 1, 28, 28, 6, 5, 5)) == 2
    for classic in (
        ConvProblem(8, 3, 224, 224, 64, 7, 7, (2, 2), ((3, 3), (3, 3))),
        ConvProblem(8, 3, 227, 227, 96, 11, 11, (4, 4)),
        ConvProblem(8, 3, 224, 224, 32, 3, 3, (2, 2), ((1, 1), (1, 1)), dtype="float16"),
    ):
        assert registry.choose("conv2d", "simt", classic).kernel.algo == "stem"
        lanes = stem.lanes_for(classic)
        assert lanes and stem.shared_bytes(classic, lanes) < 28 << 10

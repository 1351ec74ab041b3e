"""Gradients of convolution at the edges of what is legal: forms of weights, extreme strides, nothing to compute."""

from __future__ import annotations

import numpy as np
import pytest

import fastconv as fc


@pytest.mark.parametrize("algo", ["depthwise", "implicit_gemm", "reference"])
def test_a_prepared_weight_serves_inputs_smaller_than_the_stride(algo):
    """An input's gradient has min(stride, extent) phases: a form made for one extent is not another's."""
    weight = np.arange(36, dtype=np.float32).reshape(4, 1, 3, 3)
    prepared = fc.ops.prepare_weight(weight)
    for extent, out in ((2, 1), (9, 3)):
        grad, arguments = np.ones((1, 4, out, out), np.float32), ((1, 4, extent, extent), 3, 1, 1, 4)
        expected = fc.ops.conv2d_input_grad(grad, weight, *arguments, algo="reference")
        np.testing.assert_array_equal(fc.ops.conv2d_input_grad(grad, prepared, *arguments, algo=algo), expected)


def test_strides_beyond_any_image_and_empty_extents_are_harmless():
    dx = fc.ops.conv2d_input_grad(
        np.ones((1, 2, 1, 1), np.float32), np.ones((2, 2, 1, 1), np.float32), (1, 2, 5, 5), 2**31
    )
    assert dx[0, 0, 0, 0] == 2 and dx.sum() == 4
    for grad, x, shape in (((1, 0, 3, 3), (1, 4, 5, 5), (0, 4, 3, 3)), ((1, 4, 3, 3), (1, 0, 5, 5), (4, 0, 3, 3))):
        operands = (np.zeros(grad, np.float32), np.zeros(x, np.float32))
        assert "conv2d_weight_grad" in str(fc.ops.explain("conv2d_weight_grad", *operands, shape))

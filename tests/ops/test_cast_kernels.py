"""Casts between storage types on every device: one rounding, against NumPy."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

import fastconv as fc
from fastconv.nn.module import numpy_dtype
from tests.conftest import on_every_isa
from tests.conv_check import DTYPES, integers

pytestmark = on_every_isa


@pytest.mark.parametrize("to", DTYPES)
@pytest.mark.parametrize("source", DTYPES)
def test_casts_round_once(source, to, device):
    generator = np.random.default_rng(0)
    ties = 1 + np.arange(9) * 2.0**-9 + np.array([-(2.0**-40), 0, 2.0**-40])[:, None]  # near ties of both 16-bit types
    small = ties * 2.0**-16
    values = np.concatenate([generator.standard_normal(1001), ties.ravel(), small.ravel(), [0.0, -0.0, 65519.9, 1e30]])
    with np.errstate(over="ignore"):
        x = np.concatenate([values, [np.inf, -np.inf, np.nan]]).astype(numpy_dtype(source))
    y = device.get(fc.ops.cast(device.put(x), to))
    assert y.dtype == numpy_dtype(to)
    with np.errstate(over="ignore"):
        expected = x.astype(y.dtype) if to != "bfloat16" else to_bfloat16(x)
    y, expected = y.astype(np.float64), expected.astype(np.float64)
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_array_equal(np.signbit(y), np.signbit(expected))


def to_bfloat16(x):
    """ml_dtypes rounds doubles twice: rounded here by hand, to odd and then to nearest."""
    z = x.astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        nearest = z.astype(np.float32)
        inexact = np.isfinite(z) & (nearest.astype(np.float64) != z)
        towards_zero = np.where(
            inexact & (abs(nearest.astype(np.float64)) > abs(z)), np.nextafter(nearest, np.float32(0)), nearest
        )
    odd = (towards_zero.view(np.uint32) | inexact).view(np.float32)
    return odd.astype(ml_dtypes.bfloat16)


def test_casts_keep_the_format_and_know_their_names(device):
    x = fc.ops.channels_last(integers((2, 3, 5, 7), 0, "float32"))
    y = fc.ops.cast(device.put(x), np.float16)
    assert y.strides == tuple(stride // 2 for stride in x.strides)
    np.testing.assert_array_equal(device.get(y), x)
    moved = device.put(x)
    assert fc.ops.cast(moved, "float32") is moved
    assert fc.ops.cast(device.put(x[:0]), "bfloat16").shape == (0, 3, 5, 7)
    for wrong in ("int8", "float33", np.int32, object, ">f4"):
        with pytest.raises(fc.DTypeError, match="dtype: expected one of"):
            fc.ops.cast(moved, wrong)

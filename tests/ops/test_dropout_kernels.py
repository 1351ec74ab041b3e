"""Dropout on every device: the published words of its generator, and the same mask everywhere."""

from __future__ import annotations

import numpy as np
import pytest

import fastconv as fc
from fastconv.backends import placement, simt
from fastconv.backends.gpu.source import KernelSource
from tests.conftest import on_every_isa
from tests.conv_check import DTYPES, integers

ORDERS = ["forward", "reverse", "random", "skew"]


def philox(counter, key):
    """Philox4x32-10 in Python's integers; 4 and 2 words."""
    mask = 0xFFFFFFFF
    for _ in range(10):
        a, b = 0xD2511F53 * counter[0], 0xCD9E8D57 * counter[2]
        counter = [(b >> 32) ^ counter[1] ^ key[0], b & mask, (a >> 32) ^ counter[3] ^ key[1], a & mask]
        key = [(key[0] + 0x9E3779B9) & mask, (key[1] + 0xBB67AE85) & mask]
    return counter


# Random123, tests/kat_vectors: counter, key, result.
KNOWN = [
    ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
]


@pytest.mark.parametrize(("counter", "key", "result"), KNOWN)
def test_philox_gives_the_published_words(counter, key, result, tmp_path):
    counter, key, result = ([int(word, 16) for word in text.split()] for text in (counter, key, result))
    assert philox(counter, key) == result
    if missing := placement.BACKENDS["simt"].available():
        pytest.skip(missing)
    file = tmp_path / "words.cuh"
    file.write_text(
        '#include "cuda/elementwise/philox.cuh"\n'
        "__global__ void words(uint32_t* out, uint64_t seed, uint64_t stream, uint64_t block) {\n"
        "  const fastconv::RandomWords made = fastconv::philox(seed, stream, block);\n"
        "  for (int i = 0; i < 4; ++i) out[i] = made.at[i];\n}\n"
    )
    out = np.zeros(4, np.uint32)
    block, stream, seed = (np.uint64(low | high << 32) for low, high in (counter[:2], counter[2:], key))
    simt.launch(KernelSource(str(file), "words"), (1, 1, 1), (1, 1, 1), (out, seed, stream, block))
    assert out.tolist() == result


def kept(count, p, seed, offset):
    key = [seed & 0xFFFFFFFF, seed >> 32]
    words = [philox([block, 0, offset & 0xFFFFFFFF, offset >> 32], key) for block in range(-(-count // 4))]
    return np.concatenate(words)[:count] >= round(p * 2**32)


@on_every_isa
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("order", ORDERS)
def test_dropout_is_a_function_of_seed_offset_and_position(dtype, order, device):
    seed, offset = 0x123456789ABCDEF0, 3 << 32 | 5
    for shape in ((1003,), (3, 5, 4, 7), (2, 8, 3, 3), (1,)):
        x = integers(shape, 0, dtype, 1, 3)
        mask = kept(x.size, 0.75, seed, offset)
        if x.ndim == 4:  # counted in channels-last order
            n, c, h, w = shape
            mask = mask.reshape(n, h, w, c).transpose(0, 3, 1, 2)
        expected = np.where(mask, x.astype(np.float64) * 4, 0)
        with simt.options(order=order, seed=1):
            for form in (x, fc.ops.channels_last(x)) if x.ndim == 4 else (x,):
                y = device.get(fc.ops.dropout(device.put(form), 0.75, seed, offset))
                np.testing.assert_array_equal(y.astype(np.float64), expected)
                assert y.strides == form.strides


@on_every_isa
def test_dropout_of_nothing_of_all_and_of_what_is_not_aligned(device):
    x = np.float32([1, np.nan, np.inf, -2, 5])
    np.testing.assert_array_equal(device.get(fc.ops.dropout(device.put(x), 0.0, 1)), x)
    np.testing.assert_array_equal(device.get(fc.ops.dropout(device.put(x), 1.0, 1)), np.zeros(5))
    assert fc.ops.dropout(device.put(x[:0]), 0.5, 1).shape == (0,)
    for dtype in DTYPES:
        whole = device.put(integers((100,), 0, dtype, 1, 3))
        np.testing.assert_array_equal(
            device.get(fc.ops.dropout(whole[1:], 0.5, 9)),
            device.get(fc.ops.dropout(device.put(device.get(whole[1:]).copy()), 0.5, 9)),
        )
    y = device.get(fc.ops.dropout(device.put(np.ones(20000, np.float32)), 0.3, 7))
    assert abs((y != 0).mean() - 0.7) < 4 * (0.21 / 20000) ** 0.5  # four standard deviations
    for arguments in ((1.5, 0), (-0.1, 0), (0.5, -1), (0.5, 1 << 64), (0.5, 0.5), (0.5, 0, -1)):
        with pytest.raises(fc.ShapeError, match="expected"):
            fc.ops.dropout(device.put(x), *arguments)

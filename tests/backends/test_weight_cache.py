"""Weights that come as read-only arrays are packed once; others each time, since nobody knows what became of them."""

from __future__ import annotations

import numpy as np
import pytest

import fastconv as fc
from fastconv import _core
from fastconv.backends import weight_cache

X = np.ones((1, 4, 6, 6), np.float32)


@pytest.fixture
def packings(monkeypatch):
    """Counts the packings; the cache is empty before and after."""
    fc.set_weight_cache_limit(0)
    fc.set_weight_cache_limit(1 << 20)
    made = []
    pack = _core.pack_weight
    monkeypatch.setattr(_core, "pack_weight", lambda *arguments: made.append(1) or pack(*arguments))
    yield made
    fc.set_weight_cache_limit(0)


def frozen(value: float, k: int = 8) -> np.ndarray:
    weight = np.full((k, 4, 3, 3), value, np.float32)
    weight.flags.writeable = False
    return weight


def test_a_read_only_weight_is_packed_once(packings):
    weight = frozen(1)
    assert all((fc.ops.conv2d(X, weight) == 36).all() for _ in range(3))
    assert len(packings) == 1
    assert "packed by this call" not in str(fc.ops.explain("conv2d", X, weight))


def test_a_writable_weight_is_packed_at_every_call(packings):
    weight = np.ones((8, 4, 3, 3), np.float32)
    assert (fc.ops.conv2d(X, weight) == 36).all()
    weight[...] = 2
    assert (fc.ops.conv2d(X, weight) == 72).all()
    assert len(packings) == 2


def test_a_read_only_view_of_writable_memory_is_not_trusted(packings):
    owner = np.ones((8, 4, 3, 3), np.float32)
    view = owner[:]
    view.flags.writeable = False
    assert (fc.ops.conv2d(X, view) == 36).all()
    owner[...] = 2
    assert (fc.ops.conv2d(X, view) == 72).all()


def test_a_weight_that_was_made_writable_again_is_packed_anew(packings):
    weight = frozen(1)
    assert (fc.ops.conv2d(X, weight) == 36).all()
    weight.flags.writeable = True
    weight[...] = 2
    assert (fc.ops.conv2d(X, weight) == 72).all()


def test_the_least_recently_used_leave(packings):
    size = 64 << 10
    fc.set_weight_cache_limit(3 * size)
    weights = [frozen(value, k=128) for value in range(6)]
    for weight in weights:
        fc.ops.conv2d(X, weight, algo="implicit_gemm")
    assert sum(weight.nbytes for weight in weight_cache._kept.values()) <= 3 * size + 2 * weights[0].nbytes
    fc.ops.conv2d(X, weights[-1], algo="implicit_gemm")
    assert len(packings) == 6, "the last one is still there"
    fc.ops.conv2d(X, weights[0], algo="implicit_gemm")
    assert len(packings) == 7, "the first one had left"


def test_a_view_that_is_made_at_each_call_is_found(packings):
    weight = np.ones((8, 4, 3), np.float32)
    weight.flags.writeable = False
    x = np.ones((1, 4, 6), np.float32)
    assert all((fc.ops.conv1d(x, weight) == 12).all() for _ in range(3))
    assert len(packings) == 1
    fc.ops.conv2d(x[:, :, None, :], weight[:, :, None, :])
    assert len(packings) == 1, "the same view of the same memory"


def test_views_of_one_memory_are_told_apart(packings):
    owner = np.arange(8 * 4 * 3 * 3, dtype=np.float32)
    owner.flags.writeable = False
    plain, swapped = owner.reshape(8, 4, 3, 3), owner.reshape(8, 4, 3, 3).transpose(0, 1, 3, 2)
    for _ in range(2):
        for view in (plain, swapped):
            np.testing.assert_array_equal(fc.ops.conv2d(X, view), fc.ops.conv2d(X, view.copy()))


def test_memory_that_is_freed_and_given_out_again_is_another_weight(packings):
    fc.set_weight_cache_limit(1)  # a new weight makes the one before leave, and its memory is free
    for value in range(1, 30):
        weight = frozen(value)
        assert (fc.ops.conv2d(X, weight) == 36 * value).all()
        assert (fc.ops.conv2d(X, weight) == 36 * value).all()
        del weight
    fc.set_weight_cache_limit(1 << 20)
    for value in range(1, 30):
        assert (fc.ops.conv2d(X, frozen(value)) == 36 * value).all()

"""Philox's published words, and numbers that depend on what they are for alone."""

from __future__ import annotations

import numpy as np
import pytest

import fastconv as fc
from fastconv.data.random import Draws, permutation, philox


@pytest.mark.parametrize(
    ("key", "counter", "words"),
    [  # kat_vectors of Random123, philox4x32 of 10 rounds
        (0, (0, 0, 0, 0), "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        (2**64 - 1, (2**32 - 1,) * 4, "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        (
            0x299F31D0_A4093822,
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            "d16cfe09 94fdcceb 5001e420 24126ea1",
        ),
    ],
)
def test_philox_gives_the_published_words(key, counter, words):
    assert " ".join(f"{word:08x}" for word in philox(key, counter)) == words


def test_philox_is_the_generator_of_dropout():
    seed, stream, count, p = 0x123456789ABCDEF, 0xFEDCBA987, 4000, 0.3
    blocks = np.arange(count // 4)
    words = philox(seed, (blocks, 0, stream & 0xFFFFFFFF, stream >> 32)).T.reshape(-1)
    kept = fc.ops.dropout(np.ones(count, np.float32), p, seed, stream) > 0
    np.testing.assert_array_equal(kept, words >= np.float64(p) * 2**32)


def test_an_image_draws_the_same_in_any_batch():
    whole = Draws(5, 2, np.arange(100), 3)
    first, second = whole.uniform(3), whole.integers(6, -4, 4)
    for indices in ([17], [99, 17, 3]):
        part = Draws(5, 2, indices, 3)
        np.testing.assert_array_equal(part.uniform(3), first[indices])
        np.testing.assert_array_equal(part.integers(6, -4, 4), second[indices])


@pytest.mark.parametrize("other", [(6, 2, 3), (5, 1, 3), (5, 2, 4)], ids=["seed", "epoch", "position"])
def test_whatever_they_are_for_changes_them(other):
    seed, epoch, position = other
    mine, theirs = Draws(5, 2, np.arange(50), 3).words(8), Draws(seed, epoch, np.arange(50), position).words(8)
    assert not (mine == theirs).any()


def test_numbers_fill_their_range_evenly():
    draws = Draws(0, 0, np.arange(10_000))
    values = draws.uniform(4, -1, 3)
    assert values.min() > -1 and values.max() < 3
    # The mean of 40,000 has a deviation of 4 / sqrt(12 * 40,000) = 0.0058; the numbers are fixed by the seed.
    assert abs(values.mean() - 1) < 0.02
    counts = np.bincount(draws.integers(1, 0, 9)[:, 0], minlength=10)
    assert len(counts) == 10 and abs(counts - 1000).max() < 120  # four deviations of sqrt(900)


def test_permutation_is_one_and_differs_by_epoch():
    first, second = permutation(1000, 7, 0), permutation(1000, 7, 1)
    assert sorted(first.tolist()) == sorted(second.tolist()) == list(range(1000))
    assert (first != second).mean() > 0.9 and (first != np.arange(1000)).mean() > 0.9
    assert permutation(0, 7).tolist() == []


@pytest.mark.parametrize(
    "arguments", [(-1, 0, [0]), (2**64, 0, [0]), (0, 2**32, [0]), (0, 0, [-1]), (0, 0, [[0]]), (0.5, 0, [0])]
)
def test_numbers_out_of_range_are_refused(arguments):
    with pytest.raises(fc.ShapeError, match="expected"):
        Draws(*arguments)

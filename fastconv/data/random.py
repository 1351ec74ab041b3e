"""Random numbers that depend on what they are for, not on what was drawn before.

Philox4x32-10 (Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011), the generator of
`fastconv.ops.dropout`, computed for a whole batch at once. The key is the seed; the counter is (image, epoch, position
of the transform, block of four numbers). So an image gets the same numbers in any batch, from any worker, in any order.
"""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ShapeError

Array = NDArray[Any]

_LOW = np.uint64(0xFFFFFFFF)
_SHIFT = np.uint64(32)

# Where the order of a shuffled epoch is drawn: no list of transforms is that long.
SHUFFLE = 0xFFFFFFFF


def philox(key: int, counter: tuple[Any, Any, Any, Any]) -> Array:
    """(4, ...) uint32: the words at counters of four 32-bit numbers each, arrays that broadcast; key has 64 bits.

    >>> [hex(word) for word in philox(0, (0, 0, 0, 0))]
    ['0x6627e8d5', '0xe169c58d', '0xbc57ac4c', '0x9b00dbd8']
    """
    c0, c1, c2, c3 = np.broadcast_arrays(*(np.asarray(word, np.uint64) for word in counter))
    k0, k1 = key & 0xFFFFFFFF, key >> 32
    for _ in range(10):
        product0, product1 = c0 * np.uint64(0xD2511F53), c2 * np.uint64(0xCD9E8D57)
        c0, c2 = (product1 >> _SHIFT) ^ c1 ^ np.uint64(k0), (product0 >> _SHIFT) ^ c3 ^ np.uint64(k1)
        c1, c3 = product1 & _LOW, product0 & _LOW
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return np.stack([c0, c1, c2, c3]).astype(np.uint32)


def whole_number(value: Any, name: str, bits: int) -> int:
    """value as an int of that many bits, not negative; else a ShapeError."""
    try:
        number = operator.index(value)
    except TypeError:
        number = -1
    if not 0 <= number < 1 << bits:
        raise ShapeError(f"{name}: expected an integer of {bits} bits, not negative, got {value!r}")
    return number


class Draws:
    """The numbers of one transform for one batch: each call gives the next ones of every image.

    seed: 64 bits; epoch, position: 32 bits; indices: (N,) of the images in their data set, below 2^32.

    >>> Draws(0, 0, [7, 8]).uniform(1)[1] == Draws(0, 0, [8]).uniform(1)[0]
    array([ True])
    """

    def __init__(self, seed: int, epoch: int, indices: Any, position: int = 0) -> None:
        self.seed = whole_number(seed, "seed", 64)
        self.epoch = whole_number(epoch, "epoch", 32)
        self.position = whole_number(position, "position", 32)
        self.indices = np.asarray(indices, np.int64)
        if self.indices.ndim != 1 or (
            self.indices.size and not 0 <= self.indices.min() <= self.indices.max() < 1 << 32
        ):
            raise ShapeError(f"indices: expected a list of integers of 32 bits, not negative, got {indices!r}")
        self._block = 0

    def __len__(self) -> int:
        return len(self.indices)

    def at(self, position: int) -> Draws:
        """The numbers of another transform for the same images."""
        return Draws(self.seed, self.epoch, self.indices, position)

    def words(self, count: int) -> Array:
        """(N, count) uint32."""
        blocks = self._block + np.arange(-(-count // 4), dtype=np.uint64)
        self._block += len(blocks)
        words = philox(self.seed, (self.indices.astype(np.uint64)[:, None], self.epoch, self.position, blocks))
        chosen: Array = words.transpose(1, 2, 0).reshape(len(self), 4 * len(blocks))[:, :count]
        return chosen

    def uniform(self, count: int, low: float = 0.0, high: float = 1.0) -> Array:
        """(N, count) float64, uniform between low and high: the middles of 2^32 equal parts."""
        unit = (self.words(count) + 0.5) * 2.0**-32
        values: Array = low + unit * (high - low)
        return values

    def integers(self, count: int, low: int, high: int) -> Array:
        """(N, count) int64 from low to high, both included; no value is favoured by more than 2^-32."""
        span = np.uint64(high - low + 1)
        values: Array = low + ((self.words(count) * span) >> _SHIFT).astype(np.int64)
        return values


def permutation(count: int, seed: int, epoch: int = 0) -> Array:
    """(count,) int64: the numbers below count in an order that (seed, epoch) decides.

    They are sorted by 64 random bits each, so the order does not depend on the version of NumPy.

    >>> permutation(5, seed=1)
    array([3, 4, 1, 2, 0])
    """
    words = Draws(seed, epoch, np.arange(count), SHUFFLE).words(2).astype(np.uint64)
    return np.argsort((words[:, 0] << _SHIFT) | words[:, 1], kind="stable").astype(np.int64)

"""Initial values, from one seeded generator: the same seed gives the same network."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

_generator = np.random.default_rng(0)
_skipping = False


def manual_seed(seed: int) -> None:
    """Restarts the generator that new layers and Dropout draw from."""
    global _generator
    _generator = np.random.default_rng(seed)


def generator() -> np.random.Generator:
    """The generator in use."""
    return _generator


@contextmanager
def skip() -> Iterator[None]:
    """Within it nothing is drawn: new layers get zeros, which take neither time nor memory until they are written.

    For networks whose weights are loaded next, or of which only the shapes matter.

    >>> import fastconv as fc
    >>> with fc.nn.init.skip():
    ...     layer = fc.nn.Linear(25088, 4096)
    >>> layer.weight.data.any()
    False
    """
    global _skipping
    before, _skipping = _skipping, True
    try:
        yield
    finally:
        _skipping = before


def skipping() -> bool:
    """Whether `skip` is in force."""
    return _skipping


def uniform(shape: tuple[int, ...], fan_in: int) -> NDArray[Any]:
    """U(-1/sqrt(fan_in), 1/sqrt(fan_in)) in float32: PyTorch's default for Conv2d and Linear."""
    if _skipping:
        zeros: NDArray[Any] = np.zeros(shape, np.float32)
        zeros.flags.writeable = False
        return zeros
    bound = 1.0 / math.sqrt(fan_in) if fan_in > 0 else 0.0
    values = _generator.random(shape, dtype=np.float32)
    values *= np.float32(2 * bound)
    values -= np.float32(bound)
    values.flags.writeable = False
    return values

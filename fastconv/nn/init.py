"""Initial values, from one seeded generator: the same seed gives the same network."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

_generator = np.random.default_rng(0)


def manual_seed(seed: int) -> None:
    """Restarts the generator that new layers and Dropout draw from."""
    global _generator
    _generator = np.random.default_rng(seed)


def generator() -> np.random.Generator:
    """The generator in use."""
    return _generator


def uniform(shape: tuple[int, ...], fan_in: int) -> NDArray[Any]:
    """U(-1/sqrt(fan_in), 1/sqrt(fan_in)) in float32: PyTorch's default for Conv2d and Linear."""
    bound = 1.0 / math.sqrt(fan_in) if fan_in > 0 else 0.0
    values = _generator.random(shape, dtype=np.float32)
    values *= np.float32(2 * bound)
    values -= np.float32(bound)
    return values

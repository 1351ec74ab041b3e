"""Random numbers, all from one seeded state: initial values by a generator, dropout's masks by a key and a counter.

The same seed gives the same network and the same training. `get_state` and `set_state` take it through a file.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import StateDictError

_generator = np.random.default_rng(0)
_dropout_seed = 0
_dropout_calls = 0


def manual_seed(seed: int) -> None:
    """Restarts what new layers and dropout draw from.

    >>> import numpy as np, fastconv as fc
    >>> def draw():
    ...     fc.manual_seed(7)
    ...     return fc.nn.functional.dropout(np.ones(8, np.float32))
    >>> bool((draw() == draw()).all())
    True
    """
    global _generator, _dropout_seed, _dropout_calls
    _generator = np.random.default_rng(seed)
    _dropout_seed = int(np.random.SeedSequence(seed).generate_state(1, np.uint64)[0])
    _dropout_calls = 0


def generator() -> np.random.Generator:
    """The generator in use."""
    return _generator


def dropout_numbers() -> tuple[int, int]:
    """(seed, offset) for one call of `fastconv.ops.dropout`: offset counts the calls since `manual_seed`."""
    global _dropout_calls
    offset = _dropout_calls
    _dropout_calls += 1
    return _dropout_seed, offset


def get_state() -> dict[str, Any]:
    """All of the state, as plain numbers and names: what JSON can hold."""
    return {
        "generator": _generator.bit_generator.state,
        "dropout_seed": _dropout_seed,
        "dropout_calls": _dropout_calls,
    }


def set_state(state: Mapping[str, Any]) -> None:
    """Goes on from where `get_state` was called. Raises StateDictError for anything else."""
    global _dropout_seed, _dropout_calls
    try:
        seed, calls = int(state["dropout_seed"]), int(state["dropout_calls"])
        _generator.bit_generator.state = state["generator"]
    except (KeyError, TypeError, ValueError) as error:
        raise StateDictError(f"state: expected what get_state returned: {error!r}") from None
    _dropout_seed, _dropout_calls = seed, calls


def uniform(shape: tuple[int, ...], fan_in: int) -> NDArray[Any]:
    """U(-1/sqrt(fan_in), 1/sqrt(fan_in)) in float32: PyTorch's default for Conv2d and Linear."""
    bound = 1.0 / math.sqrt(fan_in) if fan_in > 0 else 0.0
    values = _generator.random(shape, dtype=np.float32)
    values *= np.float32(2 * bound)
    values -= np.float32(bound)
    return values


manual_seed(0)

"""Random numbers, all from one seeded state: initial values by a generator, dropout's masks by a key and a counter.

The same seed gives the same network and the same training. `get_state` and `set_state` take it through a file.
`uniform` makes an array; the functions whose names end in an underscore fill a parameter (torch.nn.init's names,
arguments and formulas) and return it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..backends.array_memory import is_cupy
from ..backends.placement import move
from ..errors import ModelError, ShapeError, StateDictError

if TYPE_CHECKING:
    from .module import Parameter

Array = NDArray[Any]

_generator = np.random.default_rng(0)
_dropout_seed = 0
_dropout_calls = 0
_skipping = False


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


@contextmanager
def skip() -> Iterator[None]:
    """Within it nothing is drawn: new layers get zeros, which take neither time nor memory until they are read.

    For networks whose weights are loaded next, or of which only the shapes matter.

    >>> import fastconv as fc
    >>> with fc.nn.init.skip():
    ...     layer = fc.nn.Linear(25088, 4096)
    >>> bool(layer.weight.data.any())
    False
    """
    global _skipping
    before, _skipping = _skipping, True
    try:
        yield
    finally:
        _skipping = before


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


def uniform(shape: tuple[int, ...], fan_in: int) -> Array:
    """U(-1/sqrt(fan_in), 1/sqrt(fan_in)) in float32: PyTorch's default for Conv2d and Linear."""
    bound = 1.0 / math.sqrt(fan_in) if fan_in > 0 else 0.0
    return _between(shape, -bound, bound)


def fans(shape: tuple[int, ...]) -> tuple[int, int]:
    """(fan_in, fan_out) of a weight (out, in, ...): inputs of one output, and outputs of one input.

    >>> fans((16, 3, 5, 5))
    (75, 400)
    """
    if len(shape) < 2:
        raise ShapeError(f"parameter: expected at least two axes (out, in, ...), got shape {shape}")
    taps = math.prod(shape[2:])
    return shape[1] * taps, shape[0] * taps


_GAINS = {
    **dict.fromkeys(("linear", "conv1d", "conv2d", "conv_transpose2d", "sigmoid"), 1.0),
    "tanh": 5 / 3,
    "relu": math.sqrt(2),
    "selu": 3 / 4,
}


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """By how much weights must be larger for what follows to keep the variance; param is leaky_relu's slope.

    >>> calculate_gain("relu").__round__(4)
    1.4142
    """
    if nonlinearity == "leaky_relu":
        slope = 0.01 if param is None else float(param)
        return math.sqrt(2 / (1 + slope * slope))
    if nonlinearity not in _GAINS:
        raise ModelError(f"nonlinearity: expected one of {', '.join([*_GAINS, 'leaky_relu'])}, got {nonlinearity!r}")
    return _GAINS[nonlinearity]


def uniform_(parameter: Parameter, a: float = 0.0, b: float = 1.0) -> Parameter:
    """U(a, b)."""
    return _fill(parameter, _between(parameter.shape, a, b))


def normal_(parameter: Parameter, mean: float = 0.0, std: float = 1.0) -> Parameter:
    """N(mean, std^2)."""
    return _fill(parameter, _normal(parameter.shape, mean, std))


def constant_(parameter: Parameter, val: float) -> Parameter:
    """val everywhere."""
    return _fill(parameter, np.full(parameter.shape, val))


def zeros_(parameter: Parameter) -> Parameter:
    """Zeros."""
    return constant_(parameter, 0.0)


def ones_(parameter: Parameter) -> Parameter:
    """Ones."""
    return constant_(parameter, 1.0)


def trunc_normal_(
    parameter: Parameter, mean: float = 0.0, std: float = 1.0, a: float = -2.0, b: float = 2.0
) -> Parameter:
    """N(mean, std^2) within [a, b]: what falls outside is drawn again.

    Raises ModelError where less than a hundredth of the normal distribution lies within, which would take for ever.
    """
    within = math.erf((b - mean) / (std * math.sqrt(2))) - math.erf((a - mean) / (std * math.sqrt(2))) if std > 0 else 0
    if within / 2 < 0.01:
        raise ModelError(f"a, b: expected an interval that N({mean}, {std}^2) falls into, got [{a}, {b}]")
    values = _normal(parameter.shape, mean, std)
    flat = values.reshape(-1)
    while (outside := np.flatnonzero((flat < a) | (flat > b))).size:
        flat[outside] = _normal((outside.size,), mean, std)
    return _fill(parameter, values)


def xavier_uniform_(parameter: Parameter, gain: float = 1.0) -> Parameter:
    """U(-bound, bound), bound = gain sqrt(6 / (fan_in + fan_out)) (Glorot and Bengio, 2010)."""
    bound = gain * math.sqrt(6 / sum(fans(parameter.shape)))
    return uniform_(parameter, -bound, bound)


def xavier_normal_(parameter: Parameter, gain: float = 1.0) -> Parameter:
    """N(0, gain^2 2 / (fan_in + fan_out)) (Glorot and Bengio, 2010)."""
    return normal_(parameter, 0.0, gain * math.sqrt(2 / sum(fans(parameter.shape))))


def kaiming_uniform_(
    parameter: Parameter, a: float = 0.0, mode: str = "fan_in", nonlinearity: str = "leaky_relu"
) -> Parameter:
    """U(-bound, bound), bound = gain sqrt(3 / fan) (He et al., Delving Deep into Rectifiers, 2015); a is leaky_relu's
    slope, mode "fan_in" keeps the variance forward, "fan_out" backward."""
    bound = math.sqrt(3) * _kaiming_std(parameter, a, mode, nonlinearity)
    return uniform_(parameter, -bound, bound)


def kaiming_normal_(
    parameter: Parameter, a: float = 0.0, mode: str = "fan_in", nonlinearity: str = "leaky_relu"
) -> Parameter:
    """N(0, gain^2 / fan) (He et al., Delving Deep into Rectifiers, 2015); arguments as of `kaiming_uniform_`.

    >>> import numpy as np, fastconv as fc
    >>> p = fc.nn.Parameter(np.zeros((64, 32, 3, 3), np.float32))
    >>> float(kaiming_normal_(p, nonlinearity="relu").data.std()).__round__(2), (2 / 288) ** 0.5
    (0.08, 0.08333333333333333)
    """
    return normal_(parameter, 0.0, _kaiming_std(parameter, a, mode, nonlinearity))


def lecun_normal_(parameter: Parameter) -> Parameter:
    """N(0, 1 / fan_in) (LeCun et al., Efficient BackProp, 1998)."""
    return normal_(parameter, 0.0, 1 / math.sqrt(fans(parameter.shape)[0]))


def _kaiming_std(parameter: Parameter, a: float, mode: str, nonlinearity: str) -> float:
    if mode not in ("fan_in", "fan_out"):
        raise ModelError(f"mode: expected fan_in or fan_out, got {mode!r}")
    fan = fans(parameter.shape)[mode == "fan_out"]
    return calculate_gain(nonlinearity, a) / math.sqrt(fan)


def _between(shape: tuple[int, ...], a: float, b: float) -> Array:
    """U(a, b) in float32."""
    if _skipping:
        return np.zeros(shape, np.float32)
    values = _generator.random(shape, dtype=np.float32)
    values *= np.float32(b - a)
    values += np.float32(a)
    return values


def _normal(shape: tuple[int, ...], mean: float, std: float) -> Array:
    """N(mean, std^2) in float32."""
    if _skipping:
        return np.zeros(shape, np.float32)
    values = _generator.standard_normal(shape, dtype=np.float32)
    values *= np.float32(std)
    values += np.float32(mean)
    return values


def _fill(parameter: Parameter, values: Array) -> Parameter:
    """Values in the parameter's dtype and memory."""
    if not _skipping:
        values = move(values.astype(parameter.dtype, copy=False), "cuda" if is_cupy(parameter.data) else "cpu")
        with parameter.writing() as array:
            array[...] = values
    return parameter


manual_seed(0)

"""What is in force for the code of one thread (or task): recording, mixed precision, recomputing."""

from __future__ import annotations

from contextlib import ContextDecorator
from contextvars import ContextVar
from typing import Any, NamedTuple, TypeVar

from .errors import DTypeError

Scoped = TypeVar("Scoped", bound="Scope")

LOW_PRECISION = ("float16", "bfloat16")


class Modes(NamedTuple):
    """One state of the modes."""

    recording: bool = True
    autocast: str | None = None  # the dtype in which convolutions and linear layers compute
    recomputing: bool = False  # a checkpoint's second forward: running statistics have seen this batch


# Innermost last. A context variable, so that a mode set in one thread is not set in another.
_entered: ContextVar[tuple[Modes, ...]] = ContextVar("fastconv_modes", default=(Modes(),))


def modes() -> Modes:
    """The modes in force here."""
    return _entered.get()[-1]


class Scope(ContextDecorator):
    """Changes modes within a block, or within every call of the function that it decorates."""

    def __init__(self, **changes: Any) -> None:
        self._changes = changes

    def __enter__(self: Scoped) -> Scoped:
        entered = _entered.get()
        _entered.set((*entered, entered[-1]._replace(**self._changes)))
        return self

    def __exit__(self, *exc: object) -> None:
        _entered.set(_entered.get()[:-1])


class no_grad(Scope):
    """``with fastconv.no_grad():`` or ``@fastconv.no_grad()``: nothing is recorded, nothing is saved for gradients.

    >>> import numpy as np, fastconv as fc
    >>> x = fc.Tensor(np.ones(2), requires_grad=True)
    >>> with fc.no_grad():
    ...     (x * 2).requires_grad
    False
    """

    def __init__(self) -> None:
        super().__init__(recording=False)


class enable_grad(Scope):
    """Records within a block even where the code around it does not."""

    def __init__(self) -> None:
        super().__init__(recording=True)


class autocast(Scope):
    """``with fastconv.autocast("float16"):`` convolutions and linear layers compute in float16 (or bfloat16).

    Their operands are cast on the way in, gradients on the way back: float32 parameters stay float32 and get float32
    gradients. Losses and softmax compute in float32; everything else takes what comes. autocast(None) turns it off
    within a block. Gradients in float16 want their loss scaled (fastconv.optim.GradScaler). Source: Micikevicius et
    al., 2018.

    >>> import numpy as np, fastconv as fc
    >>> layer, x = fc.nn.Linear(3, 2), fc.Tensor(np.ones((1, 3), np.float32))
    >>> with fc.autocast("float16"):
    ...     y = layer(x)
    >>> y.sum().backward()
    >>> y.dtype.name, layer.weight.grad.dtype.name
    ('float16', 'float32')
    """

    def __init__(self, dtype: str | None = "float16") -> None:
        if dtype is not None and dtype not in LOW_PRECISION:
            raise DTypeError(f"dtype: expected {', '.join(LOW_PRECISION)} or None, got {dtype!r}")
        super().__init__(autocast=dtype)


def is_grad_enabled() -> bool:
    """Whether what is computed here is recorded: False inside `no_grad`."""
    return modes().recording

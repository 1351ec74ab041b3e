"""Policies that every automatic choice of a kernel respects. Algorithms asked for by name run whatever they say."""

from __future__ import annotations

from collections import deque
from contextvars import ContextVar, Token
from threading import Lock
from typing import ClassVar, NamedTuple

from ..errors import AlgorithmError


class Policy(NamedTuple):
    """What is in force; part of the key under which a choice is remembered."""

    winograd: bool  # kernels that do not sum the direct method's own products may be chosen
    batch_invariant: bool  # the choice is made as for one image


# [winograd][batch_invariant], made ahead: every call of an operation asks, and one policy is one object.
_POLICIES = tuple(tuple(Policy(winograd, invariant) for invariant in (False, True)) for winograd in (False, True))
_lock = Lock()


class _Switch:
    """A flag with a default for the process, which a plain call sets, and a value for this thread or task, which a
    ``with`` statement sets and takes back.

    The call in a ``with`` statement is a plain call, too, until the statement begins; then it is struck from the calls,
    wherever others have been made meanwhile, and the default is again that of the last one left.
    """

    initial: ClassVar[bool]
    default: ClassVar[bool]
    here: ClassVar[ContextVar[bool | None]]
    _calls: ClassVar[deque[_Switch]]  # the latest last; nothing lies between a call and its ``with`` for so many others

    def __init_subclass__(cls, initial: bool) -> None:
        cls.initial = cls.default = initial
        cls.here = ContextVar(f"fastconv_{cls.__name__}", default=None)
        cls._calls = deque(maxlen=1024)

    def __init__(self, flag: bool) -> None:
        if not isinstance(flag, bool):
            raise AlgorithmError(f"flag: expected True or False, got {flag!r}")
        self.flag = flag
        self._tokens: list[Token[bool | None]] = []
        with _lock:
            self._calls.append(self)
            type(self).default = flag

    def __enter__(self) -> None:
        with _lock:
            if self in self._calls:
                self._calls.remove(self)
                type(self).default = self._calls[-1].flag if self._calls else self.initial
        self._tokens.append(self.here.set(self.flag))

    def __exit__(self, *exc: object) -> None:
        self.here.reset(self._tokens.pop())


class allow_winograd(_Switch, initial=True):
    """``fastconv.allow_winograd(False)`` leaves Winograd's method out of every automatic choice.

    Called, it sets the default of the process, for all threads. In a ``with`` statement it counts for that block alone,
    in this thread or task: others, also those that begin within the block, keep what they had.

    Allowed by default: in float32 its error is one and a half to three times that of summing directly (docs/numerics.md
    has the table), and a NaN or Inf reaches all outputs of its tiles. ``algo="winograd"`` still runs it. Raises
    AlgorithmError for anything but True and False.

    >>> import numpy as np, fastconv as fc
    >>> x, w = np.ones((1, 64, 56, 56), np.float32), np.ones((64, 64, 3, 3), np.float32)
    >>> with fc.allow_winograd(False):
    ...     fc.ops.explain("conv2d", x, w).choice
    'implicit_gemm'
    """


class batch_invariant(_Switch, initial=False):
    """``with fastconv.batch_invariant():`` chooses kernels as for one image, in this thread or task.

    Every algorithm gives an image the same bits alone and in a batch. Which one is the fastest may depend on the batch,
    though, and so may the choice; within this context it does not, and an image's result depends on nothing but
    the image, from end to end. Called without ``with``, it sets the default of the process, for all threads;
    ``batch_invariant(False)`` takes that back. Raises AlgorithmError for anything but True and False.

    >>> import numpy as np, fastconv as fc
    >>> x = np.random.default_rng(0).standard_normal((4, 8, 9, 9), dtype=np.float32)
    >>> w = np.ones((16, 8, 3, 3), np.float32)
    >>> with fc.batch_invariant():
    ...     bool((fc.ops.conv2d(x, w)[2] == fc.ops.conv2d(x[2], w)).all())
    True
    """

    def __init__(self, flag: bool = True) -> None:
        super().__init__(flag)


def current() -> Policy:
    """The policy of this thread or task: what its ``with`` statements say, else the process's defaults."""
    winograd, invariant = allow_winograd.here.get(), batch_invariant.here.get()
    if winograd is None:
        winograd = allow_winograd.default
    return _POLICIES[winograd][batch_invariant.default if invariant is None else invariant]

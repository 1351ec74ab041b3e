"""Policies that every automatic choice of a kernel respects. Algorithms asked for by name run whatever they say."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

from ..errors import AlgorithmError


class Policy(NamedTuple):
    """What is in force; part of the key under which a choice is remembered."""

    winograd: bool  # kernels that do not sum the direct method's own products may be chosen
    batch_invariant: bool  # the choice is made as for one image


# By whether the choice is batch-invariant; made ahead, since every call of an operation asks.
_policies = (Policy(True, False), Policy(True, True))
_batch_invariant: ContextVar[bool] = ContextVar("fastconv_batch_invariant", default=False)


def current() -> Policy:
    """The policy of this process and of this thread or task."""
    return _policies[_batch_invariant.get()]


class allow_winograd:
    """``fastconv.allow_winograd(False)`` leaves Winograd's method out of every automatic choice, in all threads.

    Allowed by default: in float32 its error is one and a half to three times that of summing directly (docs/numerics.md
    has the table), and a NaN or Inf reaches all outputs of its tiles. ``algo="winograd"`` still runs it. As
    ``torch.set_grad_enabled``, it acts when called; in a ``with`` statement the setting from before comes back at the
    end. Raises AlgorithmError for anything but True and False.

    >>> import numpy as np, fastconv as fc
    >>> x, w = np.ones((1, 64, 56, 56), np.float32), np.ones((64, 64, 3, 3), np.float32)
    >>> with fc.allow_winograd(False):
    ...     fc.ops.explain("conv2d", x, w).choice
    'implicit_gemm'
    """

    def __init__(self, flag: bool) -> None:
        global _policies
        if not isinstance(flag, bool):
            raise AlgorithmError(f"flag: expected True or False, got {flag!r}")
        self._before, _policies = _policies, (Policy(flag, False), Policy(flag, True))

    def __enter__(self) -> None:
        return None

    def __exit__(self, *exc: object) -> None:
        global _policies
        _policies = self._before


@contextmanager
def batch_invariant() -> Iterator[None]:
    """``with fastconv.batch_invariant():`` chooses kernels as for one image, in this thread or task.

    Every algorithm gives an image the same bits alone and in a batch. Which one is the fastest may depend on the batch,
    though, and so may the choice; within this context it does not, and an image's result depends on nothing but
    the image, from end to end.

    >>> import numpy as np, fastconv as fc
    >>> x = np.random.default_rng(0).standard_normal((4, 8, 9, 9), dtype=np.float32)
    >>> w = np.ones((16, 8, 3, 3), np.float32)
    >>> with fc.batch_invariant():
    ...     bool((fc.ops.conv2d(x, w)[2] == fc.ops.conv2d(x[2], w)).all())
    True
    """
    token = _batch_invariant.set(True)
    try:
        yield
    finally:
        _batch_invariant.reset(token)

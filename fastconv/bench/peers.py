"""Other engines on the same problem, called in turn with ours in the same process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..backends import cpu
from ..errors import ModelError
from ..problem import ConvProblem, LinearProblem

Array = NDArray[Any]
Call = Callable[[], Any]

NAMES = ("torch",)


def peer_calls(peer: str, problem: ConvProblem | LinearProblem, x: Array, weight: Array) -> dict[str, Call]:
    """{mode: function to time} of a peer: each computes what ours computes, its inputs already in its layout.

    Raises ModelError where the peer is unknown or cannot be imported.
    """
    if peer not in NAMES:
        raise ModelError(f"peer: expected one of {', '.join(NAMES)}, got {peer!r}")
    return _torch_calls(problem, x, weight)


def _torch_calls(problem: ConvProblem | LinearProblem, x: Array, weight: Array) -> dict[str, Call]:
    try:
        import torch
    except ImportError:
        raise ModelError("peer: torch is not installed (pip install 'fastconv[torch]')") from None
    torch.set_num_threads(cpu.num_threads())
    kind = getattr(torch, problem.dtype)

    def tensor(array: Array) -> Any:
        return torch.from_numpy(np.ascontiguousarray(array, np.float32)).to(kind)

    images, filters = tensor(x), tensor(weight)
    functional = torch.nn.functional
    if isinstance(problem, LinearProblem):

        def linear() -> Any:
            with torch.inference_mode():
                return functional.linear(images, filters)

        return {"torch": linear}

    (top, bottom), (left, right) = problem.padding
    symmetric = top == bottom and left == right

    def conv(memory_format: Any) -> Call:
        a, b = images.contiguous(memory_format=memory_format), filters.contiguous(memory_format=memory_format)

        def call() -> Any:
            with torch.inference_mode():
                padded = a if symmetric else functional.pad(a, (left, right, top, bottom))
                padding = (top, left) if symmetric else 0
                return functional.conv2d(padded, b, None, problem.stride, padding, problem.dilation, problem.groups)

        return call

    return {
        "torch channels-last": conv(torch.channels_last),
        "torch contiguous": conv(torch.contiguous_format),
    }

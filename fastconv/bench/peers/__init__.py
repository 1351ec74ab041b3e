"""Other engines on the same work, called in turn with ours in the same process.

Each gets its operands in its own layout, converted before the clock runs, and computes the same function: bias and
ReLU included, weights constant and prepacked where the engine can. Threads are as many as ours.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable

from ...errors import ModelError
from ..work import Call, Work
from . import onnx_engines, torch_modes

# {name: (modules that must be installed, extra of ours that brings them, its calls)}
_PEERS: dict[str, tuple[tuple[str, ...], str, Callable[[Work], dict[str, Call]]]] = {
    "torch": (("torch",), "torch", torch_modes.calls),
    "inductor": (("torch",), "torch", torch_modes.inductor_calls),
    "onnxruntime": (("onnx", "onnxruntime"), "bench", onnx_engines.onnxruntime_calls),
    "openvino": (("onnx", "openvino"), "bench", onnx_engines.openvino_calls),
}
NAMES = tuple(_PEERS)


def missing(peer: str) -> str | None:
    """Why a peer cannot be called here, or None. Raises ModelError for a name that is no peer's."""
    if peer not in _PEERS:
        raise ModelError(f"peer: expected one of {', '.join(NAMES)}, got {peer!r}")
    modules, extra, _ = _PEERS[peer]
    absent = [module for module in modules if importlib.util.find_spec(module) is None]
    return f"{' and '.join(absent)} not installed (pip install 'fastconv[{extra}]')" if absent else None


def peer_calls(peer: str, work: Work) -> dict[str, Call]:
    """{mode: function to time} of a peer: each computes what ours computes, its inputs already in its layout.

    Empty where the peer has no such operation. Raises ModelError where the peer is unknown or not installed,
    DTypeError where it does not compute in this dtype.
    """
    if reason := missing(peer):
        raise ModelError(f"peer {peer}: {reason}")
    return _PEERS[peer][2](work)

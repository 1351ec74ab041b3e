"""Timing one layer: right first, then ours and cuDNN's in turn, with a warm L2 and with a cold one."""

from __future__ import annotations

import math
import traceback
from typing import Any, Protocol

from .samples import calls_for, rounds_for, summary

# Relative error ||y - reference|| / ||reference|| above which a result is wrong. The reference is PyTorch's float32
# convolution of the same numbers; float16 results are off by their rounding, 2.8e-4 on average.
TOLERANCE = {"float16": 2e-3, "bfloat16": 1.6e-2, "float32": 3e-5, "tf32": 2e-3}


class Contender(Protocol):
    """Something that computes the layer."""

    kind: str  # "ours", or "cudnn"
    chosen: bool
    fused: bool  # bias and ReLU included

    def error(self) -> tuple[float, float]:
        """(relative error, cosine) after running once into poisoned memory."""

    def run(self) -> None:
        """Enqueues one call."""


class Machine(Protocol):
    """What layers are timed by: bench.gpu.machine, or a fake."""

    def contenders(self, arguments: dict[str, Any]) -> tuple[dict[str, Contender], dict[str, Any]]:
        """({name: contender}, facts about the layer: flops, min_bytes, refusals)."""

    def estimate(self, contender: Contender) -> float:
        """About how many microseconds a call takes."""

    def graph(self, contender: Contender, calls: int) -> Any:
        """A graph of so many calls, captured and replayed once."""

    def times(self, graphs: dict[str, Any], rounds: int, cold: bool) -> dict[str, list[float]]:
        """Microseconds of each replay, graphs taking turns; cold: with L2 flushed before each, not counted."""


def measure(machine: Machine, arguments: dict[str, Any]) -> dict[str, Any]:
    """A record of the layer. A contender that fails has its traceback in it, and the others are timed."""
    contenders, facts = machine.contenders(arguments)
    rows: dict[str, dict[str, Any]] = {}
    graphs: dict[str, tuple[Any, Any]] = {}
    estimates = {}
    calls = {}
    for name, contender in contenders.items():
        row: dict[str, Any] = {"kind": contender.kind, "chosen": contender.chosen, "fused": contender.fused}
        rows[name] = row
        try:
            error, cosine = contender.error()
            row.update(error=error if math.isfinite(error) else str(error), cosine=cosine)
            if not error <= TOLERANCE[arguments["dtype"]]:  # nor does NaN pass
                row["failed"] = f"wrong result: relative error {error:.3g}, cosine {cosine:.6f}"
                continue
            estimates[name] = machine.estimate(contender)
            calls[name] = calls_for(estimates[name])
            graphs[name] = machine.graph(contender, calls[name]), machine.graph(contender, 1)
        except Exception:
            row["failed"] = traceback.format_exc(limit=-6)
    if graphs:
        rounds = rounds_for(max(estimates.values()))
        for regime, index in (("warm", 0), ("cold", 1)):
            times = machine.times({name: pair[index] for name, pair in graphs.items()}, rounds, regime == "cold")
            for name, samples in times.items():
                each = calls[name] if regime == "warm" else 1
                rows[name][regime] = summary([sample / each for sample in samples])
                rows[name][regime]["calls"] = each
    return {**arguments, **facts, "contenders": rows}

"""A machine that is none: what bench.gpu.machine does, without a GPU, and with the mishaps that a GPU has."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from fastconv.problem import ConvProblem


class FakeContender:
    def __init__(self, kind: str, microseconds: float, chosen=False, fused=True, wrong=None) -> None:
        self.kind, self.chosen, self.fused, self.microseconds, self.wrong = kind, chosen, fused, microseconds, wrong

    def run(self) -> None:
        pass

    def error(self) -> tuple[float, float]:
        if isinstance(self.wrong, Exception):
            raise self.wrong
        return (1e-4, 1.0) if self.wrong is None else (self.wrong, 0.5)


class Machine:
    """FAKE_MISHAP: "<a part of a layer's problem>=<crash|hang|lose|raise>", once where FAKE_ONCE names a file."""

    device = "simt"

    def __init__(self) -> None:
        self.lost = False
        self.text, _, self.what = os.environ.get("FAKE_MISHAP", "").partition("=")
        if self.text == "start":
            raise RuntimeError("no device at all")

    def facts(self) -> dict[str, Any]:
        return {"name": "Fake GPU", "slug": "fake-gpu", "torch": "0"}

    def ceilings(self) -> dict[str, Any]:
        return {"copy_gb_s": 4000.0, "float16_tflops": 700.0, "float32_tflops": "RuntimeError: none", "smi": {}}

    def compile_ahead(self, seconds: float) -> dict[str, Any]:
        return {"kernels": 0}

    def overhead(self) -> dict[str, Any]:
        return {"problem": "tiny", "ours": {"median": 2.0, "min": 1.9}}

    def contenders(self, arguments: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        problem = arguments["problem"]
        if self.text and self.text in problem:
            self._mishap()
        d = ConvProblem.parse(problem)
        ideal = d.flops / 700e6
        return {
            "implicit_gemm": FakeContender("ours", 2 * ideal, chosen=True),
            "stem": FakeContender("ours", ideal),
            "slow": FakeContender("ours", ideal, wrong=float("nan")),
            "raising": FakeContender("ours", ideal, wrong=ValueError("too | many\nlines")),
            "cudnn conv": FakeContender("cudnn", 3 * ideal, fused=False),
            "cudnn conv+bias+relu_": FakeContender("cudnn", 4 * ideal),
        }, {"flops": d.flops, "min_bytes": d.min_bytes, "refusals": {"depthwise": "no"}}

    def _mishap(self) -> None:
        if once := os.environ.get("FAKE_ONCE"):
            if Path(once).exists():
                return
            Path(once).touch()
        if self.what == "crash":
            os._exit(11)
        if self.what == "hang":
            time.sleep(1000)
        self.lost = self.what == "lose"
        raise RuntimeError(f"planned: {self.what}")

    def estimate(self, contender: FakeContender) -> float:
        return contender.microseconds

    def graph(self, contender: FakeContender, calls: int) -> tuple[FakeContender, int]:
        return contender, calls

    def times(self, graphs: dict[str, Any], rounds: int, cold: bool) -> dict[str, list[float]]:
        return {
            name: [calls * contender.microseconds * (2 if cold else 1)] * rounds
            for name, (contender, calls) in graphs.items()
        }

    def release(self) -> None:
        pass

    def synchronize(self) -> None:
        if self.lost:
            raise RuntimeError("an illegal memory access was encountered")

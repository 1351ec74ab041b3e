"""What hopper_fprop is expected to take, layer by layer: the model that its tiles are chosen by. Needs no GPU."""

from __future__ import annotations

from collections.abc import Sequence

from bench.tables import table
from fastconv.backends.gpu import hopper

from .plan import convolutions

_CLOCKS_A_MICROSECOND = 1830.0  # of an H200
_PROCESSORS = 132


def lines(network: str, batch: int) -> list[str]:
    """A Markdown table of a network's distinct convolutions, and their sum; layers that the kernel refuses say why."""
    rows, total, flops = [], 0.0, 0.0
    for problem, count in convolutions(network, batch):
        text = str(problem).split('n"')[0]
        if reason := hopper.refusal(problem):
            rows.append([text, str(count), "-", "-", "-", reason])
            continue
        choice = hopper.choose(problem, _PROCESSORS)
        time = choice.clocks / _CLOCKS_A_MICROSECOND
        total, flops = total + count * time, flops + count * problem.flops
        tile = f"{choice.tile.m}x{choice.tile.n}, cluster {choice.tile.cluster}"
        rows.append([text, str(count), tile, f"{time:.1f}", f"{problem.flops / time / 1e6:.0f}", choice.reason])
    head = ["layer", "times", "tile", "us", "TFLOP/s", "why"]
    rate = f": {flops / total / 1e6:.0f} TFLOP/s" if total else ""
    return [
        f"## {network}, batch {batch}, float16: {total:.0f} us in the layers that hopper_fprop takes{rate}",
        "",
        *table(head, rows),
        "",
    ]


def page(networks: Sequence[str], batches: Sequence[int]) -> str:
    """All of them."""
    return "\n".join(line for network in networks for batch in batches for line in lines(network, batch))

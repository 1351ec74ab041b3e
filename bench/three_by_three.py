"""Share of the measured peak that implicit_gemm reaches on the 3 x 3 layers of VGG-16 and ResNet-50.

    python -m bench.three_by_three bench/results/<machine>

writes three_by_three.json and three_by_three.md there: every layer at one thread and at all, batch 1 and 8.
"""

from __future__ import annotations

import json
import statistics
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import fastconv as fc
from fastconv.bench import Layer, describe_machine, measure_layer
from fastconv.bench.probe import Probe
from tests.shapes import three_by_three

BATCHES = (1, 8)


def measure(seconds: float) -> list[dict[str, Any]]:
    """One record a network, layer, batch and thread count."""
    records = []
    for threads in sorted({1, fc.num_threads()}):
        fc.set_num_threads(threads)
        probe = Probe()
        for network, problem in three_by_three():
            for batch in BATCHES:
                layer = Layer(replace(problem, n=batch))
                (row,) = measure_layer(layer, probe, algo="implicit_gemm", seconds=seconds)
                extra = {"gflops": row.gflops, "share_of_peak": row.share_of_peak}
                records.append({"network": network, "threads": threads, "batch": batch, **asdict(row), **extra})
                print(f"{network} {row.problem} threads {threads}: {row.share_of_peak:.0%} of peak", flush=True)
    return records


def markdown(machine: dict[str, Any], records: list[dict[str, Any]]) -> str:
    """A table for people: one line a layer, one column a batch and thread count."""
    columns = sorted({(r["threads"], r["batch"]) for r in records})
    lines = [
        "# implicit_gemm on 3 x 3 layers: share of the measured float32 peak",
        "",
        f"{machine['cpu']}, {machine['isa']}, {machine['compiler']}. Best call over the best FMA burst beside the same",
        "layer's calls; forward, weights packed. Written by `python -m bench.three_by_three`.",
        "",
        "| network | layer | problem | " + " | ".join(f"{t} thread(s), batch {b}" for t, b in columns) + " |",
        "|---|---|---|" + "---|" * len(columns),
    ]
    layers = list(dict.fromkeys((r["network"], r["layer"], r["problem"].split("ic", 1)[1]) for r in records))
    for network, layer, problem in layers:
        cells = []
        for threads, batch in columns:
            (record,) = [
                r
                for r in records
                if (r["network"], r["layer"], r["threads"], r["batch"]) == (network, layer, threads, batch)
            ]
            cells.append(f"{record['share_of_peak']:.0%} ({record['gflops']:.0f} GFLOP/s)")
        lines.append(f"| {network} | {layer} | ic{problem} | " + " | ".join(cells) + " |")
    totals = []
    for threads, batch in columns:
        shares = [r["share_of_peak"] for r in records if (r["threads"], r["batch"]) == (threads, batch)]
        totals.append(f"{min(shares):.0%} / {statistics.geometric_mean(shares):.0%}")
    lines.append("| | | lowest / geometric mean | " + " | ".join(totals) + " |")
    return "\n".join(lines) + "\n"


def main(folder: str, seconds: float = 1.0) -> None:
    """Measures and writes both files."""
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    machine = describe_machine()
    records = measure(seconds)
    content = {"schema": 1, "kind": "three_by_three", "machine": machine, "rows": records}
    (target / "three_by_three.json").write_text(json.dumps(content, indent=1) + "\n")
    (target / "three_by_three.md").write_text(markdown(machine, records))


if __name__ == "__main__":
    main(sys.argv[1], *(float(value) for value in sys.argv[2:3]))

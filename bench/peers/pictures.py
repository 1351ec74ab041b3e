"""The results as PNGs: ratios sorted by size, and rooflines."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from fastconv.bench import Report
from fastconv.bench.plot import plot_ratios, plot_roofline

from .comparison import CLASSES, compare, configs, directions, layer_class, select
from .pages import TITLES


def draw(content: dict[str, Any], folder: Path) -> None:
    """peers_<direction>.png with a panel a configuration, and a roofline of ours and the best peer for each of them."""
    comparisons = list(compare(content).values())
    for direction in directions(comparisons):
        panels = {}
        for config in configs(comparisons):
            chosen = select(comparisons, direction, config)
            if not chosen:
                continue
            panels[str(config)] = [(layer_class(c.problem), c.ratio) for c in chosen]
            name = f"roofline_{direction}_batch{config.batch}_threads{config.threads}.png"
            machine = {**content["machine"], "threads": config.threads}
            report = Report(f"{TITLES[direction]}, batch {config.batch}", "float32", config.batch, machine)
            for c in chosen:
                report.rows += [replace(c.ours, contender="fastconv"), replace(c.best_peer, contender="best peer")]
            plot_roofline(report, folder / name)
        plot_ratios(
            panels, CLASSES, f"{TITLES[direction]}: fastest peer's time over ours", folder / f"peers_{direction}.png"
        )

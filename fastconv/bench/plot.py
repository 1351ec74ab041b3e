"""Pictures of a run: a roofline (each layer's rate over its arithmetic intensity, under measured ceilings), ratios."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import FileFormatError, ModelError
from .report import Report


def plot_roofline(report: Report, path: str | os.PathLike[str]) -> None:
    """Writes a PNG. Source of the picture: Williams, Waterman and Patterson, 2009."""
    pyplot = _pyplot()
    figure, axes = pyplot.subplots(figsize=(8, 5.5), dpi=120)
    rows = report.rows
    peak = max(row.peak_flops for row in rows)
    slowest = min(row.bandwidth for row in rows)
    intensities = [row.flops / row.min_bytes for row in rows]
    span = [min(intensities) / 2, max(max(intensities) * 2, peak / slowest * 2)]
    axes.plot(
        [span[0], peak / slowest, span[1]], [span[0] * slowest / 1e9, peak / 1e9, peak / 1e9], color="black", lw=1
    )
    axes.annotate(f"peak {peak / 1e9:.0f} GFLOP/s", (span[1], peak / 1e9), ha="right", va="bottom", fontsize=8)
    axes.annotate(f"{slowest / 1e9:.0f} GB/s", (span[0], span[0] * slowest / 1e9), ha="left", va="bottom", fontsize=8)
    for contender in report.contenders():
        own = [row for row in rows if row.contender == contender]
        axes.scatter([r.flops / r.min_bytes for r in own], [r.gflops for r in own], s=22, label=contender, alpha=0.8)
    axes.set(xscale="log", yscale="log", xlabel="FLOP per byte moved once", ylabel="GFLOP/s")
    machine = report.machine
    axes.set_title(f"{report.name}, {report.dtype}, {machine['isa']}, {machine['threads']} thread(s)", fontsize=10)
    axes.grid(True, which="both", alpha=0.2)
    axes.legend(fontsize=8)
    _save(pyplot, figure, path)


def plot_ratios(
    panels: Mapping[str, Sequence[tuple[str, float]]],
    labels: Sequence[str],
    title: str,
    path: str | os.PathLike[str],
) -> None:
    """Writes a PNG: a panel each for {heading: (label, ratio) pairs}, dots sorted by ratio, a line at 1.

    A label has the same colour in every panel.
    """
    pyplot = _pyplot()
    figure, grid = pyplot.subplots(
        1, len(panels), figsize=(1.5 + 4 * len(panels), 4.5), dpi=120, sharey=True, squeeze=False
    )
    for axes, (heading, pairs) in zip(grid[0], panels.items(), strict=True):
        ranked = sorted(pairs, key=lambda pair: pair[1])
        for number, label in enumerate(labels):
            dots = [(place, ratio) for place, (own, ratio) in enumerate(ranked) if own == label]
            if dots:
                axes.scatter(*zip(*dots, strict=True), s=14, color=f"C{number}", label=label)
        axes.axhline(1.0, color="black", lw=1)
        axes.set(yscale="log", xlabel="layers, sorted", title=heading)
        axes.grid(True, which="both", alpha=0.2)
    handles = {
        label: handle for axes in grid[0] for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    figure.suptitle(title, fontsize=10)
    ordered = [label for label in labels if label in handles]
    grid[0][0].legend([handles[label] for label in ordered], ordered, fontsize=7)
    _save(pyplot, figure, path)


def _pyplot() -> Any:
    try:
        import matplotlib
    except ImportError:
        raise ModelError("plot: matplotlib is not installed (pip install 'fastconv[bench]')") from None
    matplotlib.use("Agg")
    from matplotlib import pyplot

    return pyplot


def _save(pyplot: Any, figure: Any, path: str | os.PathLike[str]) -> None:
    figure.tight_layout()
    try:
        figure.savefig(path)
    except (OSError, ValueError) as error:
        raise FileFormatError(f"plot {str(path)!r}: cannot be written: {error}") from None
    finally:
        pyplot.close(figure)

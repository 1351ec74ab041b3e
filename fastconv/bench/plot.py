"""A roofline of a run: each layer's rate over its arithmetic intensity, under the measured ceilings."""

from __future__ import annotations

import os

from ..errors import FileFormatError, ModelError
from .report import Report


def plot_roofline(report: Report, path: str | os.PathLike[str]) -> None:
    """Writes a PNG. Source of the picture: Williams, Waterman and Patterson, 2009."""
    try:
        import matplotlib
    except ImportError:
        raise ModelError("plot: matplotlib is not installed (pip install 'fastconv[bench]')") from None
    matplotlib.use("Agg")
    from matplotlib import pyplot

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
    figure.tight_layout()
    try:
        figure.savefig(path)
    except (OSError, ValueError) as error:
        raise FileFormatError(f"plot {str(path)!r}: cannot be written: {error}") from None
    finally:
        pyplot.close(figure)

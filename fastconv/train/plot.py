"""Training curves as a picture."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import FileFormatError, ModelError
from .callbacks import Callback, Row

if TYPE_CHECKING:
    from .trainer import Trainer


class Curves(Callback):
    """Draws loss and accuracy over epochs as a PNG when the run ends.

    Raises ModelError at once where matplotlib is not installed.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        if importlib.util.find_spec("matplotlib") is None:
            raise ModelError("curves: matplotlib is not installed (pip install 'fastconv[bench]')")
        self.path = Path(path)

    def on_fit_end(self, trainer: Trainer) -> None:
        if trainer.history:
            plot_curves(trainer.history, self.path)


def plot_curves(rows: list[Row], path: str | os.PathLike[str]) -> None:
    """Writes a PNG of a history: loss beside accuracy, training and test set. Raises FileFormatError if it cannot."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(9, 3.6), dpi=120)
    for axis, quantity in zip(axes, ("loss", "accuracy"), strict=True):
        for part in ("train", "test"):
            points = [(row["epoch"], row[f"{part}_{quantity}"]) for row in rows if f"{part}_{quantity}" in row]
            if points:
                axis.plot(*zip(*points, strict=True), marker=".", label=part)
        axis.set(xlabel="epoch", ylabel=quantity)
        axis.grid(True, alpha=0.2)
        axis.legend(fontsize=8)
    axes[0].set_yscale("log")
    try:
        figure.savefig(path, bbox_inches="tight")
    except (OSError, ValueError) as error:
        raise FileFormatError(f"{str(path)!r}: cannot be written: {error}") from None
    finally:
        pyplot.close(figure)

"""How far a run is: a bar while an epoch runs, a line when it is done."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from .callbacks import Callback, Row

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from .trainer import Trainer

# Seconds between two looks at the sums: a look at a GPU's waits for it.
_INTERVAL = 0.25


class ProgressBar(Callback):
    """Loss, accuracy and images a second of the epoch so far, on stderr where that is a terminal."""

    def __init__(self) -> None:
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._shown = 0.0

    def on_fit_begin(self, trainer: Trainer) -> None:
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
            # Lines that are printed meanwhile pass above the bar, unless they go somewhere else than the bar does.
            shared = sys.stdout.isatty()
            self._bar = Progress(*columns, console=Console(stderr=True), transient=True, redirect_stdout=shared)
            self._task = self._bar.add_task(f"epoch {trainer.epoch + 1}", total=trainer.steps_per_epoch)
            self._bar.start()

    def on_step_end(self, trainer: Trainer) -> None:
        now = time.perf_counter()
        if self._bar is None or self._task is None or now - self._shown < _INTERVAL:
            return
        self._shown = now
        running = trainer.running
        self._bar.update(
            self._task,
            completed=trainer.position,
            description=f"epoch {trainer.epoch + 1}/{trainer.epochs}  loss {running.loss:.4f}  "
            f"accuracy {running.accuracy:.2%}  {running.count / max(trainer.seconds, 1e-9):,.0f} images/s",
        )

    def on_fit_end(self, trainer: Trainer) -> None:
        if self._bar is not None:
            self._bar.stop()


class EpochLines(Callback):
    """One line for each epoch, on stdout."""

    def on_epoch_end(self, trainer: Trainer, row: Row) -> None:
        parts = [f"epoch {row['epoch']}/{trainer.epochs}"]
        for part in ("train", "test"):
            if f"{part}_loss" in row:
                parts.append(f"{part} loss {row[f'{part}_loss']:.4f}, accuracy {row[f'{part}_accuracy']:.2%}")
        parts.append(f"rate {row['lr']:.3g}")
        parts.append(f"{row['images_per_second']:,.0f} images/s")
        print("  ".join(parts), flush=True)

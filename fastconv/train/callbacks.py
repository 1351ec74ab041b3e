"""What a training run calls back, and stopping early."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..errors import TrainingError

if TYPE_CHECKING:
    from .trainer import Trainer

Row = dict[str, Any]


class Callback:
    """Base of what may be hung into a Trainer; every method may be left out.

    >>> import fastconv as fc
    >>> class Shout(fc.train.Callback):
    ...     def on_epoch_end(self, trainer, row):
    ...         print(f"epoch {row['epoch']}!")
    """

    def on_fit_begin(self, trainer: Trainer) -> None:
        """Before the first epoch, or the one that is resumed."""

    def on_step_end(self, trainer: Trainer) -> None:
        """After each step of the optimizer."""

    def on_epoch_end(self, trainer: Trainer, row: Row) -> None:
        """After each epoch; row is what trainer.history has of it."""

    def on_fit_end(self, trainer: Trainer) -> None:
        """When the run ends: after the last epoch, or where it was stopped or failed."""

    def state_dict(self) -> dict[str, Any]:
        """Numbers, text and arrays that a checkpoint keeps."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Puts a `state_dict()` into force."""


class Best:
    """The best value of one of history's columns so far: the lowest of a loss, the highest of anything else.

    monitor: the column; by default test_loss (or test_accuracy) where there is a test set, else that of training.
    """

    def __init__(self, monitor: str, min_delta: float = 0.0) -> None:
        self.monitor, self.min_delta = monitor, min_delta
        self.value = math.nan
        self.epoch = 0

    def update(self, row: Row) -> bool:
        """Whether this epoch is the best so far, by more than min_delta."""
        name = self.monitor if self.monitor in row else self.monitor.replace("test_", "train_")
        if name not in row:
            raise TrainingError(f"monitor: expected one of {', '.join(row)}, got {self.monitor!r}")
        value = float(row[name])
        gain = self.value - value if name.endswith("loss") else value - self.value
        if math.isnan(self.value) or gain > self.min_delta:
            self.value, self.epoch = value, int(row["epoch"])
            return True
        return False

    def state_dict(self) -> dict[str, Any]:
        """Plain numbers."""
        return {"value": self.value, "epoch": self.epoch}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on from there."""
        self.value, self.epoch = float(state["value"]), int(state["epoch"])


class EarlyStopping(Callback):
    """Ends the run after `patience` epochs in which the monitored column did not get better by more than min_delta."""

    def __init__(self, patience: int = 5, monitor: str = "test_loss", min_delta: float = 0.0) -> None:
        if patience < 1:
            raise TrainingError(f"patience: expected at least 1, got {patience!r}")
        self.patience = patience
        self.best = Best(monitor, min_delta)

    def on_epoch_end(self, trainer: Trainer, row: Row) -> None:
        if not self.best.update(row) and row["epoch"] - self.best.epoch >= self.patience:
            trainer.stop = True

    def state_dict(self) -> dict[str, Any]:
        return self.best.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.best.load_state_dict(state)

"""How good a classifier is: running sums while it trains, and an evaluation of all of a set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..backends.array_memory import is_cupy
from ..backends.placement import move

Array = NDArray[Any]


class Running:
    """Mean loss and accuracy of the batches so far.

    Sums stay in the memory that the batches are in: reading `loss` or `accuracy` is what waits for a GPU.
    """

    def __init__(self) -> None:
        self.count = 0
        self._loss: Any = 0.0
        self._correct: Any = 0

    def update(self, loss: Array, logits: Array, labels: Array) -> None:
        """Adds a batch: its mean loss, (N, C) logits, (N,) labels."""
        self.count += len(labels)
        self._loss = self._loss + loss.astype(np.float64) * len(labels)
        self._correct = self._correct + (comparable(logits).argmax(axis=1) == labels).sum()

    @property
    def loss(self) -> float:
        return float(self._loss) / max(self.count, 1)

    @property
    def accuracy(self) -> float:
        return int(self._correct) / max(self.count, 1)

    def state_dict(self) -> dict[str, float]:
        """Plain numbers."""
        return {"count": self.count, "loss": float(self._loss), "correct": int(self._correct)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on from there."""
        self.count, self._loss, self._correct = int(state["count"]), float(state["loss"]), int(state["correct"])


@dataclass(frozen=True)
class Evaluation:
    """What `Trainer.evaluate` found: mean loss, shares of images whose class was first, or among the first five, and how
    often each class (row) was taken for each (column)."""

    count: int
    loss: float
    top1: float
    top5: float
    confusion: NDArray[np.int64]

    def recalls(self) -> Array:
        """(C,) of each class, the share that was recognised; NaN where there is none of it."""
        with np.errstate(invalid="ignore"):
            shares: Array = np.diag(self.confusion) / self.confusion.sum(axis=1)
        return shares

    def __str__(self) -> str:
        return f"loss {self.loss:.4f}, top-1 {self.top1:.2%}, top-5 {self.top5:.2%} of {self.count:,} images"


class Scores:
    """The sums behind an Evaluation, in the memory that the batches are in."""

    def __init__(self, classes: int) -> None:
        self.classes, self.count = classes, 0
        self._sums: tuple[Any, Any, Any] = (0.0, 0, 0)
        self._confusion: Any = 0

    def update(self, loss: Array, logits: Array, labels: Array) -> None:
        """Adds a batch: its mean loss, (N, C) logits, (N,) labels."""
        values = comparable(logits)
        own = np.take_along_axis(values, labels[:, None], axis=1)
        # A class's rank: how many are not below it (a NaN is below nothing), of equal ones those that come first.
        earlier = move(np.arange(self.classes), "cuda" if is_cupy(labels) else "cpu") < labels[:, None]
        ranks = (~(values <= own)).sum(axis=1) + ((values == own) & earlier).sum(axis=1)
        total, first, fifth = self._sums
        self._sums = (
            total + loss.astype(np.float64) * len(labels),
            first + (ranks < 1).sum(),
            fifth + (ranks < 5).sum(),
        )
        pairs = labels * self.classes + values.argmax(axis=1)
        self._confusion = self._confusion + np.bincount(pairs, minlength=self.classes**2)
        self.count += len(labels)

    def result(self) -> Evaluation:
        """The evaluation of everything so far."""
        count = max(self.count, 1)
        confusion = np.asarray(move(self._confusion, "cpu"), np.int64)
        square = np.broadcast_to(confusion, self.classes**2).reshape(self.classes, self.classes).copy()
        loss, first, fifth = self._sums
        return Evaluation(self.count, float(loss) / count, int(first) / count, int(fifth) / count, square)


def comparable(logits: Array) -> Array:
    """Logits in a dtype that NumPy compares fast: float32 for 16 bits."""
    return logits if logits.dtype.itemsize >= 4 else logits.astype(np.float32)

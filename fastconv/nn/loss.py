"""Losses as layers: loss(result, target)."""

from __future__ import annotations

from typing import Any

from . import functional
from .module import Module


class CrossEntropyLoss(Module):
    """-log softmax(logits)[target]; see functional.cross_entropy.

    >>> import numpy as np, fastconv as fc
    >>> float(fc.nn.CrossEntropyLoss()(np.zeros((2, 4)), np.array([0, 3]))).__round__(4)
    1.3863
    """

    def __init__(self, ignore_index: int = -100, reduction: str = "mean", label_smoothing: float = 0.0) -> None:
        super().__init__()
        self.ignore_index, self.reduction, self.label_smoothing = ignore_index, reduction, label_smoothing

    def forward(self, x: Any, target: Any) -> Any:
        return functional.cross_entropy(
            x,
            target,
            ignore_index=self.ignore_index,
            reduction=self.reduction,
            label_smoothing=self.label_smoothing,
        )

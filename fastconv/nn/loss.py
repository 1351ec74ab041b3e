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

    def __init__(
        self,
        weight: Any = None,
        ignore_index: int = -100,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__()
        self.weight = weight
        self.ignore_index, self.reduction, self.label_smoothing = ignore_index, reduction, label_smoothing

    def forward(self, x: Any, target: Any) -> Any:
        return functional.cross_entropy(
            x,
            target,
            self.weight,
            ignore_index=self.ignore_index,
            reduction=self.reduction,
            label_smoothing=self.label_smoothing,
        )


class MSELoss(Module):
    """The squared error; see functional.mse_loss."""

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__()
        self.reduction = reduction

    def forward(self, x: Any, target: Any) -> Any:
        return functional.mse_loss(x, target, self.reduction)


class BCELoss(Module):
    """The binary cross-entropy of probabilities; see functional.binary_cross_entropy."""

    def __init__(self, weight: Any = None, reduction: str = "mean") -> None:
        super().__init__()
        self.weight, self.reduction = weight, reduction

    def forward(self, x: Any, target: Any) -> Any:
        return functional.binary_cross_entropy(x, target, self.weight, reduction=self.reduction)


class BCEWithLogitsLoss(Module):
    """The binary cross-entropy of sigmoid(x); see functional.binary_cross_entropy_with_logits."""

    def __init__(self, weight: Any = None, reduction: str = "mean", pos_weight: Any = None) -> None:
        super().__init__()
        self.weight, self.reduction, self.pos_weight = weight, reduction, pos_weight

    def forward(self, x: Any, target: Any) -> Any:
        return functional.binary_cross_entropy_with_logits(
            x, target, self.weight, reduction=self.reduction, pos_weight=self.pos_weight
        )

"""ZFNet. Zeiler and Fergus: Visualizing and Understanding Convolutional Networks, 2013."""

from __future__ import annotations

from typing import Any

from .. import nn
from ._registry import Paper, register_model

PAPER = Paper("Zeiler and Fergus", "Visualizing and Understanding Convolutional Networks", 2013)


class ZFNet(nn.Module):
    """AlexNet with a 7 x 7 / 2 first and a 5 x 5 / 2 second layer: 224 -> 110 -> 55 -> 26 -> 13 -> 6 pixels.

    Pools are 3 x 3 / 2 and count their windows upwards, which gives the sizes of the paper's Figure 3.
    """

    def __init__(self, num_classes: int = 1000, dropout: float = 0.5) -> None:
        super().__init__()

        def response_norm() -> nn.Module:
            return nn.LocalResponseNorm(5, alpha=5 * 1e-4, beta=0.75, k=2.0)

        self.features = nn.Sequential(
            nn.Conv2d(3, 96, 7, stride=2, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2, ceil_mode=True), response_norm(),
            nn.Conv2d(96, 256, 5, stride=2), nn.ReLU(), nn.MaxPool2d(3, 2, ceil_mode=True), response_norm(),
            nn.Conv2d(256, 384, 3, padding=1), nn.ReLU(),
            nn.Conv2d(384, 384, 3, padding=1), nn.ReLU(),
            nn.Conv2d(384, 256, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2),
        )  # fmt: skip
        self.flatten = nn.Flatten()
        self.classifier = nn.Sequential(
            nn.Linear(256 * 6 * 6, 4096), nn.ReLU(), nn.Dropout(dropout),
            nn.Linear(4096, 4096), nn.ReLU(), nn.Dropout(dropout),
            nn.Linear(4096, num_classes),
        )  # fmt: skip
        for _, module in self.named_modules():  # section 3: N(0, 0.01), biases 0
            if isinstance(module, (nn.Conv2d, nn.Linear)) and module.bias is not None:
                nn.init.normal_(module.weight, 0.0, 0.01)
                nn.init.zeros_(module.bias)

    def forward(self, x: Any) -> Any:
        return self.classifier(self.flatten(self.features(x)))


@register_model(62_357_608, 1_168_032_896, PAPER, "own", top5_error=14.8)
def zfnet(num_classes: int = 1000, dropout: float = 0.5) -> ZFNet:
    """ZFNet: 62,357,608 parameters, 1.168 GMAC; top-5 error in the paper 14.8 % (an ensemble)."""
    return ZFNet(num_classes, dropout)

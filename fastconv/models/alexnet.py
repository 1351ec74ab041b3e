"""AlexNet in torchvision's one-tower form. Krizhevsky: One weird trick ..., 2014; after Krizhevsky et al., 2012."""

from __future__ import annotations

from typing import Any

from .. import nn
from ._registry import register_model


class AlexNet(nn.Module):
    """Five convolutions (11 x 11, 5 x 5, 3 x 3), three fully connected layers. Input 3 x 224 x 224, at least 63."""

    def __init__(self, num_classes: int = 1000, dropout: float = 0.5) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 64, 11, stride=4, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2),
            nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2),
            nn.Conv2d(192, 384, 3, padding=1), nn.ReLU(),
            nn.Conv2d(384, 256, 3, padding=1), nn.ReLU(),
            nn.Conv2d(256, 256, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2),
        )  # fmt: skip
        self.avgpool = nn.AdaptiveAvgPool2d((6, 6))
        self.flatten = nn.Flatten()
        self.classifier = nn.Sequential(
            nn.Dropout(dropout), nn.Linear(256 * 6 * 6, 4096), nn.ReLU(),
            nn.Dropout(dropout), nn.Linear(4096, 4096), nn.ReLU(),
            nn.Linear(4096, num_classes),
        )  # fmt: skip

    def forward(self, x: Any) -> Any:
        return self.classifier(self.flatten(self.avgpool(self.features(x))))


@register_model((3, 224, 224), 1000, 61_100_840, "Krizhevsky, 2014 (arXiv:1404.5997)", 256)
def alexnet(num_classes: int = 1000, dropout: float = 0.5) -> AlexNet:
    """AlexNet, torchvision's: 61,100,840 parameters, 0.714 GMAC. The 2012 original's top-5 error was 16.4 %."""
    return AlexNet(num_classes, dropout)

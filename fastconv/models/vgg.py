"""VGG. Simonyan and Zisserman: Very Deep Convolutional Networks for Large-Scale Image Recognition, 2014."""

from __future__ import annotations

from typing import Any

from .. import nn
from ._registry import register_model

# Channels of the 3 x 3 convolutions; 0 is a 2 x 2 max pooling. D is the paper's name of the 16-layer column.
D = (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512, 0)


class VGG(nn.Module):
    """3 x 3 convolutions and 2 x 2 pooling, then three fully connected layers. Input 3 x 224 x 224, at least 32."""

    def __init__(self, columns: tuple[int, ...], num_classes: int = 1000, dropout: float = 0.5) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for width in columns:
            if width == 0:
                layers.append(nn.MaxPool2d(2))
            else:
                layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
                channels = width
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d((7, 7))
        self.flatten = nn.Flatten()
        self.classifier = nn.Sequential(
            nn.Linear(512 * 7 * 7, 4096), nn.ReLU(), nn.Dropout(dropout),
            nn.Linear(4096, 4096), nn.ReLU(), nn.Dropout(dropout),
            nn.Linear(4096, num_classes),
        )  # fmt: skip

    def forward(self, x: Any) -> Any:
        return self.classifier(self.flatten(self.avgpool(self.features(x))))


@register_model((3, 224, 224), 1000, 138_357_544, "Simonyan and Zisserman, 2014", 256)
def vgg16(num_classes: int = 1000, dropout: float = 0.5) -> VGG:
    """VGG-16: 138,357,544 parameters, 15.47 GMAC; top-5 error in the paper 7.32 %."""
    return VGG(D, num_classes, dropout)

"""SqueezeNet. Iandola et al.: SqueezeNet: AlexNet-level accuracy with 50x fewer parameters, 2016."""

from __future__ import annotations

from typing import Any

from .. import nn
from ..nn import functional as F
from ._blocks import initialise
from ._registry import Paper, register_model

PAPER = Paper("Iandola et al.", "SqueezeNet: AlexNet-level accuracy with 50x fewer parameters", 2016)


class Fire(nn.Module):
    """1 x 1 to few channels, then 1 x 1 and 3 x 3 side by side to as many each."""

    def __init__(self, in_channels: int, squeeze: int, expand: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(in_channels, squeeze, 1)
        self.squeeze_activation = nn.ReLU()
        self.expand1x1 = nn.Conv2d(squeeze, expand, 1)
        self.expand1x1_activation = nn.ReLU()
        self.expand3x3 = nn.Conv2d(squeeze, expand, 3, padding=1)
        self.expand3x3_activation = nn.ReLU()

    def forward(self, x: Any) -> Any:
        x = nn.chain(x, self.squeeze, self.squeeze_activation)
        one = nn.chain(x, self.expand1x1, self.expand1x1_activation)
        three = nn.chain(x, self.expand3x3, self.expand3x3_activation)
        return F.concat([one, three], 1)


class SqueezeNet(nn.Module):
    """A convolution, eight fire modules, a convolution to the classes. Input 3 x 224 x 224, at least 21."""

    def __init__(self, features: nn.Sequential, num_classes: int = 1000, dropout: float = 0.5) -> None:
        super().__init__()
        self.features = features
        final = nn.Conv2d(512, num_classes, 1)
        self.classifier = nn.Sequential(nn.Dropout(dropout), final, nn.ReLU(), nn.AdaptiveAvgPool2d(1))
        self.flatten = nn.Flatten()
        initialise(self, conv=nn.init.kaiming_uniform_)
        nn.init.normal_(final.weight, std=0.01)

    def forward(self, x: Any) -> Any:
        return self.flatten(self.classifier(self.features(x)))


def pool() -> nn.Module:
    """3 x 3 / 2, windows counted upwards."""
    return nn.MaxPool2d(3, 2, ceil_mode=True)


@register_model(1_248_424, 818_924_576, PAPER)
def squeezenet1_0(num_classes: int = 1000, dropout: float = 0.5) -> SqueezeNet:
    """SqueezeNet as published: 1,248,424 parameters, 0.82 GMAC; top-5 error in the paper 19.7 %."""
    features = nn.Sequential(
        nn.Conv2d(3, 96, 7, stride=2), nn.ReLU(), pool(),
        Fire(96, 16, 64), Fire(128, 16, 64), Fire(128, 32, 128), pool(),
        Fire(256, 32, 128), Fire(256, 48, 192), Fire(384, 48, 192), Fire(384, 64, 256), pool(),
        Fire(512, 64, 256),
    )  # fmt: skip
    return SqueezeNet(features, num_classes, dropout)


@register_model(1_235_496, 349_151_936, PAPER)
def squeezenet1_1(num_classes: int = 1000, dropout: float = 0.5) -> SqueezeNet:
    """SqueezeNet 1.1, as accurate for less work: 1,235,496 parameters, 0.35 GMAC."""
    features = nn.Sequential(
        nn.Conv2d(3, 64, 3, stride=2), nn.ReLU(), pool(),
        Fire(64, 16, 64), Fire(128, 16, 64), pool(),
        Fire(128, 32, 128), Fire(256, 32, 128), pool(),
        Fire(256, 48, 192), Fire(384, 48, 192), Fire(384, 64, 256), Fire(512, 64, 256),
    )  # fmt: skip
    return SqueezeNet(features, num_classes, dropout)

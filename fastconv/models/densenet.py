"""DenseNet. Huang, Liu, van der Maaten and Weinberger: Densely Connected Convolutional Networks, 2016."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from .. import nn
from ..nn import functional as F
from ..ops._arrays import Array
from ._blocks import initialise
from ._registry import Paper, register_model

PAPER = Paper("Huang, Liu, van der Maaten and Weinberger", "Densely Connected Convolutional Networks", 2016)


class DenseLayer(nn.Module):
    """Batch norm, ReLU, 1 x 1 to 4 growth channels, batch norm, ReLU, 3 x 3 to `growth` channels."""

    folds = (("conv1", "norm2"),)

    def __init__(self, in_channels: int, growth: int, drop_rate: float) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(in_channels)
        self.relu1 = nn.ReLU()
        self.conv1 = nn.Conv2d(in_channels, 4 * growth, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(4 * growth)
        self.relu2 = nn.ReLU()
        self.conv2 = nn.Conv2d(4 * growth, growth, 3, padding=1, bias=False)
        self.drop = nn.Dropout(drop_rate)

    def forward(self, x: Any) -> Any:
        return nn.chain(x, *self.children())


class DenseBlock(nn.Module):
    """Layers "denselayer1", ...: each sees the input and the results of all layers before it."""

    def __init__(self, depth: int, in_channels: int, growth: int, drop_rate: float) -> None:
        super().__init__()
        for i in range(depth):
            setattr(self, f"denselayer{i + 1}", DenseLayer(in_channels + i * growth, growth, drop_rate))

    def forward(self, x: Any) -> Any:
        for layer in self.children():
            x = F.concat([x, layer(x)], 1)
        return x


def transition(in_channels: int) -> nn.Sequential:
    """Half the channels, half the pixels each way."""
    return nn.Sequential(
        {
            "norm": nn.BatchNorm2d(in_channels),
            "relu": nn.ReLU(),
            "conv": nn.Conv2d(in_channels, in_channels // 2, 1, bias=False),
            "pool": nn.AvgPool2d(2),
        }
    )


class DenseNet(nn.Module):
    """Four dense blocks with transitions between them. Input 3 x 224 x 224, at least 29."""

    def __init__(
        self,
        growth: int,
        depths: tuple[int, int, int, int],
        channels: int,
        num_classes: int = 1000,
        drop_rate: float = 0.0,
    ) -> None:
        super().__init__()
        layers: dict[str, nn.Module] = {
            "conv0": nn.Conv2d(3, channels, 7, stride=2, padding=3, bias=False),
            "norm0": nn.BatchNorm2d(channels),
            "relu0": nn.ReLU(),
            "pool0": nn.MaxPool2d(3, 2, padding=1),
        }
        for i, depth in enumerate(depths, start=1):
            layers[f"denseblock{i}"] = DenseBlock(depth, channels, growth, drop_rate)
            channels += depth * growth
            if i < len(depths):
                layers[f"transition{i}"] = transition(channels)
                channels //= 2
        layers["norm5"] = nn.BatchNorm2d(channels)
        self.features = nn.Sequential(layers)
        self.relu = nn.ReLU()
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.classifier = nn.Linear(channels, num_classes)
        initialise(self, conv=nn.init.kaiming_normal_)

    def forward(self, x: Any) -> Any:
        return nn.chain(x, *self.children())


def without_dots(state: Mapping[str, Array]) -> Mapping[str, Array]:
    """torchvision's files spell a dense layer's names with a dot ("norm.1.weight") that its modules do not have."""
    return {re.sub(r"(denselayer\d+\.(?:norm|conv))\.([12])\.", r"\1\2.", key): value for key, value in state.items()}


@register_model(7_978_856, 2_834_161_664, PAPER, adapt=without_dots)
def densenet121(num_classes: int = 1000, drop_rate: float = 0.0) -> DenseNet:
    """DenseNet-121: 7,978,856 parameters, 2.83 GMAC."""
    return DenseNet(32, (6, 12, 24, 16), 64, num_classes, drop_rate)


@register_model(28_681_000, 7_727_907_072, PAPER, adapt=without_dots)
def densenet161(num_classes: int = 1000, drop_rate: float = 0.0) -> DenseNet:
    """DenseNet-161: 28,681,000 parameters, 7.73 GMAC."""
    return DenseNet(48, (6, 12, 36, 24), 96, num_classes, drop_rate)


@register_model(14_149_480, 3_359_843_328, PAPER, adapt=without_dots)
def densenet169(num_classes: int = 1000, drop_rate: float = 0.0) -> DenseNet:
    """DenseNet-169: 14,149,480 parameters, 3.36 GMAC."""
    return DenseNet(32, (6, 12, 32, 32), 64, num_classes, drop_rate)


@register_model(20_013_928, 4_291_365_888, PAPER, adapt=without_dots)
def densenet201(num_classes: int = 1000, drop_rate: float = 0.0) -> DenseNet:
    """DenseNet-201: 20,013,928 parameters, 4.29 GMAC."""
    return DenseNet(32, (6, 12, 48, 32), 64, num_classes, drop_rate)

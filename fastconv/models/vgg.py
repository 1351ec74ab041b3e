"""VGG. Simonyan and Zisserman: Very Deep Convolutional Networks for Large-Scale Image Recognition, 2014."""

from __future__ import annotations

from functools import partial
from typing import Any

from .. import nn
from ._blocks import initialise
from ._registry import Paper, register_model

PAPER = Paper("Simonyan and Zisserman", "Very Deep Convolutional Networks for Large-Scale Image Recognition", 2014)

# Channels of the 3 x 3 convolutions; 0 is a 2 x 2 max pooling. The letters are the columns of the paper's Table 1.
A = (64, 0, 128, 0, 256, 256, 0, 512, 512, 0, 512, 512, 0)
B = (64, 64, 0, 128, 128, 0, 256, 256, 0, 512, 512, 0, 512, 512, 0)
D = (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512, 0)
E = (64, 64, 0, 128, 128, 0, 256, 256, 256, 256, 0, 512, 512, 512, 512, 0, 512, 512, 512, 512, 0)


def vgg_features(column: tuple[int, ...], batch_norm: bool = False) -> nn.Sequential:
    """The convolutional part of a column."""
    layers: list[nn.Module] = []
    channels = 3
    for width in column:
        if width == 0:
            layers.append(nn.MaxPool2d(2))
        else:
            norm = [nn.BatchNorm2d(width)] if batch_norm else []
            layers += [nn.Conv2d(channels, width, 3, padding=1), *norm, nn.ReLU()]
            channels = width
    return nn.Sequential(*layers)


class VGG(nn.Module):
    """3 x 3 convolutions and 2 x 2 pooling, then three fully connected layers. Input 3 x 224 x 224, at least 32."""

    def __init__(self, features: nn.Sequential, num_classes: int = 1000, dropout: float = 0.5) -> None:
        super().__init__()
        self.features = features
        self.avgpool = nn.AdaptiveAvgPool2d((7, 7))
        self.flatten = nn.Flatten()
        self.classifier = nn.Sequential(
            nn.Linear(512 * 7 * 7, 4096), nn.ReLU(), nn.Dropout(dropout),
            nn.Linear(4096, 4096), nn.ReLU(), nn.Dropout(dropout),
            nn.Linear(4096, num_classes),
        )  # fmt: skip
        initialise(
            self, conv=partial(nn.init.kaiming_normal_, mode="fan_out"), linear=partial(nn.init.normal_, std=0.01)
        )

    def forward(self, x: Any) -> Any:
        return self.classifier(self.flatten(self.avgpool(self.features(x))))


@register_model(132_863_336, 7_609_090_048, PAPER)
def vgg11(num_classes: int = 1000, dropout: float = 0.5) -> VGG:
    """VGG-11, column A: 132,863,336 parameters, 7.61 GMAC."""
    return VGG(vgg_features(A), num_classes, dropout)


@register_model(132_868_840, 7_609_090_048, PAPER)
def vgg11_bn(num_classes: int = 1000, dropout: float = 0.5) -> VGG:
    """VGG-11 with batch norm: 132,868,840 parameters, 7.61 GMAC."""
    return VGG(vgg_features(A, batch_norm=True), num_classes, dropout)


@register_model(133_047_848, 11_308_466_176, PAPER)
def vgg13(num_classes: int = 1000, dropout: float = 0.5) -> VGG:
    """VGG-13, column B: 133,047,848 parameters, 11.31 GMAC."""
    return VGG(vgg_features(B), num_classes, dropout)


@register_model(133_053_736, 11_308_466_176, PAPER)
def vgg13_bn(num_classes: int = 1000, dropout: float = 0.5) -> VGG:
    """VGG-13 with batch norm: 133,053,736 parameters, 11.31 GMAC."""
    return VGG(vgg_features(B, batch_norm=True), num_classes, dropout)


@register_model(138_357_544, 15_470_264_320, PAPER, top5_error=7.32)
def vgg16(num_classes: int = 1000, dropout: float = 0.5) -> VGG:
    """VGG-16, column D: 138,357,544 parameters, 15.47 GMAC; top-5 error in the paper 7.32 % (an ensemble)."""
    return VGG(vgg_features(D), num_classes, dropout)


@register_model(138_365_992, 15_470_264_320, PAPER)
def vgg16_bn(num_classes: int = 1000, dropout: float = 0.5) -> VGG:
    """VGG-16 with batch norm: 138,365,992 parameters, 15.47 GMAC."""
    return VGG(vgg_features(D, batch_norm=True), num_classes, dropout)


@register_model(143_667_240, 19_632_062_464, PAPER)
def vgg19(num_classes: int = 1000, dropout: float = 0.5) -> VGG:
    """VGG-19, column E: 143,667,240 parameters, 19.63 GMAC."""
    return VGG(vgg_features(E), num_classes, dropout)


@register_model(143_678_248, 19_632_062_464, PAPER)
def vgg19_bn(num_classes: int = 1000, dropout: float = 0.5) -> VGG:
    """VGG-19 with batch norm: 143,678,248 parameters, 19.63 GMAC."""
    return VGG(vgg_features(E, batch_norm=True), num_classes, dropout)

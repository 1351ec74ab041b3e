"""EfficientNet. Tan and Le: EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks, 2019."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

from .. import nn
from ..nn import functional as F
from ._blocks import conv_norm, initialise
from ._registry import Builder, Paper, register_model

PAPER = Paper("Tan and Le", "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks", 2019)

# Table 1 of the paper, B0: expansion, kernel, stride of the first, channels, repeats.
SETTINGS = (
    (1, 3, 1, 16, 1),
    (6, 3, 2, 24, 2),
    (6, 5, 2, 40, 2),
    (6, 3, 2, 80, 3),
    (6, 5, 1, 112, 3),
    (6, 5, 2, 192, 4),
    (6, 3, 1, 320, 1),
)


def scaled(channels: float) -> int:
    """The nearest multiple of 8, but no less than nine tenths."""
    nearest = max(8, int(channels + 4) // 8 * 8)
    return nearest + 8 if nearest < 0.9 * channels else nearest


class SqueezeExcitation(nn.Module):
    """x times sigmoid(fc2(silu(fc1(mean of x)))) per channel. Hu, Shen and Sun, 2017."""

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc1 = nn.Conv2d(channels, squeezed, 1)
        self.activation = nn.SiLU()
        self.fc2 = nn.Conv2d(squeezed, channels, 1)
        self.scale_activation = nn.Sigmoid()

    def forward(self, x: Any) -> Any:
        return F.scale_channels(x, nn.chain(x, *self.children()))


class MBConv(nn.Module):
    """1 x 1 expansion, depthwise, squeeze and excitation, 1 x 1 projection; a shortcut where shapes agree."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel: int, stride: int, expand: int, drop: float, norm: Any
    ) -> None:
        super().__init__()
        hidden = scaled(in_channels * expand)
        layers: list[nn.Module] = []
        if hidden != in_channels:
            layers.append(conv_norm(in_channels, hidden, activation=nn.SiLU, norm=norm))
        layers += [
            conv_norm(hidden, hidden, kernel, stride, groups=hidden, activation=nn.SiLU, norm=norm),
            SqueezeExcitation(hidden, max(1, in_channels // 4)),
            conv_norm(hidden, out_channels, norm=norm),
        ]
        self.block = nn.Sequential(*layers)
        self.stochastic_depth = nn.StochasticDepth(drop)
        self.residual = stride == 1 and in_channels == out_channels

    def forward(self, x: Any) -> Any:
        if not self.residual:
            return self.block(x)
        *layers, projection = self.block
        y = nn.chain(x, *layers)
        if self.training:
            return self.stochastic_depth(projection(y)) + x
        return nn.chain(y, *projection.children(), residual=x)


class EfficientNet(nn.Module):
    """B0's blocks, `width` times as wide and `depth` times as many."""

    def __init__(
        self,
        width: float,
        depth: float,
        dropout: float,
        num_classes: int = 1000,
        stochastic_depth: float = 0.2,
        eps: float = 1e-5,
        momentum: float = 0.1,
    ) -> None:
        super().__init__()
        norm = partial(nn.BatchNorm2d, eps=eps, momentum=momentum)
        channels = scaled(32 * width)
        stages: list[nn.Module] = [conv_norm(3, channels, 3, 2, activation=nn.SiLU, norm=norm)]
        repeats = [math.ceil(depth * setting[-1]) for setting in SETTINGS]
        number = 0
        for (expand, kernel, stride, base, _), count in zip(SETTINGS, repeats, strict=True):
            blocks = []
            for i in range(count):
                drop = stochastic_depth * number / sum(repeats)
                blocks.append(
                    MBConv(channels, scaled(base * width), kernel, stride if i == 0 else 1, expand, drop, norm)
                )
                channels, number = scaled(base * width), number + 1
            stages.append(nn.Sequential(*blocks))
        self.features = nn.Sequential(*stages, conv_norm(channels, 4 * channels, activation=nn.SiLU, norm=norm))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.classifier = nn.Sequential(nn.Dropout(dropout), nn.Linear(4 * channels, num_classes))
        bound = 1 / math.sqrt(num_classes)
        initialise(
            self,
            conv=partial(nn.init.kaiming_normal_, mode="fan_out"),
            linear=partial(nn.init.uniform_, a=-bound, b=bound),
        )

    def forward(self, x: Any) -> Any:
        return nn.chain(x, *self.children())


def _register(
    parameters: int, macs: int, size: int, resize: int, top5_error: float | None = None
) -> Callable[[Builder], Builder]:
    return register_model(parameters, macs, PAPER, input_size=(3, size, size), resize=resize, top5_error=top5_error)


@_register(5_288_548, 385_814_752, 224, 256)
def efficientnet_b0(num_classes: int = 1000) -> EfficientNet:
    """EfficientNet-B0: 5,288,548 parameters, 0.386 GMAC at 224 x 224."""
    return EfficientNet(1.0, 1.0, 0.2, num_classes)


@_register(7_794_184, 686_802_832, 240, 256)
def efficientnet_b1(num_classes: int = 1000) -> EfficientNet:
    """EfficientNet-B1: 7,794,184 parameters, 0.687 GMAC at 240 x 240."""
    return EfficientNet(1.0, 1.1, 0.2, num_classes)


@_register(9_109_994, 1_087_529_456, 288, 288)
def efficientnet_b2(num_classes: int = 1000) -> EfficientNet:
    """EfficientNet-B2: 9,109,994 parameters, 1.09 GMAC at 288 x 288 (torchvision's size; the paper's is 260)."""
    return EfficientNet(1.1, 1.2, 0.3, num_classes)


@_register(12_233_232, 1_827_141_392, 300, 320)
def efficientnet_b3(num_classes: int = 1000) -> EfficientNet:
    """EfficientNet-B3: 12,233,232 parameters, 1.83 GMAC at 300 x 300."""
    return EfficientNet(1.2, 1.4, 0.3, num_classes)


@_register(19_341_616, 4_393_771_024, 380, 384)
def efficientnet_b4(num_classes: int = 1000) -> EfficientNet:
    """EfficientNet-B4: 19,341,616 parameters, 4.39 GMAC at 380 x 380."""
    return EfficientNet(1.4, 1.8, 0.4, num_classes)


@_register(30_389_784, 10_266_384_752, 456, 456)
def efficientnet_b5(num_classes: int = 1000) -> EfficientNet:
    """EfficientNet-B5: 30,389,784 parameters, 10.3 GMAC at 456 x 456. Batch norm from here on: eps 1e-3, momentum 0.01."""
    return EfficientNet(1.6, 2.2, 0.4, num_classes, eps=1e-3, momentum=0.01)


@_register(43_040_704, 19_067_593_536, 528, 528)
def efficientnet_b6(num_classes: int = 1000) -> EfficientNet:
    """EfficientNet-B6: 43,040,704 parameters, 19.1 GMAC at 528 x 528."""
    return EfficientNet(1.8, 2.6, 0.5, num_classes, eps=1e-3, momentum=0.01)


@_register(66_347_960, 37_745_884_192, 600, 600, top5_error=2.9)
def efficientnet_b7(num_classes: int = 1000) -> EfficientNet:
    """EfficientNet-B7: 66,347,960 parameters, 37.7 GMAC at 600 x 600; top-5 error in the paper 2.9 %."""
    return EfficientNet(2.0, 3.1, 0.5, num_classes, eps=1e-3, momentum=0.01)

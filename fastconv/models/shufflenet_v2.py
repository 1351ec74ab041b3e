"""ShuffleNet v2. Ma, Zhang, Zheng and Sun: ShuffleNet V2: Practical Guidelines for Efficient CNN Design, 2018."""

from __future__ import annotations

from typing import Any

from .. import nn
from ..nn import functional as F
from ._registry import Paper, register_model

PAPER = Paper("Ma, Zhang, Zheng and Sun", "ShuffleNet V2: Practical Guidelines for Efficient CNN Design", 2018)


def pointwise(in_channels: int, out_channels: int) -> list[nn.Module]:
    """1 x 1 convolution, batch norm, ReLU."""
    return [nn.Conv2d(in_channels, out_channels, 1, bias=False), nn.BatchNorm2d(out_channels), nn.ReLU()]


def depthwise(channels: int, stride: int) -> list[nn.Module]:
    """3 x 3 depthwise convolution, batch norm."""
    conv = nn.Conv2d(channels, channels, 3, stride, 1, groups=channels, bias=False)
    return [conv, nn.BatchNorm2d(channels)]


class InvertedResidual(nn.Module):
    """At stride 1 half of the channels pass unchanged; at stride 2 both branches see all. Then channels are shuffled."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        half = out_channels // 2
        self.split = half if stride == 1 else 0
        first = [] if self.split else [*depthwise(in_channels, stride), *pointwise(in_channels, half)]
        self.branch1 = nn.Sequential(*first)
        self.branch2 = nn.Sequential(
            *pointwise(half if self.split else in_channels, half), *depthwise(half, stride), *pointwise(half, half)
        )

    def forward(self, x: Any) -> Any:
        left, right = (x[:, : self.split], x[:, self.split :]) if self.split else (x, x)
        return F.channel_shuffle(F.concat([self.branch1(left), self.branch2(right)], 1), 2)


class ShuffleNetV2(nn.Module):
    """3 x 3 / 2 stem, three stages of shuffled blocks, a 1 x 1 convolution. Input 3 x 224 x 224, or any size."""

    def __init__(self, widths: tuple[int, int, int, int, int], num_classes: int = 1000) -> None:
        super().__init__()
        stem, *stages, head = widths
        conv = nn.Conv2d(3, stem, 3, stride=2, padding=1, bias=False)
        self.conv1 = nn.Sequential(conv, nn.BatchNorm2d(stem), nn.ReLU())
        self.maxpool = nn.MaxPool2d(3, 2, padding=1)
        channels = stem
        for i, (width, repeats) in enumerate(zip(stages, (4, 8, 4), strict=True), start=2):
            blocks = [InvertedResidual(channels, width, 2)]
            blocks += [InvertedResidual(width, width, 1) for _ in range(repeats - 1)]
            setattr(self, f"stage{i}", nn.Sequential(*blocks))
            channels = width
        self.conv5 = nn.Sequential(*pointwise(channels, head))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.fc = nn.Linear(head, num_classes)

    def forward(self, x: Any) -> Any:
        return nn.chain(x, *self.children())


@register_model(2_278_604, 144_907_992, PAPER)
def shufflenet_v2_x1_0(num_classes: int = 1000) -> ShuffleNetV2:
    """ShuffleNet v2, width 1: 2,278,604 parameters, 0.145 GMAC."""
    return ShuffleNetV2((24, 116, 232, 464, 1024), num_classes)

"""Inception-v4, timm's. Szegedy et al.: Inception-v4, Inception-ResNet and the Impact of Residual Connections, 2016."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .. import nn
from ..nn import functional as F
from ._blocks import ConvNormReLU
from ._registry import Paper, register_model

PAPER = Paper(
    "Szegedy, Ioffe, Vanhoucke and Alemi", "Inception-v4, Inception-ResNet and the Impact of Residual Connections", 2016
)


def row(in_channels: int, out_channels: int, size: int = 7) -> ConvNormReLU:
    """1 x size convolution that keeps the image's size."""
    return ConvNormReLU(in_channels, out_channels, (1, size), padding=(0, size // 2))


def column(in_channels: int, out_channels: int, size: int = 7) -> ConvNormReLU:
    """size x 1 convolution that keeps the image's size."""
    return ConvNormReLU(in_channels, out_channels, (size, 1), padding=(size // 2, 0))


def average() -> nn.Module:
    """3 x 3 average that leaves the padding out of the count, as TensorFlow does."""
    return nn.AvgPool2d(3, 1, 1, count_include_pad=False)


def pool_conv(in_channels: int, out_channels: int) -> nn.Module:
    """Average, then a 1 x 1 convolution."""
    return nn.Sequential(average(), ConvNormReLU(in_channels, out_channels, 1))


def mixed_3a() -> nn.Module:
    """147 x 147 to 73 x 73 pixels."""
    return nn.Concat(maxpool=nn.MaxPool2d(3, 2), conv=ConvNormReLU(64, 96, 3, stride=2))


def mixed_4a() -> nn.Module:
    """73 x 73 to 71 x 71 pixels."""
    return nn.Concat(
        branch0=nn.Sequential(ConvNormReLU(160, 64, 1), ConvNormReLU(64, 96, 3)),
        branch1=nn.Sequential(ConvNormReLU(160, 64, 1), row(64, 64), column(64, 64), ConvNormReLU(64, 96, 3)),
    )


def mixed_5a() -> nn.Module:
    """71 x 71 to 35 x 35 pixels."""
    return nn.Concat(conv=ConvNormReLU(192, 192, 3, stride=2), maxpool=nn.MaxPool2d(3, 2))


def inception_a() -> nn.Module:
    """35 x 35 pixels, 384 channels."""
    return nn.Concat(
        branch0=ConvNormReLU(384, 96, 1),
        branch1=nn.Sequential(ConvNormReLU(384, 64, 1), ConvNormReLU(64, 96, 3, padding=1)),
        branch2=nn.Sequential(
            ConvNormReLU(384, 64, 1), ConvNormReLU(64, 96, 3, padding=1), ConvNormReLU(96, 96, 3, padding=1)
        ),
        branch3=pool_conv(384, 96),
    )


def reduction_a() -> nn.Module:
    """35 x 35 to 17 x 17 pixels."""
    return nn.Concat(
        branch0=ConvNormReLU(384, 384, 3, stride=2),
        branch1=nn.Sequential(
            ConvNormReLU(384, 192, 1), ConvNormReLU(192, 224, 3, padding=1), ConvNormReLU(224, 256, 3, stride=2)
        ),
        branch2=nn.MaxPool2d(3, 2),
    )


def inception_b() -> nn.Module:
    """17 x 17 pixels, 1,024 channels."""
    return nn.Concat(
        branch0=ConvNormReLU(1024, 384, 1),
        branch1=nn.Sequential(ConvNormReLU(1024, 192, 1), row(192, 224), column(224, 256)),
        branch2=nn.Sequential(
            ConvNormReLU(1024, 192, 1), column(192, 192), row(192, 224), column(224, 224), row(224, 256)
        ),
        branch3=pool_conv(1024, 128),
    )


def reduction_b() -> nn.Module:
    """17 x 17 to 8 x 8 pixels."""
    return nn.Concat(
        branch0=nn.Sequential(ConvNormReLU(1024, 192, 1), ConvNormReLU(192, 192, 3, stride=2)),
        branch1=nn.Sequential(
            ConvNormReLU(1024, 256, 1), row(256, 256), column(256, 320), ConvNormReLU(320, 320, 3, stride=2)
        ),
        branch2=nn.MaxPool2d(3, 2),
    )


class InceptionC(nn.Module):
    """8 x 8 pixels, 1,536 channels; two branches end in 1 x 3 and 3 x 1 side by side."""

    def __init__(self) -> None:
        super().__init__()
        self.branch0 = ConvNormReLU(1536, 256, 1)
        self.branch1_0 = ConvNormReLU(1536, 384, 1)
        self.branch1_1a = row(384, 256, 3)
        self.branch1_1b = column(384, 256, 3)
        self.branch2_0 = ConvNormReLU(1536, 384, 1)
        self.branch2_1 = column(384, 448, 3)
        self.branch2_2 = row(448, 512, 3)
        self.branch2_3a = row(512, 256, 3)
        self.branch2_3b = column(512, 256, 3)
        self.branch3 = pool_conv(1536, 256)

    def forward(self, x: Any) -> Any:
        one = self.branch1_0(x)
        two = self.branch2_2(self.branch2_1(self.branch2_0(x)))
        ends = [self.branch1_1a(one), self.branch1_1b(one), self.branch2_3a(two), self.branch2_3b(two)]
        return F.concat([self.branch0(x), *ends, self.branch3(x)], 1)


class InceptionV4(nn.Module):
    """Input 3 x 299 x 299, at least 75."""

    def __init__(self, num_classes: int = 1000, dropout: float = 0.0) -> None:
        super().__init__()
        repeats: list[tuple[Callable[[], nn.Module], int]] = [
            (inception_a, 4), (reduction_a, 1), (inception_b, 7), (reduction_b, 1), (InceptionC, 3)
        ]  # fmt: skip
        self.features = nn.Sequential(
            ConvNormReLU(3, 32, 3, stride=2),
            ConvNormReLU(32, 32, 3),
            ConvNormReLU(32, 64, 3, padding=1),
            mixed_3a(),
            mixed_4a(),
            mixed_5a(),
            *(block() for block, times in repeats for _ in range(times)),
        )
        self.global_pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.head_drop = nn.Dropout(dropout)
        self.last_linear = nn.Linear(1536, num_classes)

    def forward(self, x: Any) -> Any:
        return self.last_linear(self.head_drop(self.flatten(self.global_pool(self.features(x)))))


@register_model(
    42_679_816,
    12_253_974_624,
    PAPER,
    "timm inception_v4",
    input_size=(3, 299, 299),
    resize=342,
    mean=(0.5,) * 3,
    std=(0.5,) * 3,
)
def inception_v4(num_classes: int = 1000, dropout: float = 0.0) -> InceptionV4:
    """Inception-v4: 42,679,816 parameters, 12.25 GMAC."""
    return InceptionV4(num_classes, dropout)

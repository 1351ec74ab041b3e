"""Inception-ResNet-v2, timm's. Szegedy et al., 2016: the paper of Inception-v4."""

from __future__ import annotations

from typing import Any

from .. import nn
from ..nn import functional as F
from ._blocks import ConvNormReLU
from ._registry import register_model
from .inception_v4 import PAPER, column, pool_conv, row


def mixed_5b() -> nn.Module:
    """35 x 35 pixels, 192 to 320 channels."""
    return nn.Concat(
        branch0=ConvNormReLU(192, 96, 1),
        branch1=nn.Sequential(ConvNormReLU(192, 48, 1), ConvNormReLU(48, 64, 5, padding=2)),
        branch2=nn.Sequential(
            ConvNormReLU(192, 64, 1), ConvNormReLU(64, 96, 3, padding=1), ConvNormReLU(96, 96, 3, padding=1)
        ),
        branch3=pool_conv(192, 64),
    )


def mixed_6a() -> nn.Module:
    """35 x 35 to 17 x 17 pixels, 320 to 1,088 channels."""
    return nn.Concat(
        branch0=ConvNormReLU(320, 384, 3, stride=2),
        branch1=nn.Sequential(
            ConvNormReLU(320, 256, 1), ConvNormReLU(256, 256, 3, padding=1), ConvNormReLU(256, 384, 3, stride=2)
        ),
        branch2=nn.MaxPool2d(3, 2),
    )


def mixed_7a() -> nn.Module:
    """17 x 17 to 8 x 8 pixels, 1,088 to 2,080 channels."""
    return nn.Concat(
        branch0=nn.Sequential(ConvNormReLU(1088, 256, 1), ConvNormReLU(256, 384, 3, stride=2)),
        branch1=nn.Sequential(ConvNormReLU(1088, 256, 1), ConvNormReLU(256, 288, 3, stride=2)),
        branch2=nn.Sequential(
            ConvNormReLU(1088, 256, 1), ConvNormReLU(256, 288, 3, padding=1), ConvNormReLU(288, 320, 3, stride=2)
        ),
        branch3=nn.MaxPool2d(3, 2),
    )


class Residual(nn.Module):
    """relu(x + scale * conv2d(branches side by side)); with relu=False the sum itself."""

    def __init__(self, channels: int, joined: int, scale: float, relu: bool = True, **branches: nn.Module) -> None:
        super().__init__()
        self.names = tuple(branches)
        for name, branch in branches.items():
            setattr(self, name, branch)
        self.conv2d = nn.Conv2d(joined, channels, 1)
        self.scale = scale
        self.act = nn.ReLU() if relu else nn.Identity()

    def forward(self, x: Any) -> Any:
        y = self.conv2d(F.concat([getattr(self, name)(x) for name in self.names], 1))
        return self.act(y * self.scale + x)


def block35() -> nn.Module:
    """35 x 35 pixels, 320 channels."""
    return Residual(
        320,
        128,
        0.17,
        branch0=ConvNormReLU(320, 32, 1),
        branch1=nn.Sequential(ConvNormReLU(320, 32, 1), ConvNormReLU(32, 32, 3, padding=1)),
        branch2=nn.Sequential(
            ConvNormReLU(320, 32, 1), ConvNormReLU(32, 48, 3, padding=1), ConvNormReLU(48, 64, 3, padding=1)
        ),
    )


def block17() -> nn.Module:
    """17 x 17 pixels, 1,088 channels."""
    return Residual(
        1088,
        384,
        0.10,
        branch0=ConvNormReLU(1088, 192, 1),
        branch1=nn.Sequential(ConvNormReLU(1088, 128, 1), row(128, 160), column(160, 192)),
    )


def block8(scale: float = 0.20, relu: bool = True) -> nn.Module:
    """8 x 8 pixels, 2,080 channels."""
    return Residual(
        2080,
        448,
        scale,
        relu,
        branch0=ConvNormReLU(2080, 192, 1),
        branch1=nn.Sequential(ConvNormReLU(2080, 192, 1), row(192, 224, 3), column(224, 256, 3)),
    )


class InceptionResnetV2(nn.Module):
    """Input 3 x 299 x 299, at least 75."""

    def __init__(self, num_classes: int = 1000, dropout: float = 0.0) -> None:
        super().__init__()
        self.conv2d_1a = ConvNormReLU(3, 32, 3, stride=2)
        self.conv2d_2a = ConvNormReLU(32, 32, 3)
        self.conv2d_2b = ConvNormReLU(32, 64, 3, padding=1)
        self.maxpool_3a = nn.MaxPool2d(3, 2)
        self.conv2d_3b = ConvNormReLU(64, 80, 1)
        self.conv2d_4a = ConvNormReLU(80, 192, 3)
        self.maxpool_5a = nn.MaxPool2d(3, 2)
        self.mixed_5b = mixed_5b()
        self.repeat = nn.Sequential(*(block35() for _ in range(10)))
        self.mixed_6a = mixed_6a()
        self.repeat_1 = nn.Sequential(*(block17() for _ in range(20)))
        self.mixed_7a = mixed_7a()
        self.repeat_2 = nn.Sequential(*(block8() for _ in range(9)))
        self.block8 = block8(scale=1.0, relu=False)
        self.conv2d_7b = ConvNormReLU(2080, 1536, 1)
        self.global_pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.head_drop = nn.Dropout(dropout)
        self.classif = nn.Linear(1536, num_classes)

    def forward(self, x: Any) -> Any:
        return nn.chain(x, *self.children())


@register_model(
    55_843_464,
    13_155_794_016,
    PAPER,
    "timm inception_resnet_v2",
    input_size=(3, 299, 299),
    resize=333,
    mean=(0.5,) * 3,
    std=(0.5,) * 3,
)
def inception_resnet_v2(num_classes: int = 1000, dropout: float = 0.0) -> InceptionResnetV2:
    """Inception-ResNet-v2: 55,843,464 parameters, 13.16 GMAC."""
    return InceptionResnetV2(num_classes, dropout)

"""MobileNet v1 and v2: depthwise separable convolutions. Howard et al., 2017; Sandler et al., 2018."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

from .. import nn
from ._blocks import conv_norm, initialise
from ._registry import Paper, register_model

V1 = Paper("Howard et al.", "MobileNets: Efficient CNNs for Mobile Vision Applications", 2017)
V2 = Paper("Sandler et al.", "MobileNetV2: Inverted Residuals and Linear Bottlenecks", 2018)


class DepthwiseSeparable(nn.Module):
    """3 x 3 depthwise and 1 x 1 convolution, each with batch norm and ReLU6."""

    folds = (("conv_dw", "bn1"), ("conv_pw", "bn2"))

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.conv_dw = nn.Conv2d(in_channels, in_channels, 3, stride, 1, groups=in_channels, bias=False)
        self.bn1 = nn.BatchNorm2d(in_channels)
        self.act1 = nn.ReLU6()
        self.conv_pw = nn.Conv2d(in_channels, out_channels, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.act2 = nn.ReLU6()

    def forward(self, x: Any) -> Any:
        return nn.chain(x, *self.children())


class MobileNetV1(nn.Module):
    """A 3 x 3 / 2 stem and thirteen depthwise separable blocks. Input 3 x 224 x 224, or any size."""

    folds = (("conv_stem", "bn1"),)

    def __init__(self, num_classes: int = 1000, dropout: float = 0.0) -> None:
        super().__init__()
        self.conv_stem = nn.Conv2d(3, 32, 3, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(32)
        self.act1 = nn.ReLU6()
        stages, channels = [], 32
        for stage, (width, depth) in enumerate(((64, 1), (128, 2), (256, 2), (512, 6), (1024, 2))):
            strides = (1 if stage == 0 else 2, *(1,) * (depth - 1))
            blocks = [DepthwiseSeparable(width if i else channels, width, stride) for i, stride in enumerate(strides)]
            stages.append(nn.Sequential(*blocks))
            channels = width
        self.blocks = nn.Sequential(*stages)
        self.global_pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.drop = nn.Dropout(dropout)
        self.classifier = nn.Linear(channels, num_classes)
        self._initialise()

    def _initialise(self) -> None:
        # timm's: N(0, sqrt(2 / fan_out)), where a group's filters share the fan-out; linear U(+-1 / sqrt(out)).
        for _, module in self.named_modules():
            if isinstance(module, nn.Conv2d):
                fan_out = math.prod(module.kernel_size) * module.out_channels // module.groups
                nn.init.normal_(module.weight, std=math.sqrt(2 / fan_out))
        bound = 1 / math.sqrt(self.classifier.out_features)
        initialise(self, linear=partial(nn.init.uniform_, a=-bound, b=bound))

    def forward(self, x: Any) -> Any:
        return nn.chain(x, *self.children())


@register_model(4_231_976, 568_740_352, V1, "timm mobilenetv1_100", mean=(0.5,) * 3, std=(0.5,) * 3)
def mobilenet_v1(num_classes: int = 1000, dropout: float = 0.0) -> MobileNetV1:
    """MobileNet v1, width 1: 4,231,976 parameters, 0.569 GMAC."""
    return MobileNetV1(num_classes, dropout)


class InvertedResidual(nn.Module):
    """1 x 1 to `expand` times the channels, 3 x 3 depthwise, 1 x 1 without activation; a shortcut where shapes agree."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, expand: int) -> None:
        super().__init__()
        hidden = in_channels * expand
        layers = [] if expand == 1 else [conv_norm(in_channels, hidden, activation=nn.ReLU6)]
        self.conv = nn.Sequential(
            *layers,
            conv_norm(hidden, hidden, 3, stride, groups=hidden, activation=nn.ReLU6),
            nn.Conv2d(hidden, out_channels, 1, bias=False),
            nn.BatchNorm2d(out_channels),
        )
        self.residual = stride == 1 and in_channels == out_channels

    def forward(self, x: Any) -> Any:
        return nn.chain(x, *self.conv, residual=x if self.residual else None)


# Table 2 of the paper: expansion, channels, repeats, stride of the first.
SETTINGS = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))


class MobileNetV2(nn.Module):
    """Seventeen inverted residual blocks between two convolutions. Input 3 x 224 x 224, or any size."""

    def __init__(self, num_classes: int = 1000, dropout: float = 0.2) -> None:
        super().__init__()
        layers: list[nn.Module] = [conv_norm(3, 32, 3, 2, activation=nn.ReLU6)]
        channels = 32
        for expand, width, repeats, stride in SETTINGS:
            for i in range(repeats):
                layers.append(InvertedResidual(channels, width, stride if i == 0 else 1, expand))
                channels = width
        self.features = nn.Sequential(*layers, conv_norm(channels, 1280, activation=nn.ReLU6))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.classifier = nn.Sequential(nn.Dropout(dropout), nn.Linear(1280, num_classes))
        initialise(
            self, conv=partial(nn.init.kaiming_normal_, mode="fan_out"), linear=partial(nn.init.normal_, std=0.01)
        )

    def forward(self, x: Any) -> Any:
        return nn.chain(x, *self.children())


@register_model(3_504_872, 300_774_272, V2)
def mobilenet_v2(num_classes: int = 1000, dropout: float = 0.2) -> MobileNetV2:
    """MobileNet v2, width 1: 3,504,872 parameters, 0.301 GMAC."""
    return MobileNetV2(num_classes, dropout)

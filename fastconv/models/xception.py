"""Xception, timm's. Chollet: Xception: Deep Learning with Depthwise Separable Convolutions, 2016."""

from __future__ import annotations

from functools import partial
from typing import Any

from .. import nn
from ._blocks import initialise
from ._registry import Paper, register_model

PAPER = Paper("Chollet", "Xception: Deep Learning with Depthwise Separable Convolutions", 2016)


class SeparableConv2d(nn.Module):
    """3 x 3 depthwise, then 1 x 1."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, in_channels, 3, padding=1, groups=in_channels, bias=False)
        self.pointwise = nn.Conv2d(in_channels, out_channels, 1, bias=False)

    def forward(self, x: Any) -> Any:
        return nn.chain(x, self.conv1, self.pointwise)

    def forward_fused(self, x: Any, activation: str | None, residual: Any = None) -> Any:
        """activation(self(x) + residual), the last two steps in one kernel."""
        return self.pointwise.forward_fused(self.conv1(x), activation, residual)


class Block(nn.Module):
    """Separable convolutions, each after a ReLU (the first may do without) and before a batch norm, and a shortcut."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        reps: int,
        stride: int = 1,
        start_with_relu: bool = True,
        grow_first: bool = True,
    ) -> None:
        super().__init__()
        self.skip = None
        if out_channels != in_channels or stride != 1:
            self.skip = nn.Conv2d(in_channels, out_channels, 1, stride, bias=False)
            self.skipbn = nn.BatchNorm2d(out_channels)
        grown = 0 if grow_first else reps - 1  # the convolution that widens
        layers: list[nn.Module] = []
        for i in range(reps):
            before, after = (in_channels if i <= grown else out_channels), (in_channels if i < grown else out_channels)
            layers += [nn.ReLU(), SeparableConv2d(before, after), nn.BatchNorm2d(after)]
        layers = layers if start_with_relu else layers[1:]
        separable = range(int(start_with_relu), len(layers), 3)
        skip = [] if self.skip is None else [("skip", "skipbn")]
        self.folds = (*((f"rep.{i}.pointwise", f"rep.{i + 1}") for i in separable), *skip)
        self.rep = nn.Sequential(*layers, *([nn.MaxPool2d(3, stride, 1)] if stride != 1 else []))

    def forward(self, x: Any) -> Any:
        shortcut = x if self.skip is None else nn.chain(x, self.skip, self.skipbn)
        return nn.chain(x, *self.rep, residual=shortcut)


class Xception(nn.Module):
    """Input 3 x 299 x 299, or any size from 71."""

    folds = (("conv1", "bn1"), ("conv2", "bn2"), ("conv3.pointwise", "bn3"), ("conv4.pointwise", "bn4"))

    def __init__(self, num_classes: int = 1000, dropout: float = 0.0) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 32, 3, stride=2, bias=False)
        self.bn1 = nn.BatchNorm2d(32)
        self.act1 = nn.ReLU()
        self.conv2 = nn.Conv2d(32, 64, 3, bias=False)
        self.bn2 = nn.BatchNorm2d(64)
        self.act2 = nn.ReLU()
        self.block1 = Block(64, 128, 2, 2, start_with_relu=False)
        self.block2 = Block(128, 256, 2, 2)
        self.block3 = Block(256, 728, 2, 2)
        for i in range(4, 12):
            setattr(self, f"block{i}", Block(728, 728, 3))
        self.block12 = Block(728, 1024, 2, 2, grow_first=False)
        self.conv3 = SeparableConv2d(1024, 1536)
        self.bn3 = nn.BatchNorm2d(1536)
        self.act3 = nn.ReLU()
        self.conv4 = SeparableConv2d(1536, 2048)
        self.bn4 = nn.BatchNorm2d(2048)
        self.act4 = nn.ReLU()
        self.global_pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.drop = nn.Dropout(dropout)
        self.fc = nn.Linear(2048, num_classes)
        initialise(self, conv=partial(nn.init.kaiming_normal_, mode="fan_out"), zero_biases=())

    def forward(self, x: Any) -> Any:
        return nn.chain(x, *self.children())


@register_model(
    22_855_952,
    8_357_403_496,
    PAPER,
    "timm legacy_xception",
    input_size=(3, 299, 299),
    resize=333,
    mean=(0.5,) * 3,
    std=(0.5,) * 3,
    top5_error=5.5,
)
def xception(num_classes: int = 1000, dropout: float = 0.0) -> Xception:
    """Xception: 22,855,952 parameters, 8.36 GMAC; top-5 error in the paper 5.5 %."""
    return Xception(num_classes, dropout)

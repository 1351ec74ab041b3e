"""ResNet, ResNeXt, Wide ResNet. He, Zhang, Ren and Sun: Deep Residual Learning for Image Recognition, 2015.

Blocks stride in the 3 x 3 convolution ("V1.5"), as torchvision's do, but for the `_v1` builders: they stride in the
first 1 x 1, as the paper does.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from .. import nn
from ._blocks import initialise
from ._registry import Paper, register_model

RESNET = Paper("He, Zhang, Ren and Sun", "Deep Residual Learning for Image Recognition", 2015)
RESNEXT = Paper("Xie et al.", "Aggregated Residual Transformations for Deep Neural Networks", 2016)
WIDE = Paper("Zagoruyko and Komodakis", "Wide Residual Networks", 2016)


def conv3x3(in_channels: int, out_channels: int, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    """3 x 3 convolution with padding, without bias."""
    return nn.Conv2d(in_channels, out_channels, 3, stride, 1, groups=groups, bias=False)


def conv1x1(in_channels: int, out_channels: int, stride: int = 1) -> nn.Conv2d:
    """1 x 1 convolution without bias."""
    return nn.Conv2d(in_channels, out_channels, 1, stride, bias=False)


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions and the shortcut."""

    expansion = 1
    folds = (("conv1", "bn1"), ("conv2", "bn2"))

    def __init__(
        self,
        in_channels: int,
        width: int,
        stride: int = 1,
        downsample: nn.Module | None = None,
        groups: int = 1,
        base_width: int = 64,
        first_strides: bool = False,
    ) -> None:
        super().__init__()
        self.conv1 = conv3x3(in_channels, width, stride)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU()
        self.conv2 = conv3x3(width, width)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = downsample

    def forward(self, x: Any) -> Any:
        shortcut = x if self.downsample is None else self.downsample(x)
        x = nn.chain(x, self.conv1, self.bn1, self.relu)
        return nn.chain(x, self.conv2, self.bn2, self.relu, residual=shortcut)


class Bottleneck(nn.Module):
    """1 x 1, 3 x 3, 1 x 1 convolutions and the shortcut; `first_strides` puts the stride into the first, as the paper."""

    expansion = 4
    folds = (("conv1", "bn1"), ("conv2", "bn2"), ("conv3", "bn3"))

    def __init__(
        self,
        in_channels: int,
        width: int,
        stride: int = 1,
        downsample: nn.Module | None = None,
        groups: int = 1,
        base_width: int = 64,
        first_strides: bool = False,
    ) -> None:
        super().__init__()
        inner, outer = width * base_width // 64 * groups, width * self.expansion
        first, second = (stride, 1) if first_strides else (1, stride)
        self.conv1 = conv1x1(in_channels, inner, first)
        self.bn1 = nn.BatchNorm2d(inner)
        self.conv2 = conv3x3(inner, inner, second, groups)
        self.bn2 = nn.BatchNorm2d(inner)
        self.conv3 = conv1x1(inner, outer)
        self.bn3 = nn.BatchNorm2d(outer)
        self.relu = nn.ReLU()
        self.downsample = downsample

    def forward(self, x: Any) -> Any:
        shortcut = x if self.downsample is None else self.downsample(x)
        x = nn.chain(x, self.conv1, self.bn1, self.relu, self.conv2, self.bn2, self.relu)
        return nn.chain(x, self.conv3, self.bn3, self.relu, residual=shortcut)


class ResNet(nn.Module):
    """7 x 7 / 2 stem, four stages of blocks, global average pooling. Input 3 x 224 x 224, or any size."""

    folds = (("conv1", "bn1"),)

    def __init__(
        self,
        block: type[BasicBlock] | type[Bottleneck],
        layers: tuple[int, int, int, int],
        num_classes: int = 1000,
        groups: int = 1,
        base_width: int = 64,
        first_strides: bool = False,
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU()
        self.maxpool = nn.MaxPool2d(3, 2, padding=1)
        make_block = partial(block, groups=groups, base_width=base_width, first_strides=first_strides)
        channels = 64
        for stage, depth in enumerate(layers):
            width, stride = 64 << stage, 1 if stage == 0 else 2
            outer = width * block.expansion
            downsample = None
            if stride != 1 or channels != outer:
                downsample = nn.Sequential(conv1x1(channels, outer, stride), nn.BatchNorm2d(outer))
            blocks = [make_block(channels, width, stride, downsample)]
            blocks += [make_block(outer, width) for _ in range(depth - 1)]
            setattr(self, f"layer{stage + 1}", nn.Sequential(*blocks))
            channels = outer
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.fc = nn.Linear(channels, num_classes)
        initialise(self, conv=partial(nn.init.kaiming_normal_, mode="fan_out"), zero_biases=())

    layer1: nn.Sequential
    layer2: nn.Sequential
    layer3: nn.Sequential
    layer4: nn.Sequential

    def forward(self, x: Any) -> Any:
        x = self.maxpool(nn.chain(x, self.conv1, self.bn1, self.relu))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(self.flatten(self.avgpool(x)))


@register_model(11_689_512, 1_814_073_344, RESNET)
def resnet18(num_classes: int = 1000) -> ResNet:
    """ResNet-18: 11,689,512 parameters, 1.81 GMAC."""
    return ResNet(BasicBlock, (2, 2, 2, 2), num_classes)


@register_model(21_797_672, 3_663_761_408, RESNET)
def resnet34(num_classes: int = 1000) -> ResNet:
    """ResNet-34: 21,797,672 parameters, 3.66 GMAC."""
    return ResNet(BasicBlock, (3, 4, 6, 3), num_classes)


@register_model(25_557_032, 4_089_184_256, RESNET)
def resnet50(num_classes: int = 1000) -> ResNet:
    """ResNet-50 (V1.5): 25,557,032 parameters, 4.09 GMAC."""
    return ResNet(Bottleneck, (3, 4, 6, 3), num_classes)


@register_model(44_549_160, 7_801_405_440, RESNET)
def resnet101(num_classes: int = 1000) -> ResNet:
    """ResNet-101 (V1.5): 44,549,160 parameters, 7.80 GMAC."""
    return ResNet(Bottleneck, (3, 4, 23, 3), num_classes)


@register_model(60_192_808, 11_513_626_624, RESNET, top5_error=3.57)
def resnet152(num_classes: int = 1000) -> ResNet:
    """ResNet-152 (V1.5): 60,192,808 parameters, 11.5 GMAC; top-5 error of the paper's ensemble 3.57 %."""
    return ResNet(Bottleneck, (3, 8, 36, 3), num_classes)


@register_model(25_557_032, 3_857_973_248, RESNET, "own")
def resnet50_v1(num_classes: int = 1000) -> ResNet:
    """ResNet-50 as published, the stride in the first 1 x 1: 25,557,032 parameters, 3.8 GMAC."""
    return ResNet(Bottleneck, (3, 4, 6, 3), num_classes, first_strides=True)


@register_model(44_549_160, 7_570_194_432, RESNET, "own")
def resnet101_v1(num_classes: int = 1000) -> ResNet:
    """ResNet-101 as published: 44,549,160 parameters, 7.6 GMAC."""
    return ResNet(Bottleneck, (3, 4, 23, 3), num_classes, first_strides=True)


@register_model(60_192_808, 11_282_415_616, RESNET, "own", top5_error=3.57)
def resnet152_v1(num_classes: int = 1000) -> ResNet:
    """ResNet-152 as published: 60,192,808 parameters, 11.3 GMAC; top-5 error of the paper's ensemble 3.57 %."""
    return ResNet(Bottleneck, (3, 8, 36, 3), num_classes, first_strides=True)


@register_model(25_028_904, 4_230_479_872, RESNEXT)
def resnext50_32x4d(num_classes: int = 1000) -> ResNet:
    """ResNeXt-50, 32 groups of 4 channels: 25,028,904 parameters, 4.23 GMAC."""
    return ResNet(Bottleneck, (3, 4, 6, 3), num_classes, groups=32, base_width=4)


@register_model(68_883_240, 11_398_021_120, WIDE)
def wide_resnet50_2(num_classes: int = 1000) -> ResNet:
    """ResNet-50 with 3 x 3 convolutions twice as wide: 68,883,240 parameters, 11.4 GMAC."""
    return ResNet(Bottleneck, (3, 4, 6, 3), num_classes, base_width=128)

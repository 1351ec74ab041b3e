"""ResNet for CIFAR-10: section 4.2 of He et al., 2015. Names of akamaster/pytorch_resnet_cifar10's weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .. import nn
from ..nn import functional as F
from ._blocks import initialise
from ._registry import Builder, register_model
from .resnet import RESNET, conv3x3

NAMES = "akamaster/pytorch_resnet_cifar10"


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions; the shortcut has no parameters (option A: every other pixel, new channels zero)."""

    folds = (("conv1", "bn1"), ("conv2", "bn2"))

    def __init__(self, in_channels: int, width: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = conv3x3(in_channels, width, stride)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU()
        self.conv2 = conv3x3(width, width)
        self.bn2 = nn.BatchNorm2d(width)
        self.stride, self.new_channels = stride, width - in_channels

    def shortcut(self, x: Any) -> Any:
        """x thinned out by the stride, its channels in the middle of the block's."""
        if self.stride == 1 and not self.new_channels:
            return x
        before = self.new_channels // 2
        return F.pad_channels(x[:, :, :: self.stride, :: self.stride], before, self.new_channels - before)

    def forward(self, x: Any) -> Any:
        y = nn.chain(x, self.conv1, self.bn1, self.relu)
        return nn.chain(y, self.conv2, self.bn2, self.relu, residual=self.shortcut(x))


class CifarResNet(nn.Module):
    """3 x 3 stem, three stages of 16, 32, 64 channels, global average pooling: 6 depth + 2 layers. Input 3 x 32 x 32."""

    folds = (("conv1", "bn1"),)

    def __init__(self, depth: int, num_classes: int = 10) -> None:
        super().__init__()
        self.conv1 = conv3x3(3, 16)
        self.bn1 = nn.BatchNorm2d(16)
        self.relu = nn.ReLU()
        self.layer1 = self._stage(16, 16, depth, 1)
        self.layer2 = self._stage(16, 32, depth, 2)
        self.layer3 = self._stage(32, 64, depth, 2)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.linear = nn.Linear(64, num_classes)
        initialise(self, conv=nn.init.kaiming_normal_, linear=nn.init.kaiming_normal_, zero_biases=())

    @staticmethod
    def _stage(in_channels: int, width: int, depth: int, stride: int) -> nn.Sequential:
        blocks = [BasicBlock(in_channels, width, stride), *(BasicBlock(width, width) for _ in range(depth - 1))]
        return nn.Sequential(*blocks)

    def forward(self, x: Any) -> Any:
        x = nn.chain(x, self.conv1, self.bn1, self.relu)
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.linear(self.flatten(self.avgpool(x)))


def _register(parameters: int, macs: int) -> Callable[[Builder], Builder]:
    return register_model(parameters, macs, RESNET, NAMES, input_size=(3, 32, 32), num_classes=10, resize=32)


@_register(269_722, 40_551_040)
def resnet20(num_classes: int = 10) -> CifarResNet:
    """ResNet-20 for CIFAR-10: 269,722 parameters, 40.6 MMAC; error in the paper 8.75 %."""
    return CifarResNet(3, num_classes)


@_register(464_154, 68_862_592)
def resnet32(num_classes: int = 10) -> CifarResNet:
    """ResNet-32 for CIFAR-10: 464,154 parameters, 68.9 MMAC; error in the paper 7.51 %."""
    return CifarResNet(5, num_classes)


@_register(658_586, 97_174_144)
def resnet44(num_classes: int = 10) -> CifarResNet:
    """ResNet-44 for CIFAR-10: 658,586 parameters, 97.2 MMAC; error in the paper 7.17 %."""
    return CifarResNet(7, num_classes)


@_register(853_018, 125_485_696)
def resnet56(num_classes: int = 10) -> CifarResNet:
    """ResNet-56 for CIFAR-10: 853,018 parameters, 125.5 MMAC; error in the paper 6.97 %."""
    return CifarResNet(9, num_classes)


@_register(1_727_962, 252_887_680)
def resnet110(num_classes: int = 10) -> CifarResNet:
    """ResNet-110 for CIFAR-10: 1,727,962 parameters, 252.9 MMAC; error in the paper 6.43 %."""
    return CifarResNet(18, num_classes)

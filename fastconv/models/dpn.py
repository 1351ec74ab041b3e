"""Dual Path Networks, timm's. Chen et al.: Dual Path Networks, 2017."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .. import nn
from ..nn import functional as F
from ._blocks import ConvNormReLU
from ._registry import Builder, Paper, register_model

PAPER = Paper("Chen, Li, Xiao, Jin, Yan and Feng", "Dual Path Networks", 2017)
MEAN = (124 / 255, 117 / 255, 104 / 255)
STD = (1 / (255 * 0.0167),) * 3


class NormReLU(nn.Module):
    """`bn`, then ReLU."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bn = nn.BatchNorm2d(channels, eps=1e-3)
        self.relu = nn.ReLU()

    def forward(self, x: Any) -> Any:
        return nn.chain(x, self.bn, self.relu)


class NormReLUConv(nn.Module):
    """`bn`, ReLU, `conv` without bias."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int = 1, stride: int = 1, groups: int = 1
    ) -> None:
        super().__init__()
        self.bn = nn.BatchNorm2d(in_channels, eps=1e-3)
        self.relu = nn.ReLU()
        padding = kernel_size // 2
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding, groups=groups, bias=False)

    def forward(self, x: Any) -> Any:
        return nn.chain(x, self.bn, self.relu, self.conv)


class DualPathBlock(nn.Module):
    """A bottleneck whose first `residual` channels are added to the path, and whose `growth` others join it.

    stride is None where the path goes on as it is, else that of the convolution which makes a new one (of which 2 growth
    channels are the dense part).
    """

    folds = (("c1x1_a.conv", "c3x3_b.bn"), ("c3x3_b.conv", "c1x1_c.bn"))

    def __init__(
        self, in_channels: int, inner: int, residual: int, growth: int, groups: int, stride: int | None = None
    ) -> None:
        super().__init__()
        self.residual = residual
        self.path = None if stride is None else f"c1x1_w_s{stride}"
        if self.path is not None:
            setattr(self, self.path, NormReLUConv(in_channels, residual + 2 * growth, stride=stride or 1))
        self.c1x1_a = NormReLUConv(in_channels, inner)
        self.c3x3_b = NormReLUConv(inner, inner, 3, stride or 1, groups)
        self.c1x1_c = NormReLUConv(inner, residual + growth)

    def forward(self, x: Any) -> Any:
        path = x if self.path is None else getattr(self, self.path)(x)
        y = self._inner(x)
        k = self.residual
        return F.concat([F.add(path[:, :k], y[:, :k]), path[:, k:], y[:, k:]], 1)

    def _inner(self, x: Any) -> Any:
        a, b, c = self.c1x1_a, self.c3x3_b, self.c1x1_c
        return nn.chain(x, *a.children(), *b.children(), *c.children())


class DPN(nn.Module):
    """A stem, four stages of dual path blocks, global average pooling; the classifier is a 1 x 1 convolution."""

    def __init__(
        self,
        stem: int,
        inner: int,
        groups: int,
        depths: tuple[int, int, int, int],
        growths: tuple[int, int, int, int],
        num_classes: int = 1000,
        small: bool = False,
    ) -> None:
        super().__init__()
        kernel = 3 if small else 7
        layers: dict[str, nn.Module] = {
            "conv1_1": ConvNormReLU(3, stem, kernel, 2, kernel // 2),
            "conv1_pool": nn.MaxPool2d(3, 2, padding=1),
        }
        channels = stem
        for i, (depth, growth) in enumerate(zip(depths, growths, strict=True)):
            width, residual = inner << i, (64 if small else 256) << i
            for j in range(depth):
                stride = None if j else 1 if i == 0 else 2
                layers[f"conv{i + 2}_{j + 1}"] = DualPathBlock(channels, width, residual, growth, groups, stride)
                channels = channels + growth if j else residual + 3 * growth
        layers["conv5_bn_ac"] = NormReLU(channels)
        self.features = nn.Sequential(layers)
        self.global_pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Conv2d(channels, num_classes, 1)
        self.flatten = nn.Flatten()

    def forward(self, x: Any) -> Any:
        return nn.chain(x, *self.children())


def _register(parameters: int, macs: int, names: str) -> Callable[[Builder], Builder]:
    return register_model(parameters, macs, PAPER, f"timm {names}", mean=MEAN, std=STD)


@_register(12_611_602, 2_326_163_456, "dpn68")
def dpn68(num_classes: int = 1000) -> DPN:
    """DPN-68: 12,611,602 parameters, 2.33 GMAC."""
    return DPN(10, 128, 32, (3, 4, 12, 3), (16, 32, 32, 64), num_classes, small=True)


@_register(37_668_392, 6_501_684_224, "dpn92")
def dpn92(num_classes: int = 1000) -> DPN:
    """DPN-92: 37,668,392 parameters, 6.50 GMAC."""
    return DPN(64, 96, 32, (3, 4, 20, 3), (16, 32, 24, 128), num_classes)


@_register(61_570_728, 11_671_217_152, "dpn98")
def dpn98(num_classes: int = 1000) -> DPN:
    """DPN-98: 61,570,728 parameters, 11.7 GMAC."""
    return DPN(96, 160, 40, (3, 6, 20, 3), (16, 32, 32, 128), num_classes)


@_register(86_917_800, 18_298_764_288, "dpn107")
def dpn107(num_classes: int = 1000) -> DPN:
    """DPN-107: 86,917,800 parameters, 18.3 GMAC."""
    return DPN(128, 200, 50, (4, 8, 20, 3), (20, 64, 64, 128), num_classes)


@_register(79_254_504, 16_013_648_896, "dpn131")
def dpn131(num_classes: int = 1000) -> DPN:
    """DPN-131: 79,254,504 parameters, 16.0 GMAC."""
    return DPN(128, 160, 40, (4, 8, 28, 3), (16, 32, 32, 128), num_classes)

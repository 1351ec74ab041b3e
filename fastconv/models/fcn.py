"""Fully convolutional networks on VGG-16. Long, Shelhamer and Darrell: FCNs for Semantic Segmentation, 2015.

Names of wkentaro/pytorch-fcn's weights. As published, the first convolution pads by 100 pixels, so that any image is
large enough for the 7 x 7 of fc6, and crops take the surplus off again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from .. import nn
from ..nn import functional as F
from ..ops._arrays import Array
from ._blocks import initialise
from ._registry import Builder, Paper, register_model

PAPER = Paper("Long, Shelhamer and Darrell", "Fully Convolutional Networks for Semantic Segmentation", 2015)

# VGG-16: convolutions of each block, and their channels.
BLOCKS = ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))


def bilinear_weight(channels: int, size: int) -> Array:
    """(channels, channels, size, size): a transposed convolution by it interpolates each channel bilinearly.

    A kernel of 2 stride (or 2 stride - 1) taps is a tent: 1 - |i - centre| / factor, factor = (size + 1) // 2.
    """
    factor = (size + 1) // 2
    centre = factor - 1 if size % 2 else factor - 0.5
    tent = 1 - np.abs(np.arange(size) - centre) / factor
    weight = np.zeros((channels, channels, size, size), np.float32)
    weight[range(channels), range(channels)] = np.outer(tent, tent)
    return weight


def upscore(channels: int, stride: int) -> nn.ConvTranspose2d:
    """Transposed convolution that begins as bilinear interpolation by `stride`."""
    layer = nn.ConvTranspose2d(channels, channels, 2 * stride, stride, bias=False)
    layer.weight.data = bilinear_weight(channels, 2 * stride)
    return layer


def crop(x: Any, offset: int, like: Any) -> Any:
    """The part of x from (offset, offset) on that has the height and width of `like`."""
    h, w = like.shape[2:]
    return x[:, :, offset : offset + h, offset : offset + w]


class FCN(nn.Module):
    """Scores of each class for every pixel of an image of any size, from strides of 32, 16 or 8 pixels."""

    def __init__(self, stride: int, num_classes: int = 21, dropout: float = 0.5) -> None:
        super().__init__()
        self.stride = stride
        channels = 3
        for i, (depth, width) in enumerate(BLOCKS, start=1):
            for j in range(1, depth + 1):
                padding = 100 if i == j == 1 else 1
                setattr(self, f"conv{i}_{j}", nn.Conv2d(channels, width, 3, padding=padding))
                channels = width
        self.relu = nn.ReLU()
        self.pool = nn.MaxPool2d(2, 2, ceil_mode=True)
        self.drop = nn.Dropout(dropout)
        self.fc6 = nn.Conv2d(512, 4096, 7)
        self.fc7 = nn.Conv2d(4096, 4096, 1)
        self.score_fr = nn.Conv2d(4096, num_classes, 1)
        if stride == 32:
            self.upscore = upscore(num_classes, 32)
        elif stride == 16:
            self.score_pool4 = nn.Conv2d(512, num_classes, 1)
            self.upscore2 = upscore(num_classes, 2)
            self.upscore16 = upscore(num_classes, 16)
        else:
            self.score_pool3 = nn.Conv2d(256, num_classes, 1)
            self.score_pool4 = nn.Conv2d(512, num_classes, 1)
            self.upscore2 = upscore(num_classes, 2)
            self.upscore8 = upscore(num_classes, 8)
            self.upscore_pool4 = upscore(num_classes, 2)
        initialise(self, conv=partial(nn.init.kaiming_normal_, mode="fan_out"))

    def forward(self, x: Any) -> Any:
        pools = []
        y = x
        for i, (depth, _) in enumerate(BLOCKS, start=1):
            for j in range(1, depth + 1):
                y = nn.chain(y, getattr(self, f"conv{i}_{j}"), self.relu)
            y = self.pool(y)
            pools.append(y)
        y = nn.chain(y, self.fc6, self.relu, self.drop, self.fc7, self.relu, self.drop, self.score_fr)
        if self.stride == 32:
            return crop(self.upscore(y), 19, x)
        y = self.upscore2(y)
        y = F.add(y, crop(self.score_pool4(pools[3]), 5, y))
        if self.stride == 16:
            return crop(self.upscore16(y), 27, x)
        y = self.upscore_pool4(y)
        y = F.add(y, crop(self.score_pool3(pools[2]), 9, y))
        return crop(self.upscore8(y), 31, x)


def from_vgg16(state: Mapping[str, Array]) -> dict[str, Array]:
    """What VGG-16's weights give: its convolutions, and its first two linear layers as fc6 and fc7.

    Load with strict=False: the layers that score and upsample begin anew (section 4.1).
    """
    names = [f"conv{i}_{j}" for i, (depth, _) in enumerate(BLOCKS, start=1) for j in range(1, depth + 1)]
    layers = [f"features.{i}" for i in (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)]
    layers += ["classifier.0", "classifier.3"]
    adapted = {}
    for name, layer in zip([*names, "fc6", "fc7"], layers, strict=True):
        weight = state[f"{layer}.weight"]
        shape = {"fc6": (4096, 512, 7, 7), "fc7": (4096, 4096, 1, 1)}.get(name, weight.shape)
        adapted[f"{name}.weight"], adapted[f"{name}.bias"] = weight.reshape(shape), state[f"{layer}.bias"]
    return adapted


def _register(parameters: int, macs: int) -> Callable[[Builder], Builder]:
    names = "wkentaro/pytorch-fcn"
    return register_model(parameters, macs, PAPER, names, task="segmentation", num_classes=21, resize=224)


@_register(136_152_917, 62_787_564_288)
def fcn32s(num_classes: int = 21, dropout: float = 0.5) -> FCN:
    """FCN-32s: 136,152,917 parameters, 62.8 GMAC at 224 x 224, which the padding makes 422 x 422."""
    return FCN(32, num_classes, dropout)


@_register(134_815_994, 62_826_561_792)
def fcn16s(num_classes: int = 21, dropout: float = 0.5) -> FCN:
    """FCN-16s: 134,815,994 parameters, 62.8 GMAC at 224 x 224, which the padding makes 422 x 422."""
    return FCN(16, num_classes, dropout)


@_register(134_489_759, 62_860_657_728)
def fcn8s(num_classes: int = 21, dropout: float = 0.5) -> FCN:
    """FCN-8s: 134,489,759 parameters, 62.9 GMAC at 224 x 224, which the padding makes 422 x 422."""
    return FCN(8, num_classes, dropout)

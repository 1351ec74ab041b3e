"""LeNet-5. LeCun, Bottou, Bengio and Haffner: Gradient-Based Learning Applied to Document Recognition, 1998."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import nn, ops
from ..ops._arrays import Array
from ._registry import Paper, register_model

PAPER = Paper("LeCun, Bottou, Bengio and Haffner", "Gradient-Based Learning Applied to Document Recognition", 1998)


class LeNet5(nn.Module):
    """The form taught today: full C3, average pooling, tanh, softmax-ready logits. Input 1 x 32 x 32."""

    def __init__(self, num_classes: int = 10) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 6, 5), nn.Tanh(), nn.AvgPool2d(2), nn.Conv2d(6, 16, 5), nn.Tanh(), nn.AvgPool2d(2)
        )
        self.classifier = nn.Sequential(
            nn.Flatten(), nn.Linear(400, 120), nn.Tanh(), nn.Linear(120, 84), nn.Tanh(), nn.Linear(84, num_classes)
        )

    def forward(self, x: Any) -> Any:
        return self.classifier(self.features(x))


@register_model(
    61_706, 416_520, PAPER, "own", input_size=(1, 32, 32), num_classes=10, resize=28, mean=(0.0,), std=(1.0,)
)
def lenet5(num_classes: int = 10) -> LeNet5:
    """LeNet-5 as taught today: 61,706 parameters, 416,520 multiply-adds on 1 x 32 x 32."""
    return LeNet5(num_classes)


# Table I of the paper: which of S2's six maps each of C3's sixteen maps sees.
C3_TABLE = (
    (0, 1, 2),
    (1, 2, 3),
    (2, 3, 4),
    (3, 4, 5),
    (0, 4, 5),
    (0, 1, 5),
    (0, 1, 2, 3),
    (1, 2, 3, 4),
    (2, 3, 4, 5),
    (0, 3, 4, 5),
    (0, 1, 4, 5),
    (0, 1, 2, 5),
    (0, 1, 3, 4),
    (1, 2, 4, 5),
    (0, 2, 3, 5),
    (0, 1, 2, 3, 4, 5),
)

# Targets of the output units: each digit drawn on 7 x 12 pixels, as section II-B and Figure 3 of the paper do.
# The paper's own bitmaps are an image; these are drawn anew in their style.
DIGITS = """
.#####. ...##.. .#####. .#####. ....##. ####### ..####. ####### .#####. .#####.
##...## ..###.. ##...## ##...## ...###. ##..... .##.... ##...## ##...## ##...##
##...## .####.. .....## .....## ..#.##. ##..... ##..... .....## ##...## ##...##
##...## ...##.. .....## .....## .#..##. ##..... ##..... ....##. ##...## ##...##
##...## ...##.. ....##. ..####. ##..##. #####.. #####.. ....##. .#####. ##...##
##...## ...##.. ...##.. .....## ##..##. ....##. ##..##. ...##.. ##...## .######
##...## ...##.. ..##... .....## ####### .....## ##...## ...##.. ##...## .....##
##...## ...##.. .##.... .....## ....##. .....## ##...## ..##... ##...## .....##
##...## ...##.. ##..... .....## ....##. .....## ##...## ..##... ##...## .....##
##...## ...##.. ##..... ##...## ....##. ##...## ##...## ..##... ##...## ....##.
.#####. .###### ####### .#####. ....##. .#####. .#####. ..##... .#####. .####..
....... ....... ....... ....... ....... ....... ....... ....... ....... .......
"""


def digit_targets() -> Array:
    """(10, 84) of +1 (ink) and -1."""
    rows = [line.split() for line in DIGITS.strip().splitlines()]
    return np.array(
        [[1.0 if pixel == "#" else -1.0 for row in rows for pixel in row[digit]] for digit in range(10)], np.float32
    )


class ScaledTanh(nn.Module):
    """1.7159 tanh(2/3 x): appendix A of the paper."""

    def forward(self, x: Any) -> Array:
        one = x.dtype.type
        y: Array = ops.tanh(x * one(2 / 3)) * one(1.7159)
        return y


class TrainablePool2d(nn.Module):
    """weight times the sum of each 2 x 2 block, plus bias, per channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(nn.init.uniform((channels,), 4))
        self.bias = nn.Parameter(nn.init.uniform((channels,), 4))

    def forward(self, x: Any) -> Array:
        zeros = np.zeros(self.weight.shape, self.weight.dtype)
        sums = self.weight.data * self.weight.dtype.type(4)  # of the average
        return ops.batch_norm(ops.avg_pool2d(x, 2), zeros, zeros + zeros.dtype.type(1), sums, self.bias.data, eps=0.0)


class SparseConv2d(nn.Module):
    """A convolution whose filters see only some channels: one R x S kernel per connection of `table`."""

    def __init__(self, in_channels: int, table: tuple[tuple[int, ...], ...], kernel_size: int) -> None:
        super().__init__()
        self.in_channels, self.table, self.kernel_size = in_channels, table, kernel_size
        connections = sum(len(row) for row in table)
        fan_in = kernel_size * kernel_size * connections // len(table)
        self.weight = nn.Parameter(nn.init.uniform((connections, kernel_size, kernel_size), fan_in))
        self.bias = nn.Parameter(nn.init.uniform((len(table),), fan_in))

    def dense_weight(self) -> Array:
        """(K, C, R, S) with zeros where there is no connection."""
        size = self.kernel_size
        weight = np.zeros((len(self.table), self.in_channels, size, size), self.weight.dtype)
        filters = [k for k, row in enumerate(self.table) for _ in row]
        weight[filters, [c for row in self.table for c in row]] = self.weight.data
        return weight

    def forward(self, x: Any) -> Array:
        return ops.conv2d(ops.channels_last(x), self.dense_weight(), self.bias.data)


class LeNet5Of1998(nn.Module):
    """The paper's network, layer by layer; outputs are minus the squared distances to the digits' bitmaps."""

    def __init__(self) -> None:
        super().__init__()
        self.c1 = nn.Conv2d(1, 6, 5)
        self.s2 = TrainablePool2d(6)
        self.c3 = SparseConv2d(6, C3_TABLE, 5)
        self.s4 = TrainablePool2d(16)
        self.c5 = nn.Conv2d(16, 120, 5)
        self.f6 = nn.Linear(120, 84)
        self.squash = ScaledTanh()
        self.targets: Array
        self.register_buffer("targets", digit_targets())

    def forward(self, x: Any) -> Any:
        x = self.squash(self.c1(x))
        x = self.squash(self.s2(x))
        x = self.squash(self.c3(x))
        x = self.squash(self.s4(x))
        x = self.squash(self.c5(x))
        x = self.squash(self.f6(x.reshape(x.shape[0], 120)))
        # -|x - t|^2 = 2 x.t - |t|^2 - |x|^2; |t|^2 = 84, since every target is +1 or -1.
        squares = np.square(x.astype(np.float32)).sum(axis=1, keepdims=True).astype(x.dtype)
        one = x.dtype.type
        return ops.linear(x, self.targets) * one(2) - one(84) - squares


@register_model(
    60_000,
    325_680,
    PAPER,
    "own",
    input_size=(1, 32, 32),
    num_classes=10,
    resize=28,
    mean=(0.1 / 1.275,),
    std=(1 / 1.275,),
)
def lenet5_1998() -> LeNet5Of1998:
    """LeNet-5 as published: trainable pooling, sparse C3, scaled tanh, RBF outputs; 60,000 trainable parameters.

    Pixels run from -0.1 (background) to 1.175 (ink), as in section III-A of the paper.
    """
    return LeNet5Of1998()

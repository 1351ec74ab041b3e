"""GoogLeNet as published: 5 x 5 convolutions, biases, response normalisation. Szegedy et al., 2014."""

from __future__ import annotations

from typing import Any

from .. import nn
from ._registry import register_model
from .googlenet import PAPER, WIDTHS, GoogLeNetOutputs

AUX_WEIGHT = 0.3
"""What each auxiliary classifier's loss counts for beside the main one's (section 5 of the paper)."""


def conv(in_channels: int, out_channels: int, kernel_size: int, stride: int = 1) -> nn.Sequential:
    """Convolution that keeps the size at stride 1, with bias, and ReLU."""
    return nn.Sequential(nn.Conv2d(in_channels, out_channels, kernel_size, stride, kernel_size // 2), nn.ReLU())


class NaiveInception(nn.Concat):
    """The module without dimension reductions (Figure 2a): 1 x 1, 3 x 3, 5 x 5 and a pool that keeps every channel.

    With (128, 192, 96) it turns 28 x 28 x 256 into 28 x 28 x 672.
    """

    def __init__(self, channels: int, n1: int, n3: int, n5: int) -> None:
        super().__init__(
            branch1=conv(channels, n1, 1),
            branch2=conv(channels, n3, 3),
            branch3=conv(channels, n5, 5),
            branch4=nn.MaxPool2d(3, 1, padding=1),
        )


class Inception(nn.Concat):
    """The module with dimension reductions (Figure 2b)."""

    def __init__(self, channels: int, n1: int, r3: int, n3: int, r5: int, n5: int, pool: int) -> None:
        super().__init__(
            branch1=conv(channels, n1, 1),
            branch2=nn.Sequential(conv(channels, r3, 1), conv(r3, n3, 3)),
            branch3=nn.Sequential(conv(channels, r5, 1), conv(r5, n5, 5)),
            branch4=nn.Sequential(nn.MaxPool2d(3, 1, padding=1), conv(channels, pool, 1)),
        )


def auxiliary(channels: int, num_classes: int) -> nn.Sequential:
    """Auxiliary classifier on 14 x 14 pixels: 5 x 5 / 3 averages, 1 x 1 convolution, two linear layers."""
    return nn.Sequential(
        nn.AvgPool2d(5, 3), conv(channels, 128, 1), nn.Flatten(),
        nn.Linear(2048, 1024), nn.ReLU(), nn.Dropout(0.7), nn.Linear(1024, num_classes),
    )  # fmt: skip


class GoogLeNet2014(nn.Module):
    """Nine Inception modules. Input 3 x 224 x 224.

    In training mode, with aux_logits, the output is a `GoogLeNetOutputs`; `training_loss` weighs it.
    """

    def __init__(self, num_classes: int = 1000, aux_logits: bool = True) -> None:
        super().__init__()

        def pool() -> nn.Module:
            return nn.MaxPool2d(3, 2, ceil_mode=True)

        def response_norm() -> nn.Module:
            return nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75)  # Caffe's form, alpha divided by 5

        self.stem = nn.Sequential(
            conv(3, 64, 7, stride=2), pool(), response_norm(),
            conv(64, 64, 1), conv(64, 192, 3), response_norm(), pool(),
        )  # fmt: skip
        self.inception3 = nn.Sequential(Inception(192, *WIDTHS["3a"]), Inception(256, *WIDTHS["3b"]), pool())
        self.inception4a = Inception(480, *WIDTHS["4a"])
        self.inception4b_to_d = nn.Sequential(*(Inception(512, *WIDTHS[name]) for name in ("4b", "4c", "4d")))
        self.inception4e = nn.Sequential(Inception(528, *WIDTHS["4e"]), pool())
        self.inception5 = nn.Sequential(Inception(832, *WIDTHS["5a"]), Inception(832, *WIDTHS["5b"]))
        self.aux1 = auxiliary(512, num_classes) if aux_logits else None
        self.aux2 = auxiliary(528, num_classes) if aux_logits else None
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.dropout = nn.Dropout(0.4)
        self.linear = nn.Linear(1024, num_classes)

    def forward(self, x: Any) -> Any:
        x = self.inception4a(self.inception3(self.stem(x)))
        y = self.inception4b_to_d(x)
        z = self.avgpool(self.inception5(self.inception4e(y)))
        logits = self.linear(self.dropout(self.flatten(z)))
        if not self.training or self.aux1 is None or self.aux2 is None:
            return logits
        return GoogLeNetOutputs(logits, self.aux2(y), self.aux1(x))


def training_loss(criterion: Any, outputs: GoogLeNetOutputs, target: Any) -> Any:
    """criterion(logits) plus 0.3 of that of each auxiliary classifier."""
    auxiliaries = criterion(outputs.aux_logits2, target) + criterion(outputs.aux_logits1, target)
    return criterion(outputs.logits, target) + AUX_WEIGHT * auxiliaries


@register_model(13_378_280, 1_582_671_872, PAPER, "own", top5_error=6.67)
def googlenet_2014(num_classes: int = 1000, aux_logits: bool = True) -> GoogLeNet2014:
    """GoogLeNet as published: 13,378,280 parameters, 6,998,552 without the auxiliary classifiers; 1.58 GMAC.

    Top-5 error in the paper 6.67 % (an ensemble).
    """
    return GoogLeNet2014(num_classes, aux_logits)

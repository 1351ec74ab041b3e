"""What several families are made of: convolution, batch norm, activation under the names of their checkpoints."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .. import nn
from ..nn import functional as F
from ._registry import IMAGENET_MEAN, IMAGENET_STD


class ConvNormReLU(nn.Module):
    """`conv` without bias, `bn`, ReLU: torchvision's BasicConv2d, timm's ConvNormAct."""

    folds = (("conv", "bn"),)

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: int = 1,
        padding: Any = 0,
        eps: float = 1e-3,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(out_channels, eps=eps)
        self.relu = nn.ReLU()

    def forward(self, x: Any) -> Any:
        return nn.chain(x, self.conv, self.bn, self.relu)


def conv_norm(
    in_channels: int,
    out_channels: int,
    kernel_size: int = 1,
    stride: int = 1,
    groups: int = 1,
    activation: Callable[[], nn.Module] | None = None,
    norm: Callable[[int], nn.Module] = nn.BatchNorm2d,
) -> nn.Sequential:
    """Convolution padded to keep the size at stride 1, batch norm, activation: torchvision's Conv2dNormActivation."""
    conv = nn.Conv2d(in_channels, out_channels, kernel_size, stride, (kernel_size - 1) // 2, groups=groups, bias=False)
    return nn.Sequential(conv, norm(out_channels), *([] if activation is None else [activation()]))


class Renormalise(nn.Module):
    """Images normalised by ImageNet's statistics become (pixel - 0.5) / 0.5: what TensorFlow's weights expect."""

    def forward(self, x: Any) -> Any:
        zeros, ones, scale, shift = (
            np.array(values, x.dtype)
            for values in (
                (0.0,) * 3,
                (1.0,) * 3,
                [s / 0.5 for s in IMAGENET_STD],
                [(m - 0.5) / 0.5 for m in IMAGENET_MEAN],
            )
        )
        return F.batch_norm(x, zeros, ones, scale, shift, eps=0.0)


def initialise(
    model: nn.Module,
    conv: Callable[[nn.Parameter], Any] | None = None,
    linear: Callable[[nn.Parameter], Any] | None = None,
    zero_biases: Sequence[type] = (nn.Conv2d, nn.Linear),
) -> None:
    """Draws the weights of all convolutions and linear layers anew, and zeroes the biases of the given kinds.

    None leaves a kind's weights as the layer drew them.
    """
    for _, module in model.named_modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            draw = conv if isinstance(module, nn.Conv2d) else linear
            if draw is not None:
                draw(module.weight)
            if module.bias is not None and isinstance(module, tuple(zero_biases)):
                nn.init.zeros_(module.bias)

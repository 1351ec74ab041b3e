"""GoogLeNet with batch norm, torchvision's. Szegedy et al.: Going Deeper with Convolutions, 2014."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

from .. import nn
from ..nn import functional as F
from ._blocks import ConvNormReLU, Renormalise, initialise
from ._registry import Paper, register_model

PAPER = Paper("Szegedy et al.", "Going Deeper with Convolutions", 2014)

# Output channels of each module: 1x1 | 1x1 before 3x3, 3x3 | 1x1 before "5x5", "5x5" | 1x1 after pooling (Table 1).
WIDTHS = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}


class GoogLeNetOutputs(NamedTuple):
    """What training needs: the logits, and those of the auxiliary classifiers after 4d and 4a."""

    logits: Any
    aux_logits2: Any
    aux_logits1: Any


class Inception(nn.Concat):
    """The module with dimension reductions.

    The third branch is 3 x 3 where the paper has 5 x 5: torchvision's published weights have it so
    (https://github.com/pytorch/vision/issues/906).
    """

    def __init__(self, channels: int, n1: int, r3: int, n3: int, r5: int, n5: int, pool: int) -> None:
        super().__init__(
            branch1=ConvNormReLU(channels, n1, 1),
            branch2=nn.Sequential(ConvNormReLU(channels, r3, 1), ConvNormReLU(r3, n3, 3, padding=1)),
            branch3=nn.Sequential(ConvNormReLU(channels, r5, 1), ConvNormReLU(r5, n5, 3, padding=1)),
            branch4=nn.Sequential(nn.MaxPool2d(3, 1, padding=1, ceil_mode=True), ConvNormReLU(channels, pool, 1)),
        )


class InceptionAux(nn.Module):
    """Auxiliary classifier: 4 x 4 averages, 1 x 1 convolution, two linear layers."""

    def __init__(self, channels: int, num_classes: int, dropout: float = 0.7) -> None:
        super().__init__()
        self.conv = ConvNormReLU(channels, 128, 1)
        self.fc1 = nn.Linear(2048, 1024)
        self.fc2 = nn.Linear(1024, num_classes)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Any) -> Any:
        x = F.flatten(self.conv(F.adaptive_avg_pool2d(x, (4, 4))), 1)
        return self.fc2(self.dropout(F.relu(self.fc1(x))))


class GoogLeNet(nn.Module):
    """Nine Inception modules, batch norm after every convolution. Input 3 x 224 x 224, at least 15.

    In training mode, with aux_logits, the output is a `GoogLeNetOutputs`.
    """

    def __init__(
        self,
        num_classes: int = 1000,
        aux_logits: bool = True,
        transform_input: bool = False,
        dropout: float = 0.2,
        dropout_aux: float = 0.7,
    ) -> None:
        super().__init__()
        self.transform_input = Renormalise() if transform_input else nn.Identity()
        self.conv1 = ConvNormReLU(3, 64, 7, stride=2, padding=3)
        self.maxpool1 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.conv2 = ConvNormReLU(64, 64, 1)
        self.conv3 = ConvNormReLU(64, 192, 3, padding=1)
        self.maxpool2 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.inception3a = Inception(192, *WIDTHS["3a"])
        self.inception3b = Inception(256, *WIDTHS["3b"])
        self.maxpool3 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.inception4a = Inception(480, *WIDTHS["4a"])
        self.inception4b = Inception(512, *WIDTHS["4b"])
        self.inception4c = Inception(512, *WIDTHS["4c"])
        self.inception4d = Inception(512, *WIDTHS["4d"])
        self.inception4e = Inception(528, *WIDTHS["4e"])
        self.maxpool4 = nn.MaxPool2d(2, 2, ceil_mode=True)
        self.inception5a = Inception(832, *WIDTHS["5a"])
        self.inception5b = Inception(832, *WIDTHS["5b"])
        self.aux1 = InceptionAux(512, num_classes, dropout_aux) if aux_logits else None
        self.aux2 = InceptionAux(528, num_classes, dropout_aux) if aux_logits else None
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(1024, num_classes)
        draw = partial(nn.init.trunc_normal_, std=0.01, a=-2.0, b=2.0)
        initialise(self, conv=draw, linear=draw, zero_biases=())

    def forward(self, x: Any) -> Any:
        x = self.maxpool1(self.conv1(self.transform_input(x)))
        x = self.maxpool2(self.conv3(self.conv2(x)))
        x = self.inception4a(self.maxpool3(self.inception3b(self.inception3a(x))))
        y = self.inception4d(self.inception4c(self.inception4b(x)))
        logits = self._head(y)
        if not self.training or self.aux1 is None or self.aux2 is None:
            return logits
        return GoogLeNetOutputs(logits, self.aux2(y), self.aux1(x))

    def _head(self, x: Any) -> Any:
        x = self.inception5b(self.inception5a(self.maxpool4(self.inception4e(x))))
        return self.fc(self.dropout(self.flatten(self.avgpool(x))))


@register_model(13_004_888, 1_498_376_192, PAPER)
def googlenet(
    num_classes: int = 1000,
    aux_logits: bool = True,
    transform_input: bool = False,
    dropout: float = 0.2,
    dropout_aux: float = 0.7,
) -> GoogLeNet:
    """GoogLeNet with batch norm: 13,004,888 parameters, 6,624,904 without the auxiliary classifiers; 1.50 GMAC.

    torchvision's published weights expect transform_input=True.
    """
    return GoogLeNet(num_classes, aux_logits, transform_input, dropout, dropout_aux)

"""Inception v3, torchvision's. Szegedy et al.: Rethinking the Inception Architecture for Computer Vision, 2015."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

from .. import nn
from ..nn import functional as F
from ._blocks import ConvNormReLU, Renormalise, initialise
from ._registry import Paper, register_model

PAPER = Paper("Szegedy et al.", "Rethinking the Inception Architecture for Computer Vision", 2015)


class InceptionOutputs(NamedTuple):
    """What training needs: the logits, and those of the auxiliary classifier."""

    logits: Any
    aux_logits: Any


class InceptionA(nn.Module):
    """35 x 35 pixels: 1x1 | 1x1, 5x5 | 1x1, 3x3, 3x3 | pool, 1x1."""

    def __init__(self, channels: int, pool_features: int) -> None:
        super().__init__()
        self.branch1x1 = ConvNormReLU(channels, 64, 1)
        self.branch5x5_1 = ConvNormReLU(channels, 48, 1)
        self.branch5x5_2 = ConvNormReLU(48, 64, 5, padding=2)
        self.branch3x3dbl_1 = ConvNormReLU(channels, 64, 1)
        self.branch3x3dbl_2 = ConvNormReLU(64, 96, 3, padding=1)
        self.branch3x3dbl_3 = ConvNormReLU(96, 96, 3, padding=1)
        self.branch_pool = ConvNormReLU(channels, pool_features, 1)

    def forward(self, x: Any) -> Any:
        return F.concat(
            [
                self.branch1x1(x),
                self.branch5x5_2(self.branch5x5_1(x)),
                self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x))),
                self.branch_pool(F.avg_pool2d(x, 3, 1, 1)),
            ],
            1,
        )


class InceptionB(nn.Module):
    """35 x 35 to 17 x 17 pixels: 3x3/2 | 1x1, 3x3, 3x3/2 | pool/2."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.branch3x3 = ConvNormReLU(channels, 384, 3, stride=2)
        self.branch3x3dbl_1 = ConvNormReLU(channels, 64, 1)
        self.branch3x3dbl_2 = ConvNormReLU(64, 96, 3, padding=1)
        self.branch3x3dbl_3 = ConvNormReLU(96, 96, 3, stride=2)

    def forward(self, x: Any) -> Any:
        double = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return F.concat([self.branch3x3(x), double, F.max_pool2d(x, 3, 2)], 1)


class InceptionC(nn.Module):
    """17 x 17 pixels: 1x1 | 1x1, 1x7, 7x1 | 1x1, 7x1, 1x7, 7x1, 1x7 | pool, 1x1."""

    def __init__(self, channels: int, c7: int) -> None:
        super().__init__()
        row, column = (
            partial(ConvNormReLU, kernel_size=(1, 7), padding=(0, 3)),
            partial(ConvNormReLU, kernel_size=(7, 1), padding=(3, 0)),
        )
        self.branch1x1 = ConvNormReLU(channels, 192, 1)
        self.branch7x7_1 = ConvNormReLU(channels, c7, 1)
        self.branch7x7_2 = row(c7, c7)
        self.branch7x7_3 = column(c7, 192)
        self.branch7x7dbl_1 = ConvNormReLU(channels, c7, 1)
        self.branch7x7dbl_2 = column(c7, c7)
        self.branch7x7dbl_3 = row(c7, c7)
        self.branch7x7dbl_4 = column(c7, c7)
        self.branch7x7dbl_5 = row(c7, 192)
        self.branch_pool = ConvNormReLU(channels, 192, 1)

    def forward(self, x: Any) -> Any:
        double = self.branch7x7dbl_3(self.branch7x7dbl_2(self.branch7x7dbl_1(x)))
        return F.concat(
            [
                self.branch1x1(x),
                self.branch7x7_3(self.branch7x7_2(self.branch7x7_1(x))),
                self.branch7x7dbl_5(self.branch7x7dbl_4(double)),
                self.branch_pool(F.avg_pool2d(x, 3, 1, 1)),
            ],
            1,
        )


class InceptionD(nn.Module):
    """17 x 17 to 8 x 8 pixels: 1x1, 3x3/2 | 1x1, 1x7, 7x1, 3x3/2 | pool/2."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.branch3x3_1 = ConvNormReLU(channels, 192, 1)
        self.branch3x3_2 = ConvNormReLU(192, 320, 3, stride=2)
        self.branch7x7x3_1 = ConvNormReLU(channels, 192, 1)
        self.branch7x7x3_2 = ConvNormReLU(192, 192, (1, 7), padding=(0, 3))
        self.branch7x7x3_3 = ConvNormReLU(192, 192, (7, 1), padding=(3, 0))
        self.branch7x7x3_4 = ConvNormReLU(192, 192, 3, stride=2)

    def forward(self, x: Any) -> Any:
        long = self.branch7x7x3_3(self.branch7x7x3_2(self.branch7x7x3_1(x)))
        return F.concat([self.branch3x3_2(self.branch3x3_1(x)), self.branch7x7x3_4(long), F.max_pool2d(x, 3, 2)], 1)


class InceptionE(nn.Module):
    """8 x 8 pixels: 1x1 | 1x1, (1x3 | 3x1) | 1x1, 3x3, (1x3 | 3x1) | pool, 1x1."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.branch1x1 = ConvNormReLU(channels, 320, 1)
        self.branch3x3_1 = ConvNormReLU(channels, 384, 1)
        self.branch3x3_2a = ConvNormReLU(384, 384, (1, 3), padding=(0, 1))
        self.branch3x3_2b = ConvNormReLU(384, 384, (3, 1), padding=(1, 0))
        self.branch3x3dbl_1 = ConvNormReLU(channels, 448, 1)
        self.branch3x3dbl_2 = ConvNormReLU(448, 384, 3, padding=1)
        self.branch3x3dbl_3a = ConvNormReLU(384, 384, (1, 3), padding=(0, 1))
        self.branch3x3dbl_3b = ConvNormReLU(384, 384, (3, 1), padding=(1, 0))
        self.branch_pool = ConvNormReLU(channels, 192, 1)

    def forward(self, x: Any) -> Any:
        single = self.branch3x3_1(x)
        double = self.branch3x3dbl_2(self.branch3x3dbl_1(x))
        return F.concat(
            [
                self.branch1x1(x),
                self.branch3x3_2a(single),
                self.branch3x3_2b(single),
                self.branch3x3dbl_3a(double),
                self.branch3x3dbl_3b(double),
                self.branch_pool(F.avg_pool2d(x, 3, 1, 1)),
            ],
            1,
        )


class InceptionAux(nn.Module):
    """Auxiliary classifier on 17 x 17 pixels."""

    def __init__(self, channels: int, num_classes: int) -> None:
        super().__init__()
        self.conv0 = ConvNormReLU(channels, 128, 1)
        self.conv1 = ConvNormReLU(128, 768, 5)
        self.fc = nn.Linear(768, num_classes)

    def forward(self, x: Any) -> Any:
        x = self.conv1(self.conv0(F.avg_pool2d(x, 5, 3)))
        return self.fc(F.flatten(F.adaptive_avg_pool2d(x, 1), 1))


class Inception3(nn.Module):
    """Input 3 x 299 x 299, at least 75. In training mode, with aux_logits, the output is an `InceptionOutputs`."""

    def __init__(
        self,
        num_classes: int = 1000,
        aux_logits: bool = True,
        transform_input: bool = False,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        self.transform_input = Renormalise() if transform_input else nn.Identity()
        self.Conv2d_1a_3x3 = ConvNormReLU(3, 32, 3, stride=2)
        self.Conv2d_2a_3x3 = ConvNormReLU(32, 32, 3)
        self.Conv2d_2b_3x3 = ConvNormReLU(32, 64, 3, padding=1)
        self.maxpool1 = nn.MaxPool2d(3, 2)
        self.Conv2d_3b_1x1 = ConvNormReLU(64, 80, 1)
        self.Conv2d_4a_3x3 = ConvNormReLU(80, 192, 3)
        self.maxpool2 = nn.MaxPool2d(3, 2)
        self.Mixed_5b = InceptionA(192, 32)
        self.Mixed_5c = InceptionA(256, 64)
        self.Mixed_5d = InceptionA(288, 64)
        self.Mixed_6a = InceptionB(288)
        self.Mixed_6b = InceptionC(768, 128)
        self.Mixed_6c = InceptionC(768, 160)
        self.Mixed_6d = InceptionC(768, 160)
        self.Mixed_6e = InceptionC(768, 192)
        self.AuxLogits = InceptionAux(768, num_classes) if aux_logits else None
        self.Mixed_7a = InceptionD(768)
        self.Mixed_7b = InceptionE(1280)
        self.Mixed_7c = InceptionE(2048)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(dropout)
        self.flatten = nn.Flatten()
        self.fc = nn.Linear(2048, num_classes)
        draw = partial(nn.init.trunc_normal_, a=-2.0, b=2.0)
        initialise(self, conv=partial(draw, std=0.1), linear=partial(draw, std=0.1), zero_biases=())
        if self.AuxLogits is not None:
            draw(self.AuxLogits.conv1.conv.weight, std=0.01)
            draw(self.AuxLogits.fc.weight, std=0.001)

    def forward(self, x: Any) -> Any:
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(self.transform_input(x))))
        x = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(self.maxpool1(x)))
        x = self.Mixed_5d(self.Mixed_5c(self.Mixed_5b(self.maxpool2(x))))
        x = self.Mixed_6c(self.Mixed_6b(self.Mixed_6a(x)))
        x = self.Mixed_6e(self.Mixed_6d(x))
        y = self.Mixed_7c(self.Mixed_7b(self.Mixed_7a(x)))
        logits = self.fc(self.flatten(self.dropout(self.avgpool(y))))
        if not self.training or self.AuxLogits is None:
            return logits
        return InceptionOutputs(logits, self.AuxLogits(x))


@register_model(27_161_264, 5_713_216_096, PAPER, input_size=(3, 299, 299), resize=342, top5_error=3.5)
def inception_v3(
    num_classes: int = 1000, aux_logits: bool = True, transform_input: bool = False, dropout: float = 0.5
) -> Inception3:
    """Inception v3: 27,161,264 parameters, 23,834,568 without the auxiliary classifier; 5.71 GMAC; top-5 error 3.5 %.

    torchvision's published weights expect transform_input=True.
    """
    return Inception3(num_classes, aux_logits, transform_input, dropout)

"""SegNet. Badrinarayanan, Kendall and Cipolla: SegNet: A Deep Convolutional Encoder-Decoder Architecture, 2015."""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from typing import Any

from .. import nn
from ..nn import functional as F
from ._blocks import initialise
from ._registry import Paper, register_model

PAPER = Paper("Badrinarayanan, Kendall and Cipolla", "SegNet: A Deep Convolutional Encoder-Decoder Architecture", 2015)

# Channels of VGG-16's convolutions, block by block; the decoder runs them backwards.
ENCODER = ((3, 64, 64), (64, 128, 128), (128, 256, 256, 256), (256, 512, 512, 512), (512, 512, 512, 512))
DECODER = ((512, 512, 512, 512), (512, 512, 512, 256), (256, 256, 256, 128), (128, 128, 64), (64, 64))


def block(*channels: int) -> nn.Sequential:
    """3 x 3 convolutions from each width to the next, each with batch norm and ReLU."""
    layers: list[nn.Module] = []
    for before, after in pairwise(channels):
        layers += [nn.Conv2d(before, after, 3, padding=1), nn.BatchNorm2d(after), nn.ReLU()]
    return nn.Sequential(*layers)


class SegNet(nn.Module):
    """Scores of each class for every pixel: the decoder puts values back where the encoder's pooling found the maxima.

    Input 3 x 360 x 480 in the paper, or any size from 32.
    """

    def __init__(self, num_classes: int = 11) -> None:
        super().__init__()
        self.encoder = nn.ModuleList(block(*channels) for channels in ENCODER)
        self.decoder = nn.ModuleList(block(*channels) for channels in DECODER)
        self.classifier = nn.Conv2d(64, num_classes, 3, padding=1)
        initialise(self, conv=partial(nn.init.kaiming_normal_, mode="fan_out"))

    def forward(self, x: Any) -> Any:
        pools = []
        for encode in self.encoder:
            y = encode(x)
            x, indices = F.max_pool2d(y, 2, return_indices=True)
            pools.append((indices, y.shape[2:]))
        for decode in self.decoder:
            indices, size = pools.pop()
            x = decode(F.max_unpool2d(x, indices, 2, output_size=size))
        return self.classifier(x)


@register_model(
    29_449_355, 106_287_759_360, PAPER, "own", task="segmentation", input_size=(3, 360, 480), num_classes=11, resize=360
)
def segnet(num_classes: int = 11) -> SegNet:
    """SegNet on CamVid's eleven classes: 29,449,355 parameters, 106 GMAC at 360 x 480."""
    return SegNet(num_classes)

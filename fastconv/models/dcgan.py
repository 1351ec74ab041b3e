"""DCGAN. Radford, Metz and Chintala: Unsupervised Representation Learning with Deep Convolutional GANs, 2015.

Names of the DCGAN in pytorch/examples.
"""

from __future__ import annotations

from typing import Any

from .. import nn
from ..nn import functional as F
from ._registry import Paper, register_model

PAPER = Paper("Radford, Metz and Chintala", "Unsupervised Representation Learning with Deep Convolutional GANs", 2015)


def initialise(model: nn.Module) -> None:
    """Section 4: weights N(0, 0.02); batch norms' about 1."""
    for _, module in model.named_modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.normal_(module.weight, 0.0, 0.02)
        elif isinstance(module, nn.BatchNorm2d) and module.weight is not None:
            nn.init.normal_(module.weight, 1.0, 0.02)


class Generator(nn.Module):
    """Noise (N, latent, 1, 1) to images (N, channels, 64, 64) in -1..1, by transposed convolutions."""

    def __init__(self, latent: int = 100, width: int = 64, channels: int = 3) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = latent
        for after, stride, padding in ((8 * width, 1, 0), (4 * width, 2, 1), (2 * width, 2, 1), (width, 2, 1)):
            conv = nn.ConvTranspose2d(before, after, 4, stride, padding, bias=False)
            layers += [conv, nn.BatchNorm2d(after), nn.ReLU()]
            before = after
        self.main = nn.Sequential(*layers, nn.ConvTranspose2d(width, channels, 4, 2, 1, bias=False), nn.Tanh())
        initialise(self)

    def forward(self, x: Any) -> Any:
        return self.main(x)


class Discriminator(nn.Module):
    """Images (N, channels, 64, 64) to the probability, (N,), that each is real."""

    def __init__(self, width: int = 64, channels: int = 3) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(channels, width, 4, 2, 1, bias=False), nn.LeakyReLU(0.2)]
        for before in (width, 2 * width, 4 * width):
            conv = nn.Conv2d(before, 2 * before, 4, 2, 1, bias=False)
            layers += [conv, nn.BatchNorm2d(2 * before), nn.LeakyReLU(0.2)]
        self.main = nn.Sequential(*layers, nn.Conv2d(8 * width, 1, 4, bias=False), nn.Sigmoid())
        initialise(self)

    def forward(self, x: Any) -> Any:
        return F.flatten(self.main(x), 0)


@register_model(
    3_576_704,
    104_628_224,
    PAPER,
    "pytorch/examples",
    task="generation",
    input_size=(100, 1, 1),
    num_classes=3,
    resize=64,
)
def dcgan_generator(latent: int = 100, width: int = 64, channels: int = 3) -> Generator:
    """DCGAN's generator of 64 x 64 images: 3,576,704 parameters."""
    return Generator(latent, width, channels)


@register_model(
    2_765_568,
    103_817_216,
    PAPER,
    "pytorch/examples",
    task="discrimination",
    input_size=(3, 64, 64),
    num_classes=1,
    resize=64,
    mean=(0.5,) * 3,
    std=(0.5,) * 3,
)
def dcgan_discriminator(width: int = 64, channels: int = 3) -> Discriminator:
    """DCGAN's discriminator of 64 x 64 images: 2,765,568 parameters."""
    return Discriminator(width, channels)

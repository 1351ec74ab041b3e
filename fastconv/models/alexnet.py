"""AlexNet, in torchvision's one-tower form and as published. Krizhevsky, Sutskever and Hinton, 2012."""

from __future__ import annotations

from typing import Any

from .. import nn
from ._registry import Paper, register_model

WEIRD_TRICK = Paper("Krizhevsky", "One weird trick for parallelizing convolutional neural networks", 2014)
ALEXNET = Paper("Krizhevsky, Sutskever and Hinton", "ImageNet Classification with Deep CNNs", 2012)


class AlexNet(nn.Module):
    """Five convolutions (11 x 11, 5 x 5, 3 x 3), three fully connected layers. Input 3 x 224 x 224, at least 63."""

    def __init__(self, num_classes: int = 1000, dropout: float = 0.5) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 64, 11, stride=4, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2),
            nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2),
            nn.Conv2d(192, 384, 3, padding=1), nn.ReLU(),
            nn.Conv2d(384, 256, 3, padding=1), nn.ReLU(),
            nn.Conv2d(256, 256, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2),
        )  # fmt: skip
        self.avgpool = nn.AdaptiveAvgPool2d((6, 6))
        self.flatten = nn.Flatten()
        self.classifier = nn.Sequential(
            nn.Dropout(dropout), nn.Linear(256 * 6 * 6, 4096), nn.ReLU(),
            nn.Dropout(dropout), nn.Linear(4096, 4096), nn.ReLU(),
            nn.Linear(4096, num_classes),
        )  # fmt: skip

    def forward(self, x: Any) -> Any:
        return self.classifier(self.flatten(self.avgpool(self.features(x))))


@register_model(61_100_840, 714_188_480, WEIRD_TRICK)
def alexnet(num_classes: int = 1000, dropout: float = 0.5) -> AlexNet:
    """AlexNet in one tower, torchvision's: 61,100,840 parameters, 0.714 GMAC. The original's top-5 error was 16.4 %."""
    return AlexNet(num_classes, dropout)


class AlexNet2012(nn.Module):
    """The paper's network: two towers as groups of convolutions 2, 4 and 5, local response normalisation.

    Response normalisation has the paper's k = 2, n = 5, alpha = 1e-4 (not divided by n), beta = 0.75.
    Input 3 x 227 x 227: the paper's 224 does not fit its own 55 x 55 maps.
    """

    def __init__(self, num_classes: int = 1000, groups: int = 2, dropout: float = 0.5) -> None:
        super().__init__()

        def response_norm() -> nn.Module:
            return nn.LocalResponseNorm(5, alpha=5 * 1e-4, beta=0.75, k=2.0)

        self.features = nn.Sequential(
            nn.Conv2d(3, 96, 11, stride=4), nn.ReLU(), response_norm(), nn.MaxPool2d(3, 2),
            nn.Conv2d(96, 256, 5, padding=2, groups=groups), nn.ReLU(), response_norm(), nn.MaxPool2d(3, 2),
            nn.Conv2d(256, 384, 3, padding=1), nn.ReLU(),
            nn.Conv2d(384, 384, 3, padding=1, groups=groups), nn.ReLU(),
            nn.Conv2d(384, 256, 3, padding=1, groups=groups), nn.ReLU(), nn.MaxPool2d(3, 2),
        )  # fmt: skip
        self.flatten = nn.Flatten()
        self.classifier = nn.Sequential(
            nn.Linear(256 * 6 * 6, 4096), nn.ReLU(), nn.Dropout(dropout),
            nn.Linear(4096, 4096), nn.ReLU(), nn.Dropout(dropout),
            nn.Linear(4096, num_classes),
        )  # fmt: skip
        self._initialise()

    def _initialise(self) -> None:
        # Section 5: N(0, 0.01); biases 1 in convolutions 2, 4, 5 and the hidden linear layers, 0 elsewhere.
        for name, module in self.named_modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)) and module.bias is not None:
                nn.init.normal_(module.weight, 0.0, 0.01)
                ones = ("features.4", "features.10", "features.12", "classifier.0", "classifier.3")
                nn.init.constant_(module.bias, 1.0 if name in ones else 0.0)

    def forward(self, x: Any) -> Any:
        return self.classifier(self.flatten(self.features(x)))


@register_model(60_965_224, 724_406_816, ALEXNET, "own", input_size=(3, 227, 227), top5_error=16.4)
def alexnet_2012(num_classes: int = 1000, groups: int = 2, dropout: float = 0.5) -> AlexNet2012:
    """AlexNet as published: 60,965,224 parameters, 0.724 GMAC (groups=1: 62,378,344 and 1.135); top-5 error 16.4 %."""
    return AlexNet2012(num_classes, groups, dropout)

"""DeepConvNet: six 3 x 3 convolutions for MNIST. Saito: Deep Learning from Scratch, 2016, chapter 8."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .. import nn
from ..ops._arrays import Array
from ._registry import Paper, register_model

PAPER = Paper("Saito", "Deep Learning from Scratch", 2016)


class DeepConvNet(nn.Module):
    """conv-conv-pool three times (16, 32, 64 channels), then 50 hidden units. Input 1 x 28 x 28."""

    def __init__(self, num_classes: int = 10) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 32, 3, padding=2), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.Conv2d(64, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        )  # fmt: skip
        self.classifier = nn.Sequential(
            nn.Flatten(), nn.Linear(1024, 50), nn.ReLU(), nn.Dropout(0.5), nn.Linear(50, num_classes), nn.Dropout(0.5)
        )

    def forward(self, x: Any) -> Any:
        return self.classifier(self.features(x))


def from_book(state: Mapping[str, Array]) -> Mapping[str, Array]:
    """The book's W1 ... W8, b1 ... b8 (linear weights stored as (in, out)) to this model's names."""
    if "W1" not in state:
        return state
    layers = [f"features.{i}" for i in (0, 2, 5, 7, 10, 12)] + ["classifier.1", "classifier.4"]
    adapted = {}
    for number, layer in enumerate(layers, start=1):
        if f"W{number}" in state:
            weight = state[f"W{number}"]
            adapted[f"{layer}.weight"] = weight.T if weight.ndim == 2 else weight
        if f"b{number}" in state:
            adapted[f"{layer}.bias"] = state[f"b{number}"].reshape(-1)
    return adapted


@register_model(
    123_552,
    8_772_340,
    PAPER,
    "own",
    input_size=(1, 28, 28),
    num_classes=10,
    resize=28,
    mean=(0.0,),
    std=(1.0,),
    adapt=from_book,
)
def deep_convnet(num_classes: int = 10) -> DeepConvNet:
    """DeepConvNet: 123,552 parameters; the book's weights read 99.38 % of MNIST's test digits."""
    return DeepConvNet(num_classes)

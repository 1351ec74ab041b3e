"""How the networks were, or are well, trained: what ``fastconv train`` takes where the command line says nothing."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Recipe:
    """Settings of a run, by the names that the command line has for them.

    optimizer: a class of fastconv.optim, lower case. schedule: constant, step, cosine or warmup-cosine (a tenth of the
    epochs, at most 5, of linear growth); step divides the rate by ten after a half and three quarters of the epochs.
    augment: none, light (small rotations, shifts and scales: digits) or crop-flip (crops of 4 padded pixels, mirror
    images: photographs). initialise: default, or he (normal values by fan-in, biases zero).
    """

    data: str = "synthetic"
    epochs: int = 10
    batch: int = 64
    optimizer: str = "adam"
    lr: float = 1e-3
    momentum: float = 0.0
    weight_decay: float = 0.0
    schedule: str = "constant"
    augment: str = "none"
    initialise: str = "default"
    clip: float | None = None


RECIPES = {
    # Saito, Deep Learning from Scratch, chapter 8, where the rate is constant and images are not changed; dropout 0.5 is
    # part of the network.
    "deep_convnet": Recipe("mnist", 20, 100, "adam", 1e-3, schedule="cosine", augment="light", initialise="he"),
    # Not the paper's second-order method, which predates all of these.
    "lenet5": Recipe("mnist", 20, 64, "adam", 1e-3, schedule="cosine"),
    "lenet5_1998": Recipe("mnist", 20, 64, "adam", 1e-3, schedule="cosine"),
    # He et al., Deep Residual Learning, 2015, section 4.2: 64,000 iterations of 128 are 164 epochs.
    **dict.fromkeys(
        ("resnet20", "resnet32", "resnet44", "resnet56", "resnet110"),
        Recipe("cifar10", 164, 128, "sgd", 0.1, 0.9, 1e-4, "step", "crop-flip", "he"),
    ),
}


def recipe(model: str) -> Recipe:
    """The recipe of a model; of others, Adam on synthetic data.

    >>> recipe("deep_convnet").batch
    100
    """
    return RECIPES.get(model, Recipe())

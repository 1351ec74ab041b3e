"""Names of networks, and what a user of their published weights has to know."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, TypeVar

from numpy.typing import NDArray

from ..errors import ModelError
from ..nn import Module
from ..nn.init import manual_seed, skip

Array = NDArray[Any]
Builder = TypeVar("Builder", bound=Callable[..., Module])


@dataclass(frozen=True)
class Paper:
    """Where a network was published."""

    authors: str
    title: str
    year: int

    def __str__(self) -> str:
        return f"{self.authors}: {self.title}, {self.year}"


@dataclass(frozen=True)
class ModelInfo:
    """One entry of the registry.

    Images are scaled to 0..1, their short side resized to `resize`, the centre `input_size` cut out (padded
    with zeros where the image is smaller), then normalised: (x - mean) / std per channel.
    """

    name: str
    build: Callable[..., Module]
    parameters: int
    """Trainable numbers of the default build; auxiliary classifiers, which only training uses, are not built."""
    macs: int
    """Multiply-adds of convolutions (transposed ones, too) and linear layers for one input of `input_size`."""
    paper: Paper
    names: str
    """Whose state-dict names: "torchvision", "timm NAME", a repository, or "own"."""
    input_size: tuple[int, int, int]  # C, H, W
    num_classes: int
    """Channels of the result."""
    resize: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    top5_error: float | None
    """Per cent on ImageNet as the authors reported it for their best entry, where the name stands for that entry."""
    task: str
    """"classification", "segmentation", "generation" or "discrimination"."""
    adapt: Callable[[Mapping[str, Array]], Mapping[str, Array]]
    """Published spellings of the weights to this model's state dict."""


IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

_models: dict[str, ModelInfo] = {}


def register_model(
    parameters: int,
    macs: int,
    paper: Paper,
    names: str = "torchvision",
    *,
    input_size: tuple[int, int, int] = (3, 224, 224),
    num_classes: int = 1000,
    resize: int = 256,
    mean: tuple[float, ...] = IMAGENET_MEAN,
    std: tuple[float, ...] = IMAGENET_STD,
    top5_error: float | None = None,
    task: str = "classification",
    adapt: Callable[[Mapping[str, Array]], Mapping[str, Array]] = dict,
) -> Callable[[Builder], Builder]:
    """Decorator: enters a builder function under its own name."""

    def enter(build: Builder) -> Builder:
        name = build.__name__
        numbers = (parameters, macs, paper, names, input_size, num_classes, resize, mean, std, top5_error, task)
        _models[name] = ModelInfo(name, build, *numbers, adapt)
        return build

    return enter


def list_models() -> list[str]:
    """Names that `create` and ``fastconv bench`` take."""
    return sorted(_models)


def info(name: str) -> ModelInfo:
    """Input size, preprocessing and origin of a model. Raises ModelError for an unknown name."""
    if name not in _models:
        raise ModelError(f"model: expected one of {', '.join(list_models())}, got {name!r}")
    return _models[name]


def create(name: str, *, seed: int | None = 0, dtype: str = "float32", init: bool = True, **arguments: Any) -> Module:
    """Builds a model by name, initialised from `seed` (None: go on with the generator as it is).

    With init=False nothing is drawn: parameters are zeros that take neither time nor memory, to be loaded over.

    >>> import fastconv as fc
    >>> fc.models.create("lenet5").parameter_count()
    61706
    """
    entry = info(name)
    if seed is not None:
        manual_seed(seed)
    with nullcontext() if init else skip():
        model = entry.build(**arguments)
    return model if dtype == "float32" else model.to(dtype)

"""Names of networks, and what a user of their published weights has to know."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from ..errors import ModelError
from ..nn import Module, init

Array = NDArray[Any]


@dataclass(frozen=True)
class ModelInfo:
    """One entry of the registry.

    Images are scaled to 0..1, their short side resized to `resize`, the centre `input_size` cut out (padded
    with zeros where the image is smaller), then normalised: (x - mean) / std per channel.
    """

    name: str
    build: Callable[..., Module]
    input_size: tuple[int, int, int]  # C, H, W
    num_classes: int
    parameters: int
    paper: str
    resize: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    adapt: Callable[[Mapping[str, Array]], Mapping[str, Array]] = dict
    """Published spellings of the weights to this model's state dict."""


IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

_models: dict[str, ModelInfo] = {}


def register_model(
    input_size: tuple[int, int, int],
    num_classes: int,
    parameters: int,
    paper: str,
    resize: int,
    mean: tuple[float, ...] = IMAGENET_MEAN,
    std: tuple[float, ...] = IMAGENET_STD,
    adapt: Callable[[Mapping[str, Array]], Mapping[str, Array]] = dict,
) -> Callable[[Callable[..., Module]], Callable[..., Module]]:
    """Decorator: enters a builder function under its own name."""

    def enter(build: Callable[..., Module]) -> Callable[..., Module]:
        name = build.__name__
        _models[name] = ModelInfo(name, build, input_size, num_classes, parameters, paper, resize, mean, std, adapt)
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


def create(name: str, *, seed: int | None = 0, dtype: str = "float32", **arguments: Any) -> Module:
    """Builds a model by name, initialised from `seed` (None: go on with the generator as it is).

    >>> import fastconv as fc
    >>> fc.models.create("lenet5").parameter_count()
    61706
    """
    entry = info(name)
    if seed is not None:
        init.manual_seed(seed)
    model = entry.build(**arguments)
    return model if dtype == "float32" else model.to(dtype)

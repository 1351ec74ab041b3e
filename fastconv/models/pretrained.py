"""Published weights whose files are not a state dict of the network of their name: what has to be done to them.

One table: how such a file is told, the network that it fits, its names and layouts, and the images that it was trained on.
Files in torchvision's, timm's or a repository's own names need no entry: `load_state_dict` takes them as they are.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import nn
from ..errors import ModelError
from ._registry import ModelInfo, create

Array = NDArray[Any]
State = Mapping[str, Array]


@dataclass(frozen=True)
class Published:
    """One kind of file. `mark` is a name in it that no other file for the model has."""

    model: str
    mark: str
    origin: str
    build: Callable[[], nn.Module]
    adapt: Callable[[State], dict[str, Array]]
    images: dict[str, Any] = field(default_factory=dict)
    """Fields of ModelInfo that differ."""


def published(entry: ModelInfo, state: State) -> tuple[nn.Module, State, ModelInfo]:
    """The network for a file of weights, the file's arrays as its state dict, and how its images are prepared."""
    for kind in PUBLISHED:
        if kind.model == entry.name and kind.mark in state:
            return kind.build(), kind.adapt(state), replace(entry, **kind.images)
    return create(entry.name, init=False), entry.adapt(state), entry


def shipped(model: str) -> Path:
    """The file of weights of a model that the package brings along. Raises ModelError where it brings none."""
    names = {"deep_convnet": "deep_convnet_mnist.safetensors"}
    if model not in names:
        raise ModelError(f"weights: none of {model} are in the package, only of {', '.join(names)}: expected a file")
    path = Path(str(resources.files("fastconv.models") / "weights" / names[model]))
    if not path.is_file():
        raise ModelError(f"weights: this installation lacks {names[model]}: expected a file")
    return path


# -- MobileNet v1 ------------------------------------------------------------------------------------------------


def _mobilenet_v1() -> nn.Module:
    """Without batch norms, and with TensorFlow's padding: of even extents, stride 2 needs one pixel, at the end."""
    model = nn.fuse(create("mobilenet_v1", init=False))
    for _, module in model.named_modules():
        if isinstance(module, nn.Conv2d) and module.stride == (2, 2):
            module.padding = ((0, 1), (0, 1))
    return model


def _from_tflite(state: State) -> dict[str, Array]:
    """Weights (K, R, S, C), depthwise (1, R, S, C); 1001 classes, of which the first, background, is left out.

    Convolutions are numbered: 0 is the stem, 1 to 13 are the blocks.
    """
    names = [f"blocks.{stage}.{block}" for stage, depth in enumerate((1, 2, 2, 6, 2)) for block in range(depth)]
    adapted: dict[str, Array] = {}
    for key, value in state.items():
        kind = "bias" if key.endswith("bias") else "weight"
        found = re.search(r"Conv2d_(\d+)(?:_(depth|point)wise)?/", key)
        if "Logits" in key:
            adapted[f"classifier.{kind}"] = value[1:].reshape(1000, -1) if kind == "weight" else value[1:]
        elif found is not None:
            number, sort = int(found[1]), found[2]
            name = f"{names[number - 1]}.conv_{'dw' if sort == 'depth' else 'pw'}" if number else "conv_stem"
            order = (3, 0, 1, 2) if sort == "depth" else (0, 3, 1, 2)
            adapted[f"{name}.{kind}"] = value if kind == "bias" else value.transpose(order)
    return adapted


# -- SqueezeNet --------------------------------------------------------------------------------------------------


def _from_caffe_hwio(state: State) -> dict[str, Array]:
    """Weights (R, S, C, K) for images in Caffe's order of channels, BGR: the first convolution's are turned round."""
    fires = dict(zip(range(2, 10), (3, 4, 6, 7, 9, 10, 11, 12), strict=True))
    adapted: dict[str, Array] = {}
    for key, value in state.items():
        layer, _, kind = key.rpartition("/")
        if kind == "kernel":
            value = value.transpose(3, 2, 0, 1)
        if layer == "conv1" and kind == "kernel":
            value = value[:, ::-1]
        name = {"conv1": "features.0", "conv10": "classifier.1"}.get(layer)
        if name is None and (found := re.fullmatch(r"fire(\d)/(\w+)", layer)) and int(found[1]) in fires:
            name = f"features.{fires[int(found[1])]}.{found[2].replace('squeeze1x1', 'squeeze')}"
        adapted[f"{name or layer}.{'weight' if kind == 'kernel' else kind}"] = value
    return adapted


# -- LeNet-5 -----------------------------------------------------------------------------------------------------


def _wide_lenet() -> nn.Module:
    """Two 3 x 3 convolutions of 32 and 64 filters, 200 hidden units. Input 1 x 28 x 28."""
    with nn.init.skip():
        return nn.Sequential(
            nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(3136, 200), nn.ReLU(), nn.Linear(200, 10),
        )  # fmt: skip


def _by_position(state: State) -> dict[str, Array]:
    places = {"conv1": "0", "conv2": "3", "linear1": "7", "linear2": "9"}
    return {f"{places.get(layer, layer)}.{kind}": state[f"{layer}.{kind}"]
            for layer, _, kind in (name.rpartition(".") for name in state)}  # fmt: skip


PUBLISHED = (
    Published(
        "mobilenet_v1",
        "MobilenetV1/Conv2d_0/weights",
        "TensorFlow's MobileNet_v1_1.0_224, from its TFLite file",
        _mobilenet_v1,
        _from_tflite,
    ),
    Published(
        "squeezenet1_1",
        "conv1/kernel",
        "SqueezeNet v1.1 as its authors trained it with Caffe",
        lambda: create("squeezenet1_1", init=False),
        _from_caffe_hwio,
        # Caffe's images are 0..255 minus a mean: (x - mean / 255) / (1 / 255) of 0..1.
        {
            "input_size": (3, 227, 227),
            "mean": tuple(np.divide((122.679, 116.669, 104.006), 255)),
            "std": (1 / 255,) * 3,
        },
    ),
    Published(
        "lenet5",
        "linear1.weight",
        "advertorch's mnist_lenet5_clntrained",
        _wide_lenet,
        _by_position,
        {"input_size": (1, 28, 28), "resize": 28, "mean": (0.0,), "std": (1.0,)},
    ),
)

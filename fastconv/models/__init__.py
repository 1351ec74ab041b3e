"""The classic CNNs, one file a family, built from fastconv.nn alone; attribute names are the checkpoints' names."""

from __future__ import annotations

from ._registry import ModelInfo, create, info, list_models
from .alexnet import alexnet
from .deep_convnet import deep_convnet
from .lenet import lenet5, lenet5_1998
from .vgg import vgg16

__all__ = [
    "ModelInfo",
    "alexnet",
    "create",
    "deep_convnet",
    "info",
    "lenet5",
    "lenet5_1998",
    "list_models",
    "vgg16",
]

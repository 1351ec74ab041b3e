"""Layers over fastconv.nn.functional: PyTorch's names, arguments and state-dict keys, on arrays and tensors."""

from __future__ import annotations

from . import functional, init
from .activation import LeakyReLU, LogSoftmax, ReLU, ReLU6, Sigmoid, SiLU, Softmax, Tanh
from .conv import Conv2d
from .fusion import fuse
from .linear import Flatten, Linear
from .loss import CrossEntropyLoss
from .module import Identity, Module, Parameter, Sequential, chain
from .norm import BatchNorm1d, BatchNorm2d, Dropout, LocalResponseNorm, StochasticDepth
from .pool import AdaptiveAvgPool2d, AdaptiveMaxPool2d, AvgPool2d, MaxPool2d
from .summary import Summary, summarize

__all__ = [
    "AdaptiveAvgPool2d",
    "AdaptiveMaxPool2d",
    "AvgPool2d",
    "BatchNorm1d",
    "BatchNorm2d",
    "Conv2d",
    "CrossEntropyLoss",
    "Dropout",
    "Flatten",
    "Identity",
    "LeakyReLU",
    "Linear",
    "LocalResponseNorm",
    "LogSoftmax",
    "MaxPool2d",
    "Module",
    "Parameter",
    "ReLU",
    "ReLU6",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "StochasticDepth",
    "Summary",
    "Tanh",
    "chain",
    "functional",
    "fuse",
    "init",
    "summarize",
]

"""Layers over fastconv.ops: PyTorch's names, arguments and state-dict keys, on NumPy arrays, for inference."""

from __future__ import annotations

from . import init
from .activation import LeakyReLU, LogSoftmax, ReLU, ReLU6, Sigmoid, SiLU, Softmax, Tanh
from .conv import Conv2d
from .linear import Flatten, Linear
from .module import Module, Parameter, Sequential
from .norm import BatchNorm2d, Dropout, LocalResponseNorm
from .pool import AdaptiveAvgPool2d, AdaptiveMaxPool2d, AvgPool2d, MaxPool2d
from .summary import Summary, summarize

__all__ = [
    "AdaptiveAvgPool2d",
    "AdaptiveMaxPool2d",
    "AvgPool2d",
    "BatchNorm2d",
    "Conv2d",
    "Dropout",
    "Flatten",
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
    "Summary",
    "Tanh",
    "init",
    "summarize",
]

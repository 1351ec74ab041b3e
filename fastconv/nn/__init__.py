"""Layers over fastconv.nn.functional: PyTorch's names, arguments and state-dict keys, on arrays and tensors."""

from __future__ import annotations

from . import functional, init
from .activation import LeakyReLU, LogSoftmax, ReLU, ReLU6, Sigmoid, SiLU, Softmax, Tanh
from .container import Concat, ModuleList, Residual
from .conv import Conv2d, ConvTranspose2d
from .fusion import fuse
from .linear import Flatten, Linear
from .loss import BCELoss, BCEWithLogitsLoss, CrossEntropyLoss, MSELoss
from .module import Identity, Module, Parameter, Sequential, chain
from .norm import BatchNorm1d, BatchNorm2d, Dropout, LocalResponseNorm, StochasticDepth
from .pool import AdaptiveAvgPool2d, AdaptiveMaxPool2d, AvgPool2d, MaxPool2d, MaxUnpool2d, Upsample
from .summary import Summary, summarize

__all__ = [
    "AdaptiveAvgPool2d",
    "AdaptiveMaxPool2d",
    "AvgPool2d",
    "BCELoss",
    "BCEWithLogitsLoss",
    "BatchNorm1d",
    "BatchNorm2d",
    "Concat",
    "Conv2d",
    "ConvTranspose2d",
    "CrossEntropyLoss",
    "Dropout",
    "Flatten",
    "Identity",
    "LeakyReLU",
    "Linear",
    "LocalResponseNorm",
    "LogSoftmax",
    "MSELoss",
    "MaxPool2d",
    "MaxUnpool2d",
    "Module",
    "ModuleList",
    "Parameter",
    "ReLU",
    "ReLU6",
    "Residual",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "StochasticDepth",
    "Summary",
    "Tanh",
    "Upsample",
    "chain",
    "functional",
    "fuse",
    "init",
    "summarize",
]

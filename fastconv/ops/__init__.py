"""Arrays in, arrays out. NumPy (or any DLPack producer on the CPU) in, NumPy out; PyTorch's names and meanings."""

from __future__ import annotations

from .activation import leaky_relu, log_softmax, relu, relu6, sigmoid, silu, softmax, tanh
from .conv import conv1d, conv2d, prepare_weight
from .explain import algorithms, explain
from .layout import channels_last, concat, contiguous, pad
from .linear import linear
from .norm import batch_norm, local_response_norm
from .pool import (
    adaptive_avg_pool2d,
    adaptive_avg_pool2d_grad,
    adaptive_max_pool2d,
    adaptive_max_pool2d_grad,
    avg_pool2d,
    avg_pool2d_grad,
    max_pool2d,
    max_pool2d_grad,
)

__all__ = [
    "adaptive_avg_pool2d",
    "adaptive_avg_pool2d_grad",
    "adaptive_max_pool2d",
    "adaptive_max_pool2d_grad",
    "algorithms",
    "avg_pool2d",
    "avg_pool2d_grad",
    "batch_norm",
    "channels_last",
    "concat",
    "contiguous",
    "conv1d",
    "conv2d",
    "explain",
    "leaky_relu",
    "linear",
    "local_response_norm",
    "log_softmax",
    "max_pool2d",
    "max_pool2d_grad",
    "pad",
    "prepare_weight",
    "relu",
    "relu6",
    "sigmoid",
    "silu",
    "softmax",
    "tanh",
]

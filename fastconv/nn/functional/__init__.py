"""PyTorch's functions on arrays and tensors: arrays give arrays; with a tensor among the operands the result is a tensor,
recorded where one of them needs a gradient.

Names, arguments and meanings are those of torch.nn.functional (the input is called `x`); what is computed, and for which
shapes and dtypes, is said at the functions of the same names in fastconv.ops.
"""

from __future__ import annotations

from .activation import leaky_relu, log_softmax, relu, relu6, sigmoid, silu, softmax, tanh
from .conv import conv1d, conv2d, conv_transpose2d, linear
from .layout import add, cast, cat, channel_shuffle, concat, flatten, pad, pad_channels
from .loss import cross_entropy
from .norm import batch_norm, dropout, local_response_norm, stochastic_depth
from .pool import adaptive_avg_pool2d, adaptive_max_pool2d, avg_pool2d, interpolate, max_pool2d, max_unpool2d

__all__ = [
    "adaptive_avg_pool2d",
    "adaptive_max_pool2d",
    "add",
    "avg_pool2d",
    "batch_norm",
    "cast",
    "cat",
    "channel_shuffle",
    "concat",
    "conv1d",
    "conv2d",
    "conv_transpose2d",
    "cross_entropy",
    "dropout",
    "flatten",
    "interpolate",
    "leaky_relu",
    "linear",
    "local_response_norm",
    "log_softmax",
    "max_pool2d",
    "max_unpool2d",
    "pad",
    "pad_channels",
    "relu",
    "relu6",
    "sigmoid",
    "silu",
    "softmax",
    "stochastic_depth",
    "tanh",
]

"""PyTorch's functions on arrays and tensors: arrays give arrays; with a tensor among the operands the result is a tensor,
recorded where one of them needs a gradient.

Names, arguments and meanings are those of torch.nn.functional (the input is called `x`); what is computed, and for which
shapes and dtypes, is said at the functions of the same names in fastconv.ops.
"""

from __future__ import annotations

from .activation import (
    hard_sigmoid,
    hard_swish,
    leaky_relu,
    log_softmax,
    relu,
    relu6,
    sigmoid,
    silu,
    softmax,
    tanh,
)
from .conv import conv1d, conv2d, conv_transpose2d, linear
from .layout import add, cast, cat, channel_shuffle, concat, flatten, pad, pad_channels, scale_channels
from .loss import binary_cross_entropy, binary_cross_entropy_with_logits, cross_entropy, mse_loss
from .norm import batch_norm, dropout, local_response_norm, stochastic_depth
from .pool import (
    adaptive_avg_pool2d,
    adaptive_max_pool2d,
    avg_pool1d,
    avg_pool2d,
    interpolate,
    max_pool1d,
    max_pool2d,
    max_unpool2d,
)

__all__ = [
    "adaptive_avg_pool2d",
    "adaptive_max_pool2d",
    "add",
    "avg_pool1d",
    "avg_pool2d",
    "batch_norm",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
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
    "hard_sigmoid",
    "hard_swish",
    "interpolate",
    "leaky_relu",
    "linear",
    "local_response_norm",
    "log_softmax",
    "max_pool1d",
    "max_pool2d",
    "max_unpool2d",
    "mse_loss",
    "pad",
    "pad_channels",
    "relu",
    "relu6",
    "scale_channels",
    "sigmoid",
    "silu",
    "softmax",
    "stochastic_depth",
    "tanh",
]

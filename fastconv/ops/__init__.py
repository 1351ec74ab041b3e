"""Arrays in, arrays out: NumPy in, NumPy out; CuPy in, CuPy out; any DLPack producer. PyTorch's names and meanings.

CuPy arrays are computed on the GPU that holds them, NumPy arrays on the CPU, or by the CUDA kernels in the executor
inside ``with fastconv.device("simt"):``.
"""

from __future__ import annotations

from .activation import (
    activation_grad,
    hard_sigmoid,
    hard_swish,
    leaky_relu,
    log_softmax,
    log_softmax_grad,
    relu,
    relu6,
    sigmoid,
    silu,
    softmax,
    softmax_grad,
    tanh,
)
from .arithmetic import add, scale_channels, scale_channels_grad
from .cast import cast
from .conv import conv1d, conv2d, prepare_weight
from .conv_grad import conv2d_bias_grad, conv2d_input_grad, conv2d_weight_grad
from .conv_transpose import conv_transpose2d, conv_transpose2d_input_grad, conv_transpose2d_weight_grad
from .dropout import dropout
from .explain import algorithms, explain
from .interpolate import interpolate, interpolate_grad
from .layout import channels_last, concat, contiguous, pad
from .linear import linear, linear_bias_grad, linear_input_grad, linear_weight_grad
from .loss import (
    binary_cross_entropy,
    binary_cross_entropy_grad,
    binary_cross_entropy_with_logits,
    binary_cross_entropy_with_logits_grad,
    cross_entropy,
    cross_entropy_grad,
    mse_loss,
    mse_loss_grad,
)
from .norm import batch_norm, batch_norm_grad, batch_norm_train, local_response_norm, local_response_norm_grad
from .optimizer import adadelta_update, adagrad_update, adam_update, rmsprop_update, sgd_update
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
from .pool1d import avg_pool1d, avg_pool1d_grad, max_pool1d, max_pool1d_grad
from .unpool import max_unpool2d, max_unpool2d_grad

__all__ = [
    "activation_grad",
    "adadelta_update",
    "adagrad_update",
    "adam_update",
    "adaptive_avg_pool2d",
    "adaptive_avg_pool2d_grad",
    "adaptive_max_pool2d",
    "adaptive_max_pool2d_grad",
    "add",
    "algorithms",
    "avg_pool1d",
    "avg_pool1d_grad",
    "avg_pool2d",
    "avg_pool2d_grad",
    "batch_norm",
    "batch_norm_grad",
    "batch_norm_train",
    "binary_cross_entropy",
    "binary_cross_entropy_grad",
    "binary_cross_entropy_with_logits",
    "binary_cross_entropy_with_logits_grad",
    "cast",
    "channels_last",
    "concat",
    "contiguous",
    "conv1d",
    "conv2d",
    "conv2d_bias_grad",
    "conv2d_input_grad",
    "conv2d_weight_grad",
    "conv_transpose2d",
    "conv_transpose2d_input_grad",
    "conv_transpose2d_weight_grad",
    "cross_entropy",
    "cross_entropy_grad",
    "dropout",
    "explain",
    "hard_sigmoid",
    "hard_swish",
    "interpolate",
    "interpolate_grad",
    "leaky_relu",
    "linear",
    "linear_bias_grad",
    "linear_input_grad",
    "linear_weight_grad",
    "local_response_norm",
    "local_response_norm_grad",
    "log_softmax",
    "log_softmax_grad",
    "max_pool1d",
    "max_pool1d_grad",
    "max_pool2d",
    "max_pool2d_grad",
    "max_unpool2d",
    "max_unpool2d_grad",
    "mse_loss",
    "mse_loss_grad",
    "pad",
    "prepare_weight",
    "relu",
    "relu6",
    "rmsprop_update",
    "scale_channels",
    "scale_channels_grad",
    "sgd_update",
    "sigmoid",
    "silu",
    "softmax",
    "softmax_grad",
    "tanh",
]

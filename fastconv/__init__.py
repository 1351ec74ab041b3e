"""fastconv: a convolution engine for Python, in kernels written by hand.

``fastconv.ops``     arrays in, arrays out: conv2d, pooling, linear, norms, activations
``fastconv.Tensor``  an array that knows how it was computed, for gradients
``fastconv.nn``      functions on arrays and tensors, and layers on top of them
``fastconv.weights`` weights from and to files
``fastconv.onnx``    networks from ONNX files
``fastconv.data``    data sets, batches, random changes of images
``fastconv.models``  the classic CNNs, built from the layers
``fastconv.optim``   optimizers, schedules, clipping, loss scaling
``fastconv.train``   the training loop, checkpoints, transfer learning, profiles
``fastconv.bench``   what ``fastconv bench`` measures with
"""

from __future__ import annotations

from . import data, models, nn, onnx, ops, optim, train, weights
from .autograd import Function, Tensor
from .backends import device, devices
from .backends.cpu import num_threads, set_num_threads
from .backends.policy import allow_winograd, batch_invariant
from .backends.weight_cache import set_weight_cache_limit
from .checkpoint import checkpoint
from .errors import (
    AccuracyError,
    AlgorithmError,
    AutogradError,
    DeviceError,
    DTypeError,
    FastconvError,
    FileFormatError,
    KernelError,
    ModelError,
    ShapeError,
    StateDictError,
    TrainingError,
)
from .gradcheck import gradcheck
from .modes import autocast, is_grad_enabled, no_grad
from .nn.init import manual_seed
from .weights import load, save

__version__ = "0.1.0"

__all__ = [
    "AccuracyError",
    "AlgorithmError",
    "AutogradError",
    "DTypeError",
    "DeviceError",
    "FastconvError",
    "FileFormatError",
    "Function",
    "KernelError",
    "ModelError",
    "ShapeError",
    "StateDictError",
    "Tensor",
    "TrainingError",
    "__version__",
    "allow_winograd",
    "autocast",
    "batch_invariant",
    "checkpoint",
    "data",
    "device",
    "devices",
    "gradcheck",
    "is_grad_enabled",
    "load",
    "manual_seed",
    "models",
    "nn",
    "no_grad",
    "num_threads",
    "onnx",
    "ops",
    "optim",
    "save",
    "set_num_threads",
    "set_weight_cache_limit",
    "train",
    "weights",
]

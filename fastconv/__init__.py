"""fastconv: a convolution engine for Python, in kernels written by hand.

``fastconv.ops``     arrays in, arrays out: conv2d, pooling, linear, norms, activations
``fastconv.nn``      layers on top of them
``fastconv.weights`` weights from and to files
``fastconv.onnx``    networks from ONNX files
``fastconv.models``  the classic CNNs, built from the layers
``fastconv.bench``   what ``fastconv bench`` measures with
"""

from __future__ import annotations

from . import models, nn, onnx, ops, weights
from .backends import device, devices
from .backends.cpu import num_threads, set_num_threads
from .backends.policy import allow_winograd, batch_invariant
from .backends.weight_cache import set_weight_cache_limit
from .errors import (
    AccuracyError,
    AlgorithmError,
    DeviceError,
    DTypeError,
    FastconvError,
    FileFormatError,
    KernelError,
    ModelError,
    ShapeError,
    StateDictError,
)
from .weights import load, save

__version__ = "0.1.0"

__all__ = [
    "AccuracyError",
    "AlgorithmError",
    "DTypeError",
    "DeviceError",
    "FastconvError",
    "FileFormatError",
    "KernelError",
    "ModelError",
    "ShapeError",
    "StateDictError",
    "__version__",
    "allow_winograd",
    "batch_invariant",
    "device",
    "devices",
    "load",
    "models",
    "nn",
    "num_threads",
    "onnx",
    "ops",
    "save",
    "set_num_threads",
    "set_weight_cache_limit",
    "weights",
]

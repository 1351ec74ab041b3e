"""Normalisation layers and Dropout."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import ops
from ..errors import ModelError
from ..ops._arrays import Array, as_array
from . import init
from .module import Module, Parameter, expect_channels


class BatchNorm2d(Module):
    """Normalises channels by running statistics (evaluation mode; Ioffe and Szegedy, 2015).

    Statistics of the batch belong to training, which this version does not do: call `eval()` first.
    """

    def __init__(self, num_features: int, eps: float = 1e-5, momentum: float = 0.1) -> None:
        super().__init__()
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        self.weight = Parameter(np.ones(num_features, np.float32))
        self.bias = Parameter(np.zeros(num_features, np.float32))
        self.running_mean: Array
        self.running_var: Array
        self.register_buffer("running_mean", np.zeros(num_features, np.float32))
        self.register_buffer("running_var", np.ones(num_features, np.float32))
        self.register_buffer("num_batches_tracked", np.zeros((), np.int64))

    def forward(self, x: Any) -> Array:
        expect_channels(self, x, self.num_features)
        if self.training:
            raise ModelError(f"{self!r}: in training mode; this version normalises by running statistics, call eval()")
        return ops.batch_norm(x, self.running_mean, self.running_var, self.weight.data, self.bias.data, eps=self.eps)

    def extra_repr(self) -> str:
        return f"{self.num_features}, eps={self.eps:g}"


class LocalResponseNorm(Module):
    """Normalises across channels; see fastconv.ops.local_response_norm (alpha is divided by size, as in PyTorch)."""

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> None:
        super().__init__()
        self.size, self.alpha, self.beta, self.k = size, alpha, beta, k

    def forward(self, x: Any) -> Array:
        return ops.local_response_norm(x, self.size, self.alpha, self.beta, self.k)

    def extra_repr(self) -> str:
        return f"{self.size}, alpha={self.alpha:g}, beta={self.beta:g}, k={self.k:g}"


class Dropout(Module):
    """In training mode zeroes each element with probability p and scales the rest by 1/(1-p); else the identity.

    Source: Srivastava et al., 2014 (the inverted form).
    """

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        if not 0 <= p <= 1:
            raise ModelError(f"p: expected a probability in 0..1, got {p!r}")
        self.p = p

    def forward(self, x: Any) -> Array:
        array = as_array(x, "x")
        if not self.training or self.p == 0:
            return array
        keep = init.generator().random(array.shape, dtype=np.float32) >= self.p
        scale = array.dtype.type(1 / (1 - self.p) if self.p < 1 else 0)
        dropped: Array = np.where(keep, array * scale, array.dtype.type(0))
        return dropped

    def extra_repr(self) -> str:
        return f"p={self.p:g}"

"""Normalisation layers and Dropout."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..autograd import Tensor
from ..errors import ModelError, ShapeError
from ..modes import modes
from ..ops._arrays import Array, as_array
from . import functional
from .module import Module, Parameter, beside


class BatchNorm2d(Module):
    """Normalises the channels of (N, C, H, W) (Ioffe and Szegedy, 2015).

    In training mode by the batch's own mean and variance, of which the running ones take a share: `momentum`, or with None
    the average of all batches. In evaluation mode, and without track_running_stats never, by the running ones.

    Args:
        num_features: C.
        eps: added to the variance.
        momentum: the share of a batch in the running statistics; None for the cumulative average.
        affine: whether there are a weight and a bias.
        track_running_stats: whether there are running statistics; without, the batch's own serve in both modes.
    """

    dimensions: tuple[int, ...] = (4,)

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
    ) -> None:
        super().__init__()
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        self.weight: Parameter | None
        self.bias: Parameter | None
        self.register_parameter("weight", Parameter(np.ones(num_features, np.float32)) if affine else None)
        self.register_parameter("bias", Parameter(np.zeros(num_features, np.float32)) if affine else None)
        self.track_running_stats = track_running_stats
        self.running_mean: Array | None = None
        self.running_var: Array | None = None
        self.num_batches_tracked: Array
        if track_running_stats:
            self.register_buffer("running_mean", np.zeros(num_features, np.float32))
            self.register_buffer("running_var", np.ones(num_features, np.float32))
            self.register_buffer("num_batches_tracked", np.zeros((), np.int64))

    def forward(self, x: Any) -> Any:
        x = x if isinstance(x, Tensor) else as_array(x, "x")
        if x.ndim not in self.dimensions or x.shape[1] != self.num_features:
            shapes = {2: "(N, {})", 3: "(N, {}, L)", 4: "(N, {}, H, W)"}
            expected = " or ".join(shapes[n].format(self.num_features) for n in self.dimensions)
            raise ShapeError(f"{self!r}: expected x of shape {expected}, got {x.shape}")
        training = self.training or not self.track_running_stats
        momentum = 0.0 if self.momentum is None else self.momentum
        if training and self.track_running_stats and not modes().recomputing:
            self.num_batches_tracked += 1
            if self.momentum is None:
                momentum = 1.0 / float(self.num_batches_tracked)
        return functional.batch_norm(
            x,
            self.running_mean,
            self.running_var,
            beside(x, self.weight),
            beside(x, self.bias),
            training,
            momentum,
            self.eps,
        )

    def extra_repr(self) -> str:
        text = f"{self.num_features}, eps={self.eps:g}"
        text += f", momentum={self.momentum}" if self.momentum != 0.1 else ""
        text += ", affine=False" if self.weight is None else ""
        return text + ("" if self.track_running_stats else ", track_running_stats=False")


class BatchNorm1d(BatchNorm2d):
    """`BatchNorm2d` for (N, C) or (N, C, L)."""

    dimensions = (2, 3)


class LocalResponseNorm(Module):
    """Normalises across channels; see fastconv.ops.local_response_norm (alpha is divided by size, as in PyTorch)."""

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> None:
        super().__init__()
        self.size, self.alpha, self.beta, self.k = size, alpha, beta, k

    def forward(self, x: Any) -> Any:
        return functional.local_response_norm(x, self.size, self.alpha, self.beta, self.k)

    def extra_repr(self) -> str:
        return f"{self.size}, alpha={self.alpha:g}, beta={self.beta:g}, k={self.k:g}"


class Dropout(Module):
    """In training mode zeroes each element with probability p and scales the rest by 1/(1-p); else the identity.

    Source: Srivastava et al., 2014 (the inverted form). See functional.dropout for where the masks come from.
    """

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        if not 0 <= p <= 1:
            raise ModelError(f"p: expected a probability in 0..1, got {p!r}")
        self.p = p

    def forward(self, x: Any) -> Any:
        return functional.dropout(x if isinstance(x, Tensor) else as_array(x, "x"), self.p, self.training)

    def extra_repr(self) -> str:
        return f"p={self.p:g}"


class StochasticDepth(Module):
    """In training mode drops a residual branch for each image with probability p, and scales those kept by 1 / (1 - p).

    Source: Huang, Sun, Liu, Sedra and Weinberger: Deep Networks with Stochastic Depth, 2016.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        if not 0 <= p <= 1:
            raise ModelError(f"p: expected a probability in 0..1, got {p!r}")
        self.p = p

    def forward(self, x: Any) -> Any:
        return functional.stochastic_depth(x, self.p, self.training)

    def extra_repr(self) -> str:
        return f"p={self.p:g}"

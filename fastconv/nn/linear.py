"""Fully connected layer, and flattening."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import ShapeError
from . import functional, init
from .module import Module, Parameter, beside


class Linear(Module):
    """x weight^T + bias; see functional.linear."""

    def __init__(self, in_features: int, out_features: int, bias: bool = True) -> None:
        super().__init__()
        self.in_features, self.out_features = in_features, out_features
        self.weight = Parameter(init.uniform((out_features, in_features), in_features), copy=False)
        self.bias: Parameter | None
        self.register_parameter(
            "bias", Parameter(init.uniform((out_features,), in_features), copy=False) if bias else None
        )

    def forward(self, x: Any) -> Any:
        if np.shape(x)[-1:] != (self.in_features,):
            raise ShapeError(f"{self!r}: expected x of shape (..., {self.in_features}), got {np.shape(x)}")
        return functional.linear(x, beside(x, self.weight), beside(x, self.bias))

    def extra_repr(self) -> str:
        return f"{self.in_features}, {self.out_features}" + (", bias=False" if self.bias is None else "")


class Flatten(Module):
    """(N, C, H, W) to (N, C H W), in that logical order whatever the memory format."""

    def forward(self, x: Any) -> Any:
        if np.ndim(x) < 2:
            raise ShapeError(f"{self!r}: expected x of shape (N, ...), got {np.shape(x)}")
        return functional.flatten(x, 1)

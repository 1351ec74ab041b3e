"""Batch norms folded into the convolutions before them: the usual transform for inference."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np

from ..errors import ModelError
from .conv import Conv2d
from .module import Identity, Module, Parameter, Sequential
from .norm import BatchNorm2d


def fuse(model: Module) -> Module:
    """A copy of a model, in evaluation mode, whose batch norms are folded into the convolutions before them.

    With s = gamma / sqrt(running_var + eps), for each filter k,

        weight'[k] = s[k] weight[k]        bias'[k] = s[k] (bias[k] - running_mean[k]) + beta[k]

    computed in float64 and rounded once to the dtype of the weight (so fold before casting to 16 bits); the batch norm
    becomes an `Identity`. Residual additions and batch norms that follow no convolution stay.

    Which batch norm reads a convolution, and nothing else does, is known of neighbours in a `Sequential`; other modules
    say so in `folds`. Raises ModelError where they name something else.

    >>> import numpy as np, fastconv as fc
    >>> net = fc.nn.Sequential(fc.nn.Conv2d(3, 8, 3, bias=False), fc.nn.BatchNorm2d(8), fc.nn.ReLU())
    >>> fc.nn.fuse(net)
    Sequential(
      (0): Conv2d(3, 8, kernel_size=(3, 3), stride=(1, 1))
      (1): Identity()
      (2): ReLU()
    )
    """
    fused = _copy(model).eval()
    for _, module in list(fused.named_modules()):
        for conv_name, norm_name in _pairs(module):
            conv, (parent, name) = _at(module, conv_name), _parent(module, norm_name)
            norm = getattr(parent, name, None)
            if isinstance(norm, Identity) or (isinstance(norm, BatchNorm2d) and norm.running_mean is None):
                continue  # folded before, or without statistics to fold
            if not isinstance(conv, Conv2d) or not isinstance(norm, BatchNorm2d):
                found = f"{type(conv).__name__} and {type(norm).__name__}"
                raise ModelError(
                    f"{type(module).__name__}.folds: expected a Conv2d and a BatchNorm2d at "
                    f"{conv_name!r} and {norm_name!r}, got {found}"
                )
            _fold(conv, norm)
            setattr(parent, name, Identity())
    return fused


def _copy(model: Module) -> Module:
    # Weights that are packed for kernels stay behind: None in their place.
    packed: dict[int, Any] = {id(getattr(module, "_packed", None)): None for _, module in model.named_modules()}
    return copy.deepcopy(model, packed)


def _pairs(module: Module) -> Iterator[tuple[str, str]]:
    if isinstance(module, Sequential):
        for (conv, first), (norm, second) in pairwise(module._modules.items()):
            if isinstance(first, Conv2d) and isinstance(second, BatchNorm2d):
                yield conv, norm
    yield from module.folds


def _parent(module: Module, path: str) -> tuple[Any, str]:
    *way, name = path.split(".")
    parent: Any = module
    for step in way:
        parent = getattr(parent, step, None)
    return parent, name


def _at(module: Module, path: str) -> Any:
    parent, name = _parent(module, path)
    return getattr(parent, name, None)


def _fold(conv: Conv2d, norm: BatchNorm2d) -> None:
    dtype, weight, mean, variance = conv.weight.dtype, conv.weight.data, norm.running_mean, norm.running_var
    assert mean is not None and variance is not None
    scale = 1.0 / (variance.astype(np.float64) + norm.eps) ** 0.5
    if norm.weight is not None:
        scale = norm.weight.data.astype(np.float64) * scale
    bias = (0.0 if conv.bias is None else conv.bias.data.astype(np.float64)) - mean.astype(np.float64)
    shift = bias * scale + (0.0 if norm.bias is None else norm.bias.data.astype(np.float64))
    conv.weight = Parameter((weight.astype(np.float64) * scale[:, None, None, None]).astype(dtype), copy=False)
    conv.register_parameter("bias", Parameter(shift.astype(dtype), copy=False))

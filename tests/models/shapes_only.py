"""Runs a network on shapes: every layer gives zeros that take no memory, so that the largest runs in milliseconds."""

from __future__ import annotations

from contextlib import contextmanager
from types import SimpleNamespace
from unittest import mock

import numpy as np

from fastconv import nn
from fastconv.nn import functional
from fastconv.nn.summary import layer_macs, layer_problem
from fastconv.ops.pool import _window_count
from fastconv.problem import ConvProblem


def zeros(*shape):
    return np.broadcast_to(np.float32(0), shape)


def _pooled(x, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, *_, **__):
    def of(value, axis):
        return value[axis] if isinstance(value, tuple) else value

    stride = kernel_size if stride is None else stride
    sizes = (
        _window_count(x.shape[2 + i], *(of(v, i) for v in (kernel_size, stride, padding, dilation)), ceil_mode)
        for i in range(2)
    )
    return zeros(*x.shape[:2], *sizes)


def _pooled_with_indices(x, *arguments, return_indices=False):
    y = _pooled(x, *arguments)
    return (y, y) if return_indices else y


def _averaged(x, kernel_size, stride=None, padding=0, ceil_mode=False, *_, **__):
    return _pooled(x, kernel_size, stride, padding, 1, ceil_mode)


def _adaptive(x, output_size):
    size = output_size if isinstance(output_size, tuple) else (output_size, output_size)
    return zeros(*x.shape[:2], *size)


def _concat(arrays, dim=1):
    shape = list(arrays[0].shape)
    shape[dim] = sum(array.shape[dim] for array in arrays)
    return zeros(*shape)


@contextmanager
def shapes_only():
    """Yields the list of (layer, problem, multiply-adds) that convolutions and linear layers add to."""
    ran = []

    def solve(layer, x, *_):
        problem = layer_problem(layer, x)
        ran.append((layer, problem, layer_macs(layer, x)))
        return zeros(*(problem.y_shape if isinstance(problem, ConvProblem) else (*x.shape[:-1], layer.out_features)))

    def transposed(layer, x, *_):
        ran.append((layer, None, layer_macs(layer, x)))
        sizes = ((x.shape[2 + i] - 1) * layer.stride[i] - 2 * layer.padding[i] + layer.kernel_size[i] for i in range(2))
        return zeros(x.shape[0], layer.out_channels, *sizes)

    def same(layer, x):
        return x

    layers = {
        nn.Conv2d: solve,
        nn.ConvTranspose2d: transposed,
        nn.Linear: solve,
        nn.MaxPool2d: lambda layer, x: _pooled(
            x, layer.kernel_size, layer.stride, layer.padding, layer.dilation, layer.ceil_mode
        ),
        nn.AvgPool2d: lambda layer, x: _averaged(x, layer.kernel_size, layer.stride, layer.padding, layer.ceil_mode),
        nn.AdaptiveAvgPool2d: lambda layer, x: _adaptive(x, layer.output_size),
        nn.Flatten: lambda layer, x: zeros(x.shape[0], int(np.prod(x.shape[1:]))),
        **dict.fromkeys(
            (
                nn.BatchNorm2d,
                nn.ReLU,
                nn.ReLU6,
                nn.LeakyReLU,
                nn.SiLU,
                nn.Sigmoid,
                nn.Tanh,
                nn.Dropout,
                nn.LocalResponseNorm,
            ),
            same,
        ),
    }
    functions = SimpleNamespace(
        concat=_concat,
        add=lambda x, other, activation=None: x,
        max_pool2d=_pooled_with_indices,
        max_unpool2d=lambda x, indices, kernel_size, output_size: zeros(*x.shape[:2], *output_size),
        avg_pool2d=_averaged,
        adaptive_avg_pool2d=_adaptive,
        channel_shuffle=lambda x, groups: x,
        batch_norm=lambda x, *_, **__: x,
        flatten=lambda x, start_dim=0: zeros(x.shape[0], int(np.prod(x.shape[1:]))),
    )
    patches = [mock.patch.object(layer, "forward", forward) for layer, forward in layers.items()]
    patches.append(mock.patch.object(nn.Conv2d, "forward_fused", solve))
    patches.append(mock.patch.object(nn.ConvTranspose2d, "forward_fused", transposed))
    patches += [mock.patch.object(functional, name, function) for name, function in vars(functions).items()]
    for patch in patches:
        patch.start()
    try:
        yield ran
    finally:
        for patch in patches:
            patch.stop()

"""Steady calls of conv2d: what the first call found out, the next ones do not ask again.

A network calls each layer with arrays of the same shape, format and dtype, and with the same arguments, time after
time. Shape rules, the choice of a kernel, its packed weight and the result's extents are then the same as before, and
for a small layer finding them takes longer than computing. So the long way leaves a *launch* beside the weight:
settings, and what followed from them. The next call compares its settings and its arrays with that in one call of
_core, which allocates the result and runs the kernel, or declines. All that declines, errors included, goes the long
way.

What a launch depends on is compared each time, or held fast:

- the arguments of conv2d, by value and type (1, 1.0 and True are equal, but only one of them is a stride);
- shape, strides and dtype of every array; alignment; that `out` is writable and overlaps nothing that is read;
- the policy in force, and `registry.epoch`, which changes with kernels, tuning, threads and instruction set;
- the device: CPU alone, and a kernel of fastconv's own. A kernel that was registered by someone else is called the long
  way;
- the weight, which by `prepare_weight`'s contract does not change.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..backends import policy, registry
from ..backends.conv_weight import ConvWeight
from ..backends.cpu_conv import Forward
from ..backends.placement import numpy_device
from ..problem import ConvProblem
from ._arrays import Array


def settings_of(arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    """All that a launch depends on but arrays."""
    return (*arguments, policy.current(), registry.epoch)


def run(weight: ConvWeight, settings: tuple[Any, ...], x: Any, bias: Any, residual: Any, out: Any) -> Array | None:
    """conv2d's result, where an earlier call left a launch that fits; else None."""
    launches = weight.launches
    if launches is None or numpy_device.get() != "cpu":
        return None
    return launches.run(settings, x, bias, residual, out)


def remember(
    weight: ConvWeight,
    settings: tuple[Any, ...],
    x: Array,
    problem: ConvProblem,
    kernel: registry.Kernel,
    activation: str | None,
) -> None:
    """Leaves a launch for the next call with these settings, whose arguments are plain and have been checked."""
    if weight.launches is not None and type(x) is np.ndarray and isinstance(kernel.run, Forward):
        kernel.run.remember(settings, problem, x.dtype, weight, activation)

"""Timing one layer: correctness first, then every contender in turn with a peak probe beside each call.

Machines are shared and change speed from second to second. Contenders are therefore interleaved in one process,
the minimum and the median are reported, and a rate is a share of the peak that the same seconds allowed. Each
turn begins with a pause and an untimed call: engines let their threads spin for a while after a call, and one
engine's spinning threads must not take the cores that the next one is timed on.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import models, ops
from ..backends import registry
from ..errors import ShapeError
from ..nn import Module
from ..nn.module import numpy_dtype
from ..ops._arrays import empty_nhwc
from ..problem import ConvProblem, LinearProblem
from .peers import peer_calls
from .probe import Probe
from .suites import Layer

Array = NDArray[Any]

_OTHER = {"conv2d": "linear", "linear": "conv2d"}
PAUSE_SECONDS = 5e-3  # longer than OpenMP's and our own threads spin


@dataclass(frozen=True)
class Row:
    """One contender on one layer."""

    layer: str
    problem: str
    count: int
    contender: str
    chosen: bool  # the registry's own choice
    peer: bool  # another engine
    error: float  # max |y - float64| / max |float64|
    min_s: float
    median_s: float
    samples: int
    flops: int
    min_bytes: int
    peak_flops: float  # best burst among this layer's samples
    bandwidth: float  # best bytes a second at which a working set of min_bytes was read

    @property
    def gflops(self) -> float:
        return self.flops / self.min_s / 1e9

    @property
    def share_of_peak(self) -> float:
        return self.flops / self.min_s / self.peak_flops

    @property
    def floor_s(self) -> float:
        """Roofline: no faster than the arithmetic at peak, nor than moving every byte once."""
        return max(self.flops / self.peak_flops, self.min_bytes / self.bandwidth)

    @property
    def share_of_floor(self) -> float:
        return self.floor_s / self.min_s


def random_operands(problem: ConvProblem | LinearProblem, seed: int = 0) -> tuple[Array, Array]:
    """Normal x (channels-last) and weights scaled by 1/sqrt(fan-in), in the problem's dtype."""
    generator = np.random.default_rng(seed)
    dtype = numpy_dtype(problem.dtype)
    if isinstance(problem, LinearProblem):
        shapes: list[tuple[int, ...]] = [(problem.m, problem.k), (problem.n, problem.k)]
    else:
        shapes = [problem.x_shape, problem.weight_shape]
    x, weight = (generator.standard_normal(shape, dtype=np.float32) for shape in shapes)
    weight /= np.sqrt(np.float32(max(weight[0].size, 1)))
    x, weight = x.astype(dtype), weight.astype(dtype)
    return (ops.channels_last(x) if x.ndim == 4 else x), weight


def contenders(
    problem: ConvProblem | LinearProblem, x: Array, weight: Array, algo: str | None
) -> dict[str, tuple[Callable[[], Array], bool]]:
    """{algorithm: (function to time, whether it is the registry's choice)} for `algo`, or for "all".

    A convolution's algorithm leaves linear layers to the registry, and the other way round.
    """
    op = "linear" if isinstance(problem, LinearProblem) else "conv2d"
    choice = registry.choose(op, "cpu", problem).kernel.algo
    own, other = ({k.algo for k in registry.kernels(name, "cpu")} for name in (op, _OTHER[op]))
    names = [k.algo for k in registry.kernels(op, "cpu") if k.refusal(problem) is None]
    if algo is None or (algo != "all" and algo not in own and algo in other):
        names = [choice]
    elif algo != "all":
        names = [registry.choose(op, "cpu", problem, algo).kernel.algo]
    if isinstance(problem, LinearProblem):
        return {name: (partial(ops.linear, x, weight, algo=name), name == choice) for name in names}
    call = partial(
        ops.conv2d,
        x,
        ops.prepare_weight(weight),
        None,
        problem.stride,
        problem.padding,
        problem.dilation,
        problem.groups,
        out=empty_nhwc(x, problem.y_shape).transpose(0, 3, 1, 2),
    )
    return {name: (partial(call, algo=name), name == choice) for name in names}


def float64_result(problem: ConvProblem | LinearProblem, x: Array, weight: Array) -> Array:
    """The same operands in float64, by kernels that the tests hold equal to the seven-loop reference."""
    x, weight = x.astype(np.float64), weight.astype(np.float64)
    if isinstance(problem, LinearProblem):
        return ops.linear(x, weight)
    return ops.conv2d(x, weight, None, problem.stride, problem.padding, problem.dilation, problem.groups)


def relative_error(y: Array, exact: Array) -> float:
    """max |y - exact| / max |exact|."""
    scale = float(np.abs(exact).max(initial=0.0)) or 1.0
    return float(np.abs(y.astype(np.float64) - exact).max(initial=0.0)) / scale


def measure_layer(
    layer: Layer,
    probe: Probe,
    *,
    algo: str | None = None,
    peer: str | None = None,
    seconds: float = 0.5,
    least_samples: int = 5,
) -> list[Row]:
    """Rows for our contenders and the peer's, timed in turn for about `seconds` each."""
    if not 0 < seconds < 1e6:
        raise ShapeError(f"seconds: expected a positive number, got {seconds}")
    problem = layer.problem
    x, weight = random_operands(problem)
    exact = float64_result(problem, x, weight)
    ours = contenders(problem, x, weight, algo)
    calls: dict[str, Callable[[], Any]] = {name: call for name, (call, _) in ours.items()}
    if peer is not None:
        calls.update(peer_calls(peer, problem, x, weight))

    errors: dict[str, float] = {}
    for name, call in calls.items():  # the warm-up, and the proof that all compute the same
        y = call()
        errors[name] = relative_error(y if isinstance(y, np.ndarray) else y.float().numpy(), exact)

    times: dict[str, list[float]] = {name: [] for name in calls}
    peak = bandwidth = 0.0
    end = time.perf_counter() + seconds * len(calls)
    while True:
        enough = min(len(samples) for samples in times.values()) >= least_samples
        if time.perf_counter() >= end and (enough or max(sum(s) for s in times.values()) > 4 * seconds):
            break
        bandwidth = max(bandwidth, probe.bandwidth(problem.min_bytes))
        for name, call in calls.items():
            if peer is not None:
                time.sleep(PAUSE_SECONDS)
            peak = max(peak, probe.flops())
            call()
            start = time.perf_counter()
            call()
            times[name].append(time.perf_counter() - start)
    return [
        Row(
            layer=problem.name or str(problem),
            problem=str(problem).split('n"')[0],
            count=layer.count,
            contender=name,
            chosen=name in ours and ours[name][1],
            peer=name not in ours,
            error=errors[name],
            min_s=min(samples),
            median_s=statistics.median(samples),
            samples=len(samples),
            flops=problem.flops,
            min_bytes=problem.min_bytes,
            peak_flops=peak,
            bandwidth=bandwidth,
        )
        for name, samples in times.items()
    ]


def measure_model(model: Module, x: Array, seconds: float = 1.0, least_samples: int = 3) -> tuple[float, float]:
    """(minimum, median) seconds of a whole forward pass."""
    model(x)
    samples: list[float] = []
    end = time.perf_counter() + seconds
    while len(samples) < least_samples or time.perf_counter() < end:
        start = time.perf_counter()
        model(x)
        samples.append(time.perf_counter() - start)
    return min(samples), statistics.median(samples)


def measure_named_model(name: str, batch: int, dtype: str, seconds: float = 1.0) -> tuple[float, float]:
    """(minimum, median) seconds of a registered model's forward pass on a batch of noise."""
    model = models.create(name, dtype=dtype).eval()
    shape = (batch, *models.info(name).input_size)
    x = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
    return measure_model(model, x.astype(numpy_dtype(dtype)), seconds)

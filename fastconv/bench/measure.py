"""Timing one layer: correctness first, then every contender in turn with a peak probe beside each turn.

Machines are shared and change speed from second to second. Contenders are therefore interleaved in one process,
the minimum and the median are reported, and a rate is a share of the peak that the same seconds allowed. Beside
another engine a turn begins with a pause until no thread of the process is busy: engines let their threads spin after a
call (OpenMP's for some 8 ms, ONNX Runtime's for some 40), and those must not take the cores that the next one is timed
on. Then come untimed calls: threads that wake up together share a core for some milliseconds.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .. import models
from ..errors import AccuracyError, ShapeError
from ..nn import Module, fuse
from ..nn.module import numpy_dtype
from .peers import peer_calls
from .probe import Probe, other_running_threads
from .suites import Layer
from .work import Array, Call, contenders, float64_result, random_work, relative_error

WARM_SECONDS, TURN_SECONDS = 3e-3, 6e-3  # of untimed and of timed calls in one turn, one call at least
LEAST_TURNS = 3
LONGEST_PAUSE = 0.25  # seconds; an engine that spins for ever is not waited for


@dataclass(frozen=True)
class Row:
    """One contender on one layer."""

    layer: str
    problem: str
    direction: str
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


def pause_until_idle() -> None:
    """Sleeps until this thread is the only one of the process that runs, LONGEST_PAUSE at most."""
    end = time.perf_counter() + LONGEST_PAUSE
    idle = 0
    while idle < 2 and time.perf_counter() < end:
        time.sleep(1e-3)
        idle = 0 if other_running_threads() else idle + 1


def _turn(call: Call) -> list[float]:
    """Seconds of each of some calls."""
    clock = time.perf_counter
    end = clock() + WARM_SECONDS
    call()
    while clock() < end:
        call()
    samples: list[float] = []
    end = clock() + TURN_SECONDS
    while not samples or clock() < end:
        start = clock()
        call()
        samples.append(clock() - start)
    return samples


def measure_layer(
    layer: Layer,
    probe: Probe,
    *,
    algo: str | Sequence[str] | None = None,
    peers: Sequence[str] = (),
    direction: str = "forward",
    seconds: float = 0.5,
    least_samples: int = 5,
    patience: float = 4.0,
    tolerance: float | None = None,
) -> list[Row]:
    """Rows for our contenders and the peers', timed in turn for about `seconds` each.

    Args:
        algo: an algorithm, several, "all", or None for the registry's choice.
        least_samples: how many each contender gets even where that takes longer, unless one of them has spent
            `patience` times `seconds`.
        tolerance: the largest relative error that is let through to be timed; None times whatever comes.

    Raises AccuracyError where a contender is less accurate than `tolerance`, and what `peer_calls` raises.
    """
    if not 0 < seconds < 1e6:
        raise ShapeError(f"seconds: expected a positive number, got {seconds}")
    problem = layer.problem
    work = random_work(problem, direction)
    exact = float64_result(work)
    ours = contenders(work, algo)
    calls: dict[str, Call] = {name: call for name, (call, _) in ours.items()}
    for peer in peers:
        calls.update(peer_calls(peer, work))

    errors: dict[str, float] = {}
    for name, call in calls.items():  # the warm-up, and the proof that all compute the same
        y = call()
        errors[name] = relative_error(y if isinstance(y, np.ndarray) else y.double().numpy(), exact)
        if tolerance is not None and not errors[name] <= tolerance:  # NaN is none either
            raise AccuracyError(
                f"{name}: expected a relative error of at most {tolerance:g} on {direction} of {problem}, "
                f"got {errors[name]:.2g}"
            )

    times: dict[str, list[float]] = {name: [] for name in calls}
    peak = bandwidth = 0.0
    turns = 0
    end = time.perf_counter() + seconds * len(calls)
    while True:
        enough = turns >= LEAST_TURNS and min(len(samples) for samples in times.values()) >= least_samples
        spent = max(sum(samples) for samples in times.values())
        if time.perf_counter() >= end and (enough or spent > patience * seconds):
            break
        bandwidth = max(bandwidth, probe.bandwidth(problem.min_bytes))
        for name, call in calls.items():
            if peers:
                pause_until_idle()
            peak = max(peak, probe.flops())
            times[name] += _turn(call)
        turns += 1
    return [
        Row(
            layer=problem.name or str(problem),
            problem=str(problem).split('n"')[0],
            direction=direction,
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
    """(minimum, median) seconds of a registered model's forward pass on a batch of noise, batch norms folded."""
    model = fuse(models.create(name)).to(dtype)
    shape = (batch, *models.info(name).input_size)
    x = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
    return measure_model(model, x.astype(numpy_dtype(dtype)), seconds)

"""Tuning: which algorithm is the fastest on each layer, written to the file that the registry prefers to its costs."""

from __future__ import annotations

import json
import os
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rich import box
from rich.table import Table

from ..backends import registry
from ..errors import FileFormatError
from ..problem import ConvProblem
from .measure import measure_layer
from .probe import Probe
from .suites import Layer, resolve
from .work import DIRECTIONS

LEAST_GAIN = 1.03  # a win below it may be noise, and is not worth an entry


@dataclass(frozen=True)
class Tuned:
    """What was measured of one layer in one direction."""

    op: str
    problem: ConvProblem
    chosen: str  # by predicted cost
    seconds: dict[str, float]  # the least, of each algorithm

    @property
    def best(self) -> str:
        return min(self.seconds, key=lambda algo: self.seconds[algo])

    @property
    def gain(self) -> float:
        """How much faster the best is than the choice."""
        return self.seconds[self.chosen] / self.seconds[self.best]

    @property
    def entry(self) -> str | None:
        """The algorithm that belongs into the tuning file; None where the choice is good enough."""
        return self.best if self.gain > LEAST_GAIN else None


def layers_of(names: Iterable[str], batch: int | None = None, dtype: str = "float32") -> list[Layer]:
    """The distinct convolutions behind several names. Raises what `resolve` raises."""
    found = {layer.problem: layer for name in names for layer in resolve(name, batch, dtype)}
    return [layer for problem, layer in found.items() if isinstance(problem, ConvProblem)]


def candidates(op: str, problem: ConvProblem) -> list[str]:
    """The algorithms worth measuring: all that take the problem, the reference only where it is alone."""
    names = [kernel.algo for kernel in registry.kernels(op, "cpu") if kernel.refusal(problem) is None]
    return [name for name in names if name != "reference"] or names


def tune_layer(layer: Layer, probe: Probe, direction: str = "forward", seconds: float = 0.5) -> Tuned | None:
    """Measures the algorithms of a layer in turn, about `seconds` each; None where there is but one to choose."""
    assert isinstance(layer.problem, ConvProblem)
    op, problem = DIRECTIONS[direction], layer.problem
    with registry.untuned():
        chosen = registry.choose(op, "cpu", problem).kernel.algo
        names = list(dict.fromkeys([*candidates(op, problem), chosen]))
        if len(names) == 1:
            return None
        rows = measure_layer(layer, probe, algo=names, direction=direction, seconds=seconds)
    return Tuned(op, replace(problem, name=""), chosen, {row.contender: row.min_s for row in rows})


def target(output: str | None) -> Path:
    """The file to update: `output`, else the one that FASTCONV_TUNING names.

    Raises FileFormatError where there is neither, or what is there is no tuning file.
    """
    name = output or os.environ.get("FASTCONV_TUNING")
    if not name:
        raise FileFormatError(
            "output: expected a file to write to, as --output FILE or in FASTCONV_TUNING, got neither"
        )
    path = Path(name)
    if path.exists():
        registry.read_tuning(path)
    return path


def store(path: Path, results: Sequence[Tuned]) -> None:
    """Brings this machine's entries of what was measured up to date; the file changes whole or not at all."""
    content = registry.read_tuning(path) if path.exists() else {}
    entries = content.setdefault(registry.machine_key(), {})
    for result in results:
        key = registry.tuning_key(result.op, "cpu", result.problem)
        entries.pop(key, None)
        if result.entry is not None:
            entries[key] = result.entry
    fresh = path.with_name(path.name + ".part")
    try:
        fresh.write_text(json.dumps(content, indent=1) + "\n")
        fresh.replace(path)
    except OSError as error:
        raise FileFormatError(f"output {str(path)!r}: cannot be written: {error.strerror}") from None


def table(results: Sequence[Tuned]) -> Table:
    """For people: the layers whose entry differs from the choice by predicted cost."""
    changed = [result for result in results if result.entry is not None]
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("op", "problem", "predicted", "ms", "fastest", "ms", "gain"):
        number = heading in ("ms", "gain")
        made.add_column(heading, justify="right" if number else "left", overflow="fold", no_wrap=heading != "problem")
    for result in changed:
        times = {algo: f"{seconds * 1e3:.3f}" for algo, seconds in result.seconds.items()}
        cells = (result.chosen, times[result.chosen], result.best, times[result.best], f"{result.gain:.2f}x")
        made.add_row(result.op, str(result.problem), *cells)
    return made


def summary(results: Sequence[Tuned]) -> str:
    """One line: how many entries, and how far the choices by predicted cost are from the fastest."""
    if not results:
        return "nothing to tune: each layer has but one algorithm"
    mean = statistics.geometric_mean(result.gain for result in results)
    changed = sum(result.entry is not None for result in results)
    return (
        f"{changed} of {len(results)} choices changed; by predicted cost a layer takes {mean:.3f} times as long as "
        "with its fastest algorithm (geometric mean)"
    )

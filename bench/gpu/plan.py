"""What is measured, in which order: a list of units, the most important first. Pure; needs no GPU."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from typing import Any

from fastconv.backends import registry
from fastconv.bench.suites import Layer, resolve
from fastconv.problem import ConvProblem

NETWORKS = ("resnet50", "vgg16", "mobilenetv1", "googlenet")
BATCHES = (1, 32, 256)
FIRST_BATCH = 32  # at which every algorithm is timed

# Seconds after which a part's other units are put off until everything else is done.
CAPS = {"compile": 75.0, "correctness": 110.0}
CONVOLUTIONS = ("conv2d", "conv2d_input_grad", "conv2d_weight_grad")
DTYPES = ("float16", "float32", "bfloat16", "float64")


@dataclass(frozen=True)
class Unit:
    """One piece of work. `seconds` is how long it is expected to take, `limit` when it counts as hung."""

    id: str
    part: str
    seconds: float
    limit: float = 60.0
    arguments: dict[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """For a JSON file; Unit(**...) reads it back."""
        return asdict(self)


@lru_cache
def _layers(network: str) -> list[Layer]:
    return resolve(network, 1)  # a model is built for it, which takes seconds


def convolutions(network: str, batch: int, dtype: str = "float16") -> list[tuple[ConvProblem, int]]:
    """The distinct convolutions of a network, and how often each occurs."""
    found = [(layer.problem, layer.count) for layer in _layers(network)]
    return [(replace(d, n=batch, dtype=dtype), count) for d, count in found if isinstance(d, ConvProblem)]


def layer_units(
    part: str,
    network: str,
    batch: int,
    dtype: str = "float16",
    direction: str = "fprop",
    algos: str = "chosen",
) -> list[Unit]:
    """One unit a distinct layer. algos: "chosen" is the registry's own choice alone, "all" every one that accepts."""
    units = []
    for layer, count in convolutions(network, batch, dtype.replace("tf32", "float32")):
        problem = str(layer).split('n"')[0]
        arguments = {
            "network": network,
            "batch": batch,
            "layer": layer.name,
            "count": count,
            "problem": problem,
            "dtype": dtype,
            "direction": direction,
            "algos": algos,
        }
        units.append(Unit(f"{part}/{network}/{direction}/{dtype}/{problem}", part, 1.5, 60.0, arguments))
    return units


def correctness_units(device: str) -> list[Unit]:
    """Every row of the kernel table and every dtype it takes; convolutions first, and of dtypes the 16-bit one."""
    rows = [row for row in registry._table if row.device == device]
    found = [(row, dtype) for dtype in DTYPES for row in rows if dtype in row.dtypes]
    found.sort(key=lambda pair: pair[0].op not in CONVOLUTIONS)
    return [
        Unit(
            f"correctness/{row.op}/{row.algo}/{dtype}",
            "correctness",
            1.0,
            90.0,
            {"op": row.op, "algo": row.algo, "dtype": dtype},
        )
        for row, dtype in found
    ]


def units(networks: Sequence[str], batches: Sequence[int], device: str = "cuda") -> list[Unit]:
    """The whole plan."""
    plan = [
        Unit("facts", "facts", 5.0, 120.0),
        Unit("ceilings", "ceilings", 8.0, 90.0),
        Unit("compile", "compile", 20.0, 150.0, {"seconds": CAPS["compile"]}),
        *correctness_units(device),
        Unit("overhead", "overhead", 5.0, 90.0),
    ]
    ordered = sorted(batches, key=lambda batch: batch != FIRST_BATCH)
    for batch in ordered:
        for network in networks:
            plan += layer_units("layers", network, batch, algos="all" if batch == FIRST_BATCH else "chosen")
    first = networks[0] if networks else "resnet50"
    for dtype in ("float32", "tf32"):
        plan += layer_units("precision", first, FIRST_BATCH, dtype)
    for direction in ("dgrad", "wgrad"):
        plan += layer_units("gradients", first, FIRST_BATCH, "float16", direction)
    return list({unit.id: unit for unit in plan}.values())

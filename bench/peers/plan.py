"""What is measured, in which order. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from fastconv.bench import Layer, resolve
from fastconv.errors import ShapeError
from fastconv.problem import ConvProblem

NETWORKS = (
    *("vgg16", "resnet18", "resnet50", "googlenet", "densenet121", "inception_v3"),
    *("mobilenetv1", "mobilenet_v2", "alexnet", "efficientnet_b0", "deepbench", "convnet_benchmarks"),
)

# What tells one measurement from another: (shape, batch, threads, direction).
Key = tuple[str, int, int, str]


def shape_of(problem: ConvProblem) -> str:
    """A problem without its batch size and name: what networks have in common."""
    return str(replace(problem, n=1, name=""))


def network_layers(network: str) -> list[Layer]:
    """The distinct convolutions of a network or suite at batch 1, whatever batch a suite's own lines have."""
    return [layer for layer in resolve(network, 1) if isinstance(layer.problem, ConvProblem)]


def contents(networks: Iterable[str]) -> dict[str, list[dict[str, Any]]]:
    """{network: its layers in their order}, as the JSON file has them."""
    found: dict[str, list[dict[str, Any]]] = {}
    for network in networks:
        found[network] = [
            {"layer": layer.problem.name, "shape": shape_of(layer.problem), "count": layer.count}
            for layer in network_layers(network)
            if isinstance(layer.problem, ConvProblem)
        ]
    return found


def has_gradients(problem: ConvProblem) -> bool:
    """Gradients are measured for 3 x 3 and 1 x 1 kernels in one group."""
    return problem.groups == 1 and (problem.r, problem.s) in ((3, 3), (1, 1))


@dataclass(frozen=True)
class Job:
    """One layer in one direction, at one batch size and thread count."""

    problem: ConvProblem
    threads: int
    direction: str

    @property
    def key(self) -> Key:
        return (shape_of(self.problem), self.problem.n, self.threads, self.direction)


def jobs(
    networks: Iterable[str], batches: Sequence[int], threads: Sequence[int], directions: Sequence[str]
) -> list[Job]:
    """Every distinct layer once for each batch, thread count and direction. Raises ShapeError for a batch below 1."""
    if min(batches) < 1:
        raise ShapeError(f"batches: expected at least 1, got {min(batches)}")
    layers: dict[str, ConvProblem] = {}
    for network in networks:
        for layer in network_layers(network):
            assert isinstance(layer.problem, ConvProblem)
            layers.setdefault(shape_of(layer.problem), layer.problem)
    return [
        Job(replace(problem, n=batch), count, direction)
        for count in threads
        for direction in directions
        for batch in batches
        for problem in layers.values()
        if direction == "forward" or has_gradients(problem)
    ]

"""pytest-benchmark over the shape table: pytest bench --benchmark-only [--benchmark-json=out.json]."""

from __future__ import annotations

import pytest

from fastconv.backends import registry
from fastconv.bench.work import call_of, random_work
from fastconv.problem import ConvProblem
from tests.shapes import awkward, network_layers

NETWORKS = ("alexnet", "vgg16", "resnet50")


def layers() -> list[tuple[str, ConvProblem]]:
    """Every distinct convolution of the networks, and the awkward shapes."""
    found = [(network, problem) for network in NETWORKS for problem in network_layers(network)]
    return found + [("awkward", problem) for problem in awkward()]


@pytest.mark.parametrize("algo", [k.algo for k in registry.kernels("conv2d", "cpu") if k.algo != "reference"])
@pytest.mark.parametrize(("group", "problem"), layers(), ids=str)
def test_conv2d(benchmark, group: str, problem: ConvProblem, algo: str) -> None:
    call = call_of(random_work(problem), algo)
    benchmark.group = f"{group}: {problem}"
    benchmark.extra_info.update(problem=str(problem), algo=algo, flops=problem.flops)
    benchmark(call)

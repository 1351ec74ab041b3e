"""Extents whose products no memory holds are refused before a kernel multiplies them, in every direction."""

from __future__ import annotations

from dataclasses import replace

import pytest

import fastconv as fc
from fastconv import _core
from fastconv.backends import cpu, registry
from fastconv.backends.cpu_conv import OPS
from fastconv.problem import ConvProblem

SMALL = ConvProblem.parse("mb1ic4ih8oc4oh8kh3ph1")

ABSURD = [
    replace(SMALL, n=2**60),
    replace(SMALL, c=2**62),
    replace(SMALL, k=2**62),  # a gradient's channels
    replace(SMALL, c=1, k=2**46),  # x and the weight fit; what a gradient reads does not
    replace(SMALL, h=2**40, w=2**20),
    replace(SMALL, k=2**20, h=2**30),
    replace(SMALL, r=2**30, s=2**30, padding=((2**30, 2**30), (2**30, 2**30))),
    replace(SMALL, c=1, k=2**30, stride=(2**40, 1)),  # a distance in dy
    replace(SMALL, c=1, k=2**30, dilation=(2**40, 1), padding=((2**41, 2**41), (1, 1))),
    replace(SMALL, c=1, k=2**30, padding=((2**40, 0), (1, 1))),
    replace(SMALL, n=2**70),
]


@pytest.mark.parametrize("problem", ABSURD, ids=str)
def test_absurd_extents_are_one_clear_error(isa, problem):
    with pytest.raises(fc.ShapeError, match=f"problem {problem}: extents too large"):
        cpu.core_problem(problem)
    for op in OPS:
        with pytest.raises(fc.ShapeError, match="extents too large"):
            registry.choose(op, "cpu", problem)


def test_a_problem_line_with_absurd_extents():
    problem = ConvProblem.parse("mb1ic1ih64oc1099511627776oh64kh3ph1")
    for op in OPS:
        with pytest.raises(fc.ShapeError, match="extents too large"):
            registry.choose(op, "cpu", problem)


def test_the_largest_that_pass_have_sizes_without_overflow(isa):
    """What is computed from extents just below the limits is positive: workspaces and packed weights."""
    accepted = 0
    for bits in range(8, 46):
        for problem in (
            replace(SMALL, c=1, k=2**bits, h=1, w=1, r=3, s=3),
            replace(SMALL, k=1, c=2**bits, h=1, w=1, r=3, s=3),
            replace(SMALL, c=2**bits, k=2**bits, groups=2**bits, h=1, w=1),
            replace(SMALL, c=2 ** (bits // 2), k=2 ** (bits // 2)),
            replace(SMALL, n=2**bits, c=1, k=1),
            replace(SMALL, h=2**bits, w=1, c=1, k=1),
        ):
            try:
                core = cpu.core_problem(problem)
            except fc.ShapeError:
                continue
            accepted += 1
            for op, name, codes in _core.conv_algorithms():
                for code in codes:
                    if _core.conv_refusal(op, name, code, core) is None:
                        assert _core.conv_workspace(op, name, code, core) >= 0
    assert accepted > 100

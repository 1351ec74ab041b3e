"""Subnormal operands cost no more than ordinary ones: pytest bench/bench_denormals.py --benchmark-only.

Where a core handles subnormal numbers in microcode, each multiply-add of one takes some 150 cycles. The kernels count them
as zero inside their loops, so a group of this table should show the same time in every row, within a factor of 2.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fastconv.bench.work import call_of, random_work
from fastconv.problem import ConvProblem

PROBLEM = ConvProblem.parse("mb1ic64ih56oc64oh56kh3ph1")
SUBNORMAL = np.float32(1e-40)  # the least normal float32 is 1.2e-38


def scaled(array: NDArray[Any] | None, factor: np.float32) -> NDArray[Any]:
    """The array times the factor, in the same memory order."""
    assert array is not None
    result = array * factor
    assert result.strides == array.strides
    return result


@pytest.mark.parametrize("operands", ["ordinary", "subnormal weights", "subnormal inputs", "subnormal products"])
@pytest.mark.parametrize("algo", ["implicit_gemm", "winograd"])
def test_conv2d(benchmark, algo: str, operands: str) -> None:
    work = random_work(PROBLEM)
    half = np.float32(SUBNORMAL**0.5)  # each operand ordinary, their products subnormal
    factors = {
        "subnormal weights": (1, SUBNORMAL),
        "subnormal inputs": (SUBNORMAL, 1),
        "subnormal products": (half, half),
    }
    x, weight = factors.get(operands, (1, 1))
    work = replace(work, x=scaled(work.x, np.float32(x)), weight=scaled(work.weight, np.float32(weight)))
    benchmark.group = f"{PROBLEM}, {algo}"
    benchmark.extra_info.update(problem=str(PROBLEM), algo=algo, operands=operands)
    benchmark(call_of(work, algo))

"""What the CPU's convolution algorithms are expected to cost: the measured rules from which one is chosen.

The unit is a multiply-add of a well-fed core. Costs are compared with each other alone, so that neither clock nor
core count matters. Measured on two cores of a Zen 4 (AVX-512) virtual machine, one thread, on the layers of VGG-16,
ResNet-50 and DenseNet-121.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import gcd

from ..problem import ConvProblem
from .cpu import isa

VECTOR = {"avx512": 16, "avx2": 8, "portable": 4}
FILTERS = {"avx512": 112, "avx2": 48, "portable": 48}  # csrc/cpu/conv/implicit_wgrad.h: of a block, 8 mr
L3_BYTES = 16 << 20  # a weight beyond it comes from memory at each call


def _ceil(count: int, unit: int) -> int:
    return -(-count // unit) * unit


def _mirrored(problem: ConvProblem) -> ConvProblem:
    """The stride-1 convolution that computes the input's gradient: output and input change places."""
    d, ((top, bottom), (left, right)) = problem, problem.padding
    down, across = d.r - 1, d.s - 1
    padding = ((down - top, down - bottom), (across - left, across - right))
    return replace(d, c=d.k, k=d.c, h=d.p, w=d.q, padding=padding)


def _columns(problem: ConvProblem) -> int:
    """Filters of a group, rounded up to whole vectors (a depthwise group uses one lane of one)."""
    return _ceil(problem.k // problem.groups, VECTOR.get(isa(), 4)) * problem.groups


def _gathered(problem: ConvProblem) -> int:
    """Elements of the column matrix."""
    return problem.n * problem.p * problem.q * problem.r * problem.s * problem.c


def _gemm(problem: ConvProblem, an_element: float) -> float:
    """Multiply-adds, and the time that gathering an element of the column matrix takes."""
    window = problem.r * problem.s * (problem.c // problem.groups)
    return problem.n * problem.p * problem.q * window * _columns(problem) + an_element * _gathered(problem)


def _strip(problem: ConvProblem) -> float:
    """Depthwise and narrow groups: multiply-adds of vectors whose lanes are channels, idle lanes
    (csrc/cpu/conv/lanes.h) counted, and 4 for an element of x or y, which comes from L2.

    A window that csrc/cpu/conv/strip.h has no tile for loads its input anew for every tap: half as fast. Measured on
    the layers of MobileNet, EfficientNet and ResNeXt.
    """
    group_c, group_k = problem.c // problem.groups, problem.k // problem.groups
    slides = problem.dilation[1] == 1 and problem.s in _tiles(group_c).get(problem.stride[1], ())
    return problem.macs * _idle(group_c, group_k) * (1.0 if slides else 2.0) + 4.0 * _touched(problem)


def _strip_input_grad(problem: ConvProblem) -> float:
    """The same gather from dy's channels to x's, phase by phase (csrc/cpu/conv/phase.h): stride 1, and of the kernel's
    width the taps that the phase meets, one in stride / gcd(stride, dilation), rounded down or up.
    """
    group_c, group_k = problem.c // problem.groups, problem.k // problem.groups
    stride, dilation = problem.stride[1], problem.dilation[1]
    divisor = gcd(stride, dilation)
    met = {problem.s * divisor // stride, -(-problem.s * divisor // stride)} - {0}
    slides = dilation == divisor and met <= set(_tiles(group_k)[1])
    taps = problem.r * problem.s / (problem.stride[0] * stride)  # that a pixel of dx meets, on the average
    macs = problem.n * problem.h * problem.w * problem.c * group_k * taps
    return macs * _idle(group_k, group_c) * (1.0 if slides else 2.0) + 4.0 * _touched(problem)


def _tiles(group_in: int) -> dict[int, tuple[int, ...]]:
    """{stride: widths of a window} that csrc/cpu/conv/strip.h has tiles for: more where no lane is permuted."""
    return {1: (1, 2, 3, 5, 7), 2: (3, 5, 7)} if group_in == 1 else {1: (1, 2, 3, 5), 2: (3,)}


def _idle(group_in: int, group_out: int) -> float:
    """Lanes over those that compute something, for groups of so many channels in and out."""
    width = VECTOR.get(isa(), 4)
    used = max(width // max(group_in, group_out, 1), 1) * group_out
    return _ceil(used, width) / max(used, 1)


def _touched(problem: ConvProblem) -> int:
    """Elements of x and y."""
    return problem.n * (problem.c * problem.h * problem.w + problem.k * problem.p * problem.q)


def _winograd(problem: ConvProblem) -> float:
    """36 multiply-adds a tile, channel and filter; 10 an element transformed; the weight is read once a block of tiles.

    A strided kernel is folded first (csrc/cpu/conv/fold.h): stride x stride times the channels. Kernels of one row or
    column have 6 elements a tile, and parts of 4 taps beyond 5 (csrc/cpu/conv/winograd_plan.h).
    """
    stride, width = problem.stride[0], VECTOR.get(isa(), 4)
    length = max(problem.r, problem.s)
    parts = 1 if min(problem.r, problem.s) > 1 or length <= 5 else -(-(length - 1) // 3)
    out = 3 if parts > 1 else 7 - -(-length // stride)
    down, across = out if problem.r > 1 else 1, out if problem.s > 1 else 1
    elements = 36 if problem.r > 1 and problem.s > 1 else 6
    tiles = problem.n * -(-problem.p // down) * -(-problem.q // across)
    channels = problem.c * stride**2
    c, k = _ceil(channels, width), _columns(problem)
    weight = elements * parts * channels * k
    passes = -(-tiles // 56)
    read = 2.0 if 4 * weight <= L3_BYTES else 8.0
    folding = 4.0 * problem.n * problem.h * problem.w * problem.c if stride > 1 else 0.0
    return weight * tiles + 10.0 * elements * tiles * (c + k) + read * passes * weight + folding


def _reference(problem: ConvProblem) -> float:
    """A scalar multiply-add in double with a bounds check: about 60 vectorised ones."""
    return 60.0 * problem.macs + 1e5


# Gathering costs about 4 multiply-adds' time an element where it goes into L1 (implicit), and 30 where the column
# matrix is written to memory and read back.
_RULES: dict[str, Callable[[ConvProblem], float]] = {
    "winograd": _winograd,
    "implicit_gemm": lambda problem: _gemm(problem, 4.0),
    "im2col_gemm": lambda problem: _gemm(problem, 30.0),
    "depthwise": _strip,
    "grouped": _strip,
    "reference": _reference,
}


def _winograd_weight_grad(problem: ConvProblem) -> float:
    """36 multiply-adds a tile, channel and filter; 8 an element transformed; a tap's 36 sums pass through memory."""
    width = VECTOR.get(isa(), 4)
    tiles = problem.n * -(-problem.p // 4) * -(-problem.q // 4)
    c, k = _ceil(problem.c, width), problem.k
    sums = 36 * c * k
    return 36 * tiles * c * k + 8.0 * 36 * tiles * (c + k) + (6.0 if 4 * sums <= L3_BYTES else 16.0) * sums


def _weight_grad(problem: ConvProblem) -> float:
    """Multiply-adds on whole vectors of (r, s, c); a block of 8 mr filters and 256 columns of (r, s, c) copies its
    windows and its dy (csrc/cpu/conv/implicit_wgrad.h), so that windows are copied once a block of filters, dy once a
    block of columns.
    """
    group_k, window = problem.k // problem.groups, problem.r * problem.s * (problem.c // problem.groups)
    pixels = problem.n * problem.p * problem.q
    filter_blocks, column_blocks = -(-group_k // FILTERS.get(isa(), 48)), -(-window // 256)
    copied = filter_blocks * _gathered(problem) + column_blocks * pixels * problem.k
    return 1.2 * pixels * problem.k * _ceil(window, VECTOR.get(isa(), 4)) + 4.0 * copied


def _input_grad(problem: ConvProblem) -> float:
    """A product of dy's windows, one a pixel of dx; with stride s a pixel meets one tap in s x s of them."""
    taps = problem.r * problem.s / (problem.stride[0] * problem.stride[1])
    gathered = problem.n * problem.h * problem.w * taps * problem.k
    group_c = problem.c // problem.groups
    return gathered * (_ceil(group_c, VECTOR.get(isa(), 4)) + 4.0)


# Where a gradient's cost is not that of the forward convolution.
_GRADIENT_RULES: dict[tuple[int, str], Callable[[ConvProblem], float]] = {
    (1, "implicit_gemm"): _input_grad,
    (1, "depthwise"): _strip_input_grad,
    (1, "grouped"): _strip_input_grad,
    (1, "winograd"): lambda problem: _winograd(_mirrored(problem)),
    (2, "implicit_gemm"): _weight_grad,
    (2, "winograd"): _winograd_weight_grad,
}


def cost(op: int, algo: str, problem: ConvProblem) -> float:
    """Of an algorithm of fastconv._core for a problem it accepts; `op` is csrc/cpu/conv/conv.h's ConvOp."""
    return _GRADIENT_RULES.get((op, algo), _RULES[algo])(problem)

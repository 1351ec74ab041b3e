"""The CPU's convolutions as rows of the registry: forward and both gradients, by every algorithm that _core lists."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from .. import _core
from ..problem import ConvProblem
from .conv_weight import ConvWeight
from .cpu import ACTIVATION_CODE, DTYPE_CODE, Array, core_problem, isa
from .registry import Kernel, register

OPS = ("conv2d", "conv2d_input_grad", "conv2d_weight_grad")  # csrc/cpu/conv/conv.h: ConvOp


def _packed(op: int, algo: str, weight: ConvWeight, problem: ConvProblem, isa_name: str) -> Array:
    """A weight in the form that an algorithm wants, for an ISA: kept by `weight` for the next call."""
    code = DTYPE_CODE[problem.dtype]
    form = _core.weight_form(op, algo, code)
    if not form:
        return weight.krsc()  # type: ignore[no-any-return]
    key = (isa_name, form, problem.stride, problem.padding, problem.dilation, problem.groups)
    packed: Array = weight.form(
        key, lambda: _core.pack_weight(isa_name, op, algo, code, core_problem(problem), weight.krsc())
    )
    return packed


def _forward(
    algo: str,
    problem: ConvProblem,
    x: Array,
    weight: ConvWeight,
    bias: Array | None,
    residual: Array | None,
    y: Array,
    activation: str | None,
) -> None:
    isa_name, code = isa(), DTYPE_CODE[problem.dtype]
    form = _packed(0, algo, weight, problem, isa_name)
    _core.conv(isa_name, 0, algo, code, core_problem(problem), x, form, bias, residual, y, ACTIVATION_CODE[activation])


def _input_grad(algo: str, problem: ConvProblem, grad: Array, weight: ConvWeight, dx: Array) -> None:
    isa_name, code = isa(), DTYPE_CODE[problem.dtype]
    form = _packed(1, algo, weight, problem, isa_name)
    _core.conv(isa_name, 1, algo, code, core_problem(problem), grad, form, None, None, dx, 0)


def _weight_grad(algo: str, problem: ConvProblem, grad: Array, x: Array, dw: Array) -> None:
    code = DTYPE_CODE[problem.dtype]
    _core.conv(isa(), 2, algo, code, core_problem(problem), x, grad, None, None, dw, 0)


_RUN: tuple[Callable[..., None], ...] = (_forward, _input_grad, _weight_grad)


def _refusal(op: int, algo: str, problem: ConvProblem) -> str | None:
    return _core.conv_refusal(op, algo, DTYPE_CODE[problem.dtype], core_problem(problem))


def _workspace(op: int, algo: str, problem: ConvProblem) -> int:
    return _core.conv_workspace(op, algo, DTYPE_CODE[problem.dtype], core_problem(problem))


def _gemm_cost(problem: ConvProblem) -> float:
    """Multiply-adds, columns rounded up to a register tile's (a depthwise group uses one of them)."""
    columns = problem.k // problem.groups
    tile = {"avx512": 32, "avx2": 16}.get(isa(), 8)
    return problem.macs / max(columns, 1) * (-(-columns // tile) * tile)


def _gathered(problem: ConvProblem) -> int:
    """Elements of the column matrix."""
    return problem.n * problem.p * problem.q * problem.r * problem.s * problem.c


def _touched(problem: ConvProblem) -> int:
    """Elements of x and y."""
    return problem.n * (problem.c * problem.h * problem.w + problem.k * problem.p * problem.q)


def _strip_cost(problem: ConvProblem) -> float:
    """Multiply-adds of vectors whose lanes are channels: idle lanes (csrc/cpu/conv/lanes.h) count as well.

    A window that csrc/cpu/conv/strip.h has no tile for loads its input anew for every tap: half as fast.
    """
    width = {"avx512": 16, "avx2": 8}.get(isa(), 4)
    group_c, group_k = problem.c // problem.groups, problem.k // problem.groups
    packed = max(width // max(group_c, group_k, 1), 1)
    used = packed * group_k
    idle = -(-used // width) * width / max(used, 1)
    windows = {1: (1, 2, 3, 5, 7), 2: (3, 5, 7)} if problem.c == problem.groups else {1: (1, 2, 3, 5), 2: (3,)}
    slides = problem.dilation[1] == 1 and problem.s in windows.get(problem.stride[1], ())
    return problem.macs * idle * (1.0 if slides else 2.0)


# What an algorithm is expected to take, in multiply-adds of a well-fed core. Gathering costs about 4 multiply-adds'
# time an element where it goes into L1 (implicit), and 30 where the column matrix is written to memory and read back:
# measured on the 3x3 layers of VGG-16 and ResNet-50. Depthwise and narrow groups wait for L2: 4 for an element of x or y,
# measured on the layers of MobileNet, EfficientNet and ResNeXt. The reference: a scalar multiply-add in double with a bounds check
# is about 60 vectorised ones.
COSTS: dict[str, Callable[[ConvProblem], float]] = {
    "implicit_gemm": lambda d: _gemm_cost(d) + 4.0 * _gathered(d),
    "im2col_gemm": lambda d: _gemm_cost(d) + 30.0 * _gathered(d),
    "depthwise": lambda d: _strip_cost(d) + 4.0 * _touched(d),
    "grouped": lambda d: _strip_cost(d) + 4.0 * _touched(d),
    "reference": lambda d: 60.0 * d.macs + 1e5,
}

_NAMES = {code: name for name, code in DTYPE_CODE.items()}

for _op, _algo, _codes in _core.conv_algorithms():
    register(
        Kernel(
            OPS[_op],
            "cpu",
            _algo,
            partial(_RUN[_op], _algo),
            tuple(_NAMES[code] for code in _codes),
            partial(_refusal, _op, _algo),
            partial(_workspace, _op, _algo),
            COSTS[_algo],
        )
    )

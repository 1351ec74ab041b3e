"""The CPU's convolutions as rows of the registry: forward and both gradients, by every algorithm that _core lists."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

from .. import _core
from ..problem import ConvProblem
from .conv_weight import ConvWeight
from .cpu import ACTIVATION_CODE, DTYPE_CODE, Array, core_problem, isa
from .cpu_cost import cost
from .registry import Kernel, register

_TRANSFORMS = ("winograd",)  # these multiply transformed tiles, and so round otherwise than the direct method
OPS = ("conv2d", "conv2d_input_grad", "conv2d_weight_grad")  # csrc/cpu/conv/conv.h: ConvOp


@cache
def _weight_form(op: int, algo: str, code: int) -> str:
    return _core.weight_form(op, algo, code)


def _packed(op: int, algo: str, weight: ConvWeight, problem: ConvProblem, isa_name: str) -> Array:
    """A weight in the form that an algorithm wants, for an ISA: kept by `weight` for the next call."""
    code = DTYPE_CODE[problem.dtype]
    form = _weight_form(op, algo, code)
    if not form:
        krsc: Array = weight.krsc()
        return krsc
    # An input's gradient has min(stride, extent) phases: its form depends on that, too.
    phases = (min(problem.stride[0], problem.h), min(problem.stride[1], problem.w))
    key = (isa_name, form, problem.stride, problem.padding, problem.dilation, problem.groups, phases)
    packed: Array = weight.form(
        key, lambda: _core.pack_weight(isa_name, op, algo, code, core_problem(problem), weight.krsc())
    )
    return packed


@dataclass(frozen=True)
class Forward:
    """conv2d by an algorithm of _core."""

    algo: str

    def __call__(
        self,
        problem: ConvProblem,
        x: Array,
        weight: ConvWeight,
        bias: Array | None,
        residual: Array | None,
        y: Array,
        activation: str | None,
    ) -> None:
        name, code, core = isa(), DTYPE_CODE[problem.dtype], core_problem(problem)
        form = _packed(0, self.algo, weight, problem, name)
        _core.conv(name, 0, self.algo, code, core, x, form, bias, residual, y, ACTIVATION_CODE[activation])

    def remember(
        self, settings: tuple[Any, ...], problem: ConvProblem, dtype: Any, weight: ConvWeight, activation: str | None
    ) -> None:
        """Makes `weight.launches` run such a call by itself whenever these settings come again."""
        name, code, core = isa(), DTYPE_CODE[problem.dtype], core_problem(problem)
        form = _packed(0, self.algo, weight, problem, name)
        assert weight.launches is not None
        weight.launches.add(settings, name, self.algo, code, core, dtype, form, ACTIVATION_CODE[activation])


def _input_grad(algo: str, problem: ConvProblem, grad: Array, weight: ConvWeight, dx: Array) -> None:
    isa_name, code = isa(), DTYPE_CODE[problem.dtype]
    form = _packed(1, algo, weight, problem, isa_name)
    _core.conv(isa_name, 1, algo, code, core_problem(problem), grad, form, None, None, dx, 0)


def _weight_grad(algo: str, problem: ConvProblem, grad: Array, x: Array, dw: Array) -> None:
    code = DTYPE_CODE[problem.dtype]
    _core.conv(isa(), 2, algo, code, core_problem(problem), x, grad, None, None, dw, 0)


_RUN: tuple[Callable[[str], Callable[..., None]], ...] = (
    Forward,
    lambda algo: partial(_input_grad, algo),
    lambda algo: partial(_weight_grad, algo),
)


def _refusal(op: int, algo: str, problem: ConvProblem) -> str | None:
    return _core.conv_refusal(op, algo, DTYPE_CODE[problem.dtype], core_problem(problem))


def _workspace(op: int, algo: str, problem: ConvProblem) -> int:
    return _core.conv_workspace(op, algo, DTYPE_CODE[problem.dtype], core_problem(problem))


_NAMES = {code: name for name, code in DTYPE_CODE.items()}

for _op, _algo, _codes in _core.conv_algorithms():
    register(
        Kernel(
            OPS[_op],
            "cpu",
            _algo,
            _RUN[_op](_algo),
            tuple(_NAMES[code] for code in _codes),
            partial(_refusal, _op, _algo),
            partial(_workspace, _op, _algo),
            partial(cost, _op, _algo),
            direct=_algo not in _TRANSFORMS,
        )
    )

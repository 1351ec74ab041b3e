"""Which kernels could compute a call, which one would, and why; what the call costs at the least."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ..backends import policy, registry
from ..backends.placement import device_of
from ..errors import AlgorithmError
from ..problem import ConvProblem, LinearProblem
from ._arrays import Array, as_array, dtype_name, image_batch, is_channels_last, require_alike
from .conv import conv2d, conv_problem, weight_of
from .conv_grad import conv2d_input_grad, conv2d_weight_grad, extents, gradient
from .linear import linear, linear_problem


@dataclass(frozen=True)
class Candidate:
    """A kernel and what the registry knows of it for one problem."""

    algo: str
    refusal: str | None
    workspace: int
    cost: float


@dataclass(frozen=True)
class Explanation:
    """Printable: the problem, the candidates, the choice, the conversions and the floor."""

    op: str
    device: str
    problem: ConvProblem | LinearProblem
    candidates: tuple[Candidate, ...]
    choice: str
    reason: str
    conversions: tuple[str, ...]

    def __str__(self) -> str:
        problem = self.problem
        lines = [f"{self.op} on {self.device}, {problem.dtype}: {problem}"]
        cheapest = min((c.cost for c in self.candidates if c.refusal is None), default=1.0) or 1.0
        for candidate in self.candidates:
            mark = "->" if candidate.algo == self.choice else "  "
            if candidate.refusal is not None:
                lines.append(f"  {mark} {candidate.algo:<14} refuses: {candidate.refusal}")
            else:
                cost = f"predicted {candidate.cost / cheapest:.2f}x the cheapest"
                lines.append(f"  {mark} {candidate.algo:<14} workspace {_bytes(candidate.workspace):>10}   {cost}")
        lines.append(f"  chosen: {self.choice} ({self.reason})")
        lines += [f"  converts {conversion}" for conversion in self.conversions] or ["  converts nothing"]
        intensity = problem.flops / max(problem.min_bytes, 1)
        lines.append(
            f"  floor: {problem.flops / 1e6:,.1f} MFLOP (direct method), {_bytes(problem.min_bytes)} moved once, "
            f"{intensity:.1f} FLOP a byte"
        )
        return "\n".join(lines)


def _bytes(count: int) -> str:
    value = float(count)
    for unit in ("B", "KiB", "MiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} GiB"


# What is read off a call: the problem, the conversions, and the array whose device computes.
_Read = tuple[ConvProblem | LinearProblem, tuple[str, ...], Array]


def _conv_call(call: Mapping[str, Any]) -> _Read:
    x, weight = call["x"], call["weight"]
    images, _single = image_batch(x, "x")
    prepared = weight_of(weight)
    require_alike(images, prepared.array, "weight")
    name = dtype_name(images.dtype)
    form = {argument: call[argument] for argument in ("stride", "padding", "dilation", "groups")}
    problem = conv_problem(images.shape, prepared.shape, **form, dtype=name)
    conversions = []
    if not is_channels_last(images):
        conversions.append(f"x to channels-last and the result back ({_bytes(images.nbytes)} in)")
    if not prepared.kept:
        conversions.append(f"weight, packed by this call ({_bytes(prepared.array.nbytes)}; prepare_weight keeps it)")
    return problem, tuple(conversions), images


def _conv_grad_call(call: Mapping[str, Any]) -> _Read:
    """Of either gradient: the arrays are its operands, the shape that is given is its result's."""
    operands = {name: as_array(call[name], name) for name in ("grad", "x") if name in call}
    if "weight" in call:
        prepared = weight_of(call["weight"])
        require_alike(operands["grad"], prepared.array, "weight")
        x_shape, weight_shape = extents(call["input_shape"], 4, "input_shape", "(N, C, H, W)"), prepared.shape
    else:
        require_alike(operands["grad"], operands["x"], "x")
        x_shape = operands["x"].shape
        weight_shape = extents(call["weight_shape"], 4, "weight_shape", "(K, C/groups, R, S)")
    form = {argument: call[argument] for argument in ("stride", "padding", "dilation", "groups")}
    problem = conv_problem(x_shape, weight_shape, **form, dtype=dtype_name(operands["grad"].dtype))
    gradient(operands["grad"], problem.y_shape)
    conversions = [
        f"{name} to channels-last ({_bytes(array.nbytes)})"
        for name, array in operands.items()
        if not is_channels_last(array)
    ]
    return problem, tuple(conversions), operands["grad"]


def _linear_call(call: Mapping[str, Any]) -> _Read:
    operands = {name: as_array(call[name], name) for name in ("x", "weight")}
    conversions = [
        f"{name} to contiguous memory ({_bytes(array.nbytes)})"
        for name, array in operands.items()
        if not array.flags.c_contiguous
    ]
    return linear_problem(operands["x"], operands["weight"]), tuple(conversions), operands["x"]


# The operations that have several kernels, and what reads a call of theirs.
_CALLS: dict[str, tuple[Callable[..., Any], Callable[[Mapping[str, Any]], _Read]]] = {
    "conv2d": (conv2d, _conv_call),
    "conv2d_input_grad": (conv2d_input_grad, _conv_grad_call),
    "conv2d_weight_grad": (conv2d_weight_grad, _conv_grad_call),
    "linear": (linear, _linear_call),
}


def _call(op: str, args: Any, kwargs: Any) -> Any:
    """(problem, conversions, device) of op(*args, **kwargs), its arguments bound as Python would bind them."""
    if op not in _CALLS:
        raise AlgorithmError(f"op: expected one of {', '.join(_CALLS)}, got {op!r}")
    function, read = _CALLS[op]
    try:
        bound = inspect.signature(function).bind(*args, **kwargs)
    except TypeError as error:
        raise AlgorithmError(f"{op}: {error}") from None
    bound.apply_defaults()
    problem, conversions, array = read(bound.arguments)
    return problem, conversions, device_of(array)


def algorithms(op: str, *args: Any, **kwargs: Any) -> list[str]:
    """Names of the kernels that accept this call of ``conv2d``, its gradients or ``linear``; each may be passed as
    ``algo=``.

    >>> import numpy as np, fastconv as fc
    >>> x, w = np.zeros((1, 8, 9, 9), np.float32), np.zeros((4, 8, 3, 3), np.float32)
    >>> fc.ops.algorithms("conv2d", x, w)
    ['winograd', 'implicit_gemm', 'im2col_gemm', 'reference']
    """
    problem, _, device = _call(op, args, kwargs)
    return [k.algo for k in registry.kernels(op, device) if k.refusal(problem) is None]


def explain(op: str, *args: Any, **kwargs: Any) -> Explanation:
    """What ``fastconv.ops.conv2d(*args, **kwargs)`` (its gradients, or ``linear``) would do: print the result."""
    problem, conversions, device = _call(op, args, kwargs)
    asked, rule = kwargs.get("algo"), policy.current()
    choice = registry.choose(op, device, problem, asked)
    candidates = []
    for kernel in registry.kernels(op, device):
        # What is asked for by name need not please the policy.
        refusal = kernel.refusal(problem) if kernel.algo == asked else registry.passed_over(kernel, problem, rule)
        takes = refusal is None
        candidates.append(
            Candidate(
                kernel.algo,
                refusal,
                kernel.workspace(problem) if takes else 0,
                kernel.cost(registry.seen(problem, rule)) if takes else float("inf"),
            )
        )
    return Explanation(op, device, problem, tuple(candidates), choice.kernel.algo, choice.reason, conversions)

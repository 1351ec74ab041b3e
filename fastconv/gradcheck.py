"""Gradients against differences: what backward gives beside what the function does when an input moves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .autograd import Tensor
from .backends.array_memory import array_module, is_cupy
from .errors import AccuracyError, DTypeError
from .modes import enable_grad, no_grad
from .ops._arrays import as_array


def gradcheck(
    function: Callable[..., Any],
    inputs: Any,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    seed: int = 0,
) -> bool:
    """Compares the gradients of a function with central differences, in float64.

    Args:
        function: takes tensors, gives a tensor or a tuple of them; must give the same each time.
        inputs: an array, or a sequence of them. Floating-point ones are taken as float64 and checked, element by
            element; tensors that require no gradient, and integers, stay as they are.
        eps: how far an element moves to either side.
        atol, rtol: |gradient - difference| <= atol + rtol |difference| is required.
        seed: of the weights in the sum of all outputs whose gradient is looked at.

    Returns True, or raises AccuracyError naming the input, the element and both numbers.

    >>> import numpy as np, fastconv as fc
    >>> fc.gradcheck(fc.nn.functional.tanh, np.linspace(-2, 2, 5))
    True
    """
    given = list(inputs) if isinstance(inputs, (tuple, list)) else [inputs]
    tensors = [_as_checked(value, f"inputs[{i}]") for i, value in enumerate(given)]
    if not any(tensor.requires_grad for tensor in tensors):
        raise DTypeError("inputs: expected a floating-point array or a tensor that requires a gradient among them")
    weights: list[Any] = []

    def weighted_sum() -> float:
        total = 0.0
        for weight, output in zip(weights, _outputs(function, tensors), strict=True):
            total += float((weight * output.data).sum())
        return total

    with enable_grad():
        outputs = _outputs(function, tensors)
    generator = np.random.default_rng(seed)
    for output in outputs:
        weight = generator.standard_normal(output.shape)
        weights.append(array_module(output.data).asarray(weight))
    for i, (output, weight) in enumerate(zip(outputs, weights, strict=True)):
        if output.requires_grad:
            output.backward(weight.astype(output.dtype), retain_graph=i + 1 < len(outputs))
    with no_grad():
        for i, tensor in enumerate(tensors):
            if tensor.requires_grad:
                _compare(tensor, weighted_sum, f"inputs[{i}]", eps, atol, rtol)
    return True


def _as_checked(value: Any, name: str) -> Tensor:
    """A tensor over a copy in float64 that requires its gradient, or one that is only passed on."""
    array = value.data if isinstance(value, Tensor) else value
    array = array if isinstance(array, np.ndarray) or is_cupy(array) else as_array(array, name)
    if array.dtype.kind in "iub" or (isinstance(value, Tensor) and not value.requires_grad):
        return Tensor(array)
    return Tensor(array.astype(np.float64, order="K"), requires_grad=True)


def _outputs(function: Callable[..., Any], tensors: Sequence[Tensor]) -> list[Tensor]:
    result = function(*tensors)
    outputs = list(result) if isinstance(result, (tuple, list)) else [result]
    for output in outputs:
        if not isinstance(output, Tensor):
            raise DTypeError(f"function: expected it to return tensors, got {type(output).__name__}")
    return [output for output in outputs if output.dtype.kind in "fV"]


def _compare(
    tensor: Tensor, weighted_sum: Callable[[], float], name: str, eps: float, atol: float, rtol: float
) -> None:
    array = tensor.data
    gradient = np.zeros(tensor.shape) if tensor.grad is None else Tensor(tensor.grad).numpy()
    for at in np.ndindex(*tensor.shape):
        before = array[at].item()
        array[at] = before + eps
        above = weighted_sum()
        array[at] = before - eps
        below = weighted_sum()
        array[at] = before
        difference = (above - below) / (2 * eps)
        if not abs(gradient[at] - difference) <= atol + rtol * abs(difference):
            where = f"{name}[{', '.join(map(str, at))}]"
            raise AccuracyError(
                f"{where}: backward gives {gradient[at]:.9g}, the central difference is {difference:.9g} "
                f"(eps {eps:g}, atol {atol:g}, rtol {rtol:g})"
            )

"""Memory for time: a part of a network that keeps its inputs alone and computes the rest anew for its gradients."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import copy_context
from typing import Any

from .autograd import Context, Function, Tensor, backward
from .modes import Scope, modes, no_grad
from .nn import init


def checkpoint(function: Callable[..., Any], *inputs: Any) -> Any:
    """function(*inputs), of which only the inputs are kept; backward runs it a second time, recorded.

    The second run draws what the first one drew (dropout's masks, the generator), on the device and under the autocast
    of the first, so that the gradients are those without a checkpoint, bit for bit; running statistics count a batch
    once. Source: Chen et al., Training Deep Nets with Sublinear Memory Cost, 2016.

    Args:
        function: takes tensors (and anything else, passed on), gives a tensor or a tuple of them; what it closes over,
            the parameters of layers say, gets its gradients as usual.
        inputs: tensors, or arrays, which then are computed on as arrays, without a second run.

    >>> import numpy as np, fastconv as fc
    >>> layer, x = fc.nn.Linear(3, 2), fc.Tensor(np.ones((1, 3), np.float32))
    >>> fc.checkpoint(layer, x).sum().backward()
    >>> layer.bias.grad
    array([1., 1.], dtype=float32)
    """
    tensors = [value for value in inputs if isinstance(value, Tensor)]
    if not tensors or not modes().recording:
        return function(*inputs)
    places = [_TENSOR if isinstance(value, Tensor) else value for value in inputs]
    return _Checkpoint.apply(*tensors, function=function, places=places)


_TENSOR = object()  # stands where a tensor goes


class _Checkpoint(Function):
    """A function of tensors as one node."""

    always_recorded = True  # the parameters that it closes over are no inputs

    @staticmethod
    def forward(ctx: Context, *arrays: Any, function: Callable[..., Any], places: list[Any]) -> Any:
        ctx.function_of_tensors, ctx.places = function, places
        ctx.random, ctx.surroundings = init.get_state(), copy_context()
        ctx.save(*arrays)
        with no_grad():
            result = function(*_merged([Tensor(array) for array in arrays], places))
        return tuple(map(_data, result)) if isinstance(result, tuple) else _data(result)

    @staticmethod
    def backward(ctx: Context, *grads: Any) -> Any:
        tensors = [Tensor(array, needed) for array, needed in zip(ctx.saved, ctx.needs_grad, strict=True)]

        def again() -> Any:
            now = init.get_state()
            init.set_state(ctx.random)
            try:
                with Scope(recording=True, recomputing=True):
                    return ctx.function_of_tensors(*_merged(tensors, ctx.places))
            finally:
                init.set_state(now)

        result = ctx.surroundings.run(again)
        outputs = result if isinstance(result, tuple) else (result,)
        backward([(y, grad) for y, grad in zip(outputs, grads, strict=True) if y.requires_grad])
        return tuple(tensor.grad for tensor in tensors)


def _merged(tensors: list[Tensor], places: list[Any]) -> list[Any]:
    """The arguments in their order."""
    waiting = iter(tensors)
    return [next(waiting) if value is _TENSOR else value for value in places]


def _data(value: Any) -> Any:
    return value.data if isinstance(value, Tensor) else value

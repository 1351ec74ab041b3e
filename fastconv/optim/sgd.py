"""Gradient descent: SGD, and the names of its two kinds of momentum."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from .. import ops
from ..errors import TrainingError
from ..nn import Parameter
from .optimizer import Array, Group, Optimizer, State, array_of


class SGD(Optimizer):
    """Stochastic gradient descent (Robbins and Monro, 1951) with momentum (Polyak, 1964), torch.optim.SGD's formulas.

    g += weight_decay p; v = momentum v + (1 - dampening) g, at first v = g; p -= lr v, or with nesterov
    p -= lr (g + momentum v).

    >>> import numpy as np, fastconv as fc
    >>> p = fc.nn.Parameter(np.ones(3, np.float32))
    >>> p.grad = np.full(3, 2, np.float32)
    >>> fc.optim.SGD([p], lr=0.25).step()
    >>> p.data
    array([0.5, 0.5, 0.5], dtype=float32)
    """

    def __init__(
        self,
        params: Iterable[Parameter] | Iterable[Mapping[str, Any]],
        lr: float = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        *,
        l1: float = 0.0,
    ) -> None:
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "dampening": dampening,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
            "l1": l1,
        }
        super().__init__(params, defaults)

    def add_param_group(self, group: Mapping[str, Any]) -> None:
        super().add_param_group(group)
        added = self.param_groups[-1]
        if added["nesterov"] and (not added["momentum"] or added["dampening"]):
            self.param_groups.pop()
            raise TrainingError("nesterov: expected a momentum and no dampening with it")

    def update(self, param: Array, grad: Array, state: State, group: Group, low: Array | None) -> None:
        first = "momentum_buffer" not in state
        ops.sgd_update(
            param,
            grad,
            array_of(state, "momentum_buffer", param) if group["momentum"] else None,
            lr=group["lr"],
            momentum=group["momentum"],
            dampening=group["dampening"],
            weight_decay=group["weight_decay"],
            nesterov=group["nesterov"],
            first=first,
            low=low,
        )


class Momentum(SGD):
    """SGD with Polyak's heavy ball (1964): v = momentum v + g; p -= lr v."""

    def __init__(
        self,
        params: Iterable[Parameter] | Iterable[Mapping[str, Any]],
        lr: float = 1e-2,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        *,
        l1: float = 0.0,
    ) -> None:
        super().__init__(params, lr, momentum, weight_decay=weight_decay, l1=l1)


class NAG(SGD):
    """SGD with Nesterov's accelerated gradient (1983; Sutskever et al., 2013): v = momentum v + g;
    p -= lr (g + momentum v)."""

    def __init__(
        self,
        params: Iterable[Parameter] | Iterable[Mapping[str, Any]],
        lr: float = 1e-2,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        *,
        l1: float = 0.0,
    ) -> None:
        super().__init__(params, lr, momentum, weight_decay=weight_decay, nesterov=True, l1=l1)

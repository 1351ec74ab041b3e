"""Optimizers with a step size for every weight: Adagrad, Adadelta, RMSprop, Adam, AdamW. torch.optim's formulas."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from .. import ops
from ..nn import Parameter
from .optimizer import Array, Group, Optimizer, State, array_of

Params = Iterable[Parameter] | Iterable[Mapping[str, Any]]


class Adagrad(Optimizer):
    """Adagrad (Duchi, Hazan and Singer, 2011): s += g^2; p -= lr / (1 + (step - 1) lr_decay) g / (sqrt(s) + eps)."""

    def __init__(
        self,
        params: Params,
        lr: float = 1e-2,
        lr_decay: float = 0.0,
        weight_decay: float = 0.0,
        initial_accumulator_value: float = 0.0,
        eps: float = 1e-10,
        *,
        l1: float = 0.0,
    ) -> None:
        defaults = {
            "lr": lr,
            "lr_decay": lr_decay,
            "weight_decay": weight_decay,
            "initial_accumulator_value": initial_accumulator_value,
            "eps": eps,
            "l1": l1,
        }
        super().__init__(params, defaults)

    def update(self, param: Array, grad: Array, state: State, group: Group, low: Array | None) -> None:
        ops.adagrad_update(
            param,
            grad,
            array_of(state, "sum", param, group["initial_accumulator_value"]),
            lr=group["lr"] / (1 + (state["step"] - 1) * group["lr_decay"]),
            eps=group["eps"],
            weight_decay=group["weight_decay"],
            low=low,
        )


class Adadelta(Optimizer):
    """Adadelta (Zeiler, 2012): s = rho s + (1 - rho) g^2; d = sqrt(u + eps) / sqrt(s + eps) g;
    u = rho u + (1 - rho) d^2; p -= lr d."""

    def __init__(
        self,
        params: Params,
        lr: float = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0.0,
        *,
        l1: float = 0.0,
    ) -> None:
        super().__init__(params, {"lr": lr, "rho": rho, "eps": eps, "weight_decay": weight_decay, "l1": l1})

    def update(self, param: Array, grad: Array, state: State, group: Group, low: Array | None) -> None:
        ops.adadelta_update(
            param,
            grad,
            array_of(state, "square_avg", param),
            array_of(state, "acc_delta", param),
            lr=group["lr"],
            rho=group["rho"],
            eps=group["eps"],
            weight_decay=group["weight_decay"],
            low=low,
        )


class RMSprop(Optimizer):
    """RMSprop (Tieleman and Hinton, lecture 6.5 of Neural Networks for Machine Learning, 2012; centered: Graves, 2013).

    s = alpha s + (1 - alpha) g^2; p -= lr g / (sqrt(s) + eps). centered: s - a^2 stands for s under the root, with
    a = alpha a + (1 - alpha) g. With momentum, v = momentum v + g / (sqrt(s) + eps), and p -= lr v.
    """

    def __init__(
        self,
        params: Params,
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
        *,
        l1: float = 0.0,
    ) -> None:
        defaults = {
            "lr": lr,
            "alpha": alpha,
            "eps": eps,
            "weight_decay": weight_decay,
            "momentum": momentum,
            "centered": centered,
            "l1": l1,
        }
        super().__init__(params, defaults)

    def update(self, param: Array, grad: Array, state: State, group: Group, low: Array | None) -> None:
        ops.rmsprop_update(
            param,
            grad,
            array_of(state, "square_avg", param),
            array_of(state, "momentum_buffer", param) if group["momentum"] else None,
            array_of(state, "grad_avg", param) if group["centered"] else None,
            lr=group["lr"],
            alpha=group["alpha"],
            eps=group["eps"],
            weight_decay=group["weight_decay"],
            momentum=group["momentum"],
            centered=group["centered"],
            low=low,
        )


class Adam(Optimizer):
    """Adam (Kingma and Ba, 2015): m = b1 m + (1 - b1) g; v = b2 v + (1 - b2) g^2;
    p -= lr m / (1 - b1^step) / (sqrt(v / (1 - b2^step)) + eps). weight_decay is part of the gradient (L2)."""

    decoupled = False

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        *,
        l1: float = 0.0,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "l1": l1})

    def update(self, param: Array, grad: Array, state: State, group: Group, low: Array | None) -> None:
        ops.adam_update(
            param,
            grad,
            array_of(state, "exp_avg", param),
            array_of(state, "exp_avg_sq", param),
            state["step"],
            lr=group["lr"],
            betas=group["betas"],
            eps=group["eps"],
            weight_decay=group["weight_decay"],
            decoupled=self.decoupled,
            low=low,
        )


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov and Hutter, 2019): p -= lr weight_decay p besides Adam's step."""

    decoupled = True

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        *,
        l1: float = 0.0,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay, l1=l1)

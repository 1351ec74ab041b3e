"""Loss scaling: keeps float16 gradients away from zero and from infinity."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from typing import Any

import numpy as np

from ..errors import StateDictError, TrainingError
from .optimizer import Optimizer


class GradScaler:
    """Multiplies the loss, divides the gradients; a step whose gradients are not finite is left out and the scale lowered.

    After `growth_interval` steps without such an event the scale grows again. torch.amp.GradScaler's rules; Micikevicius
    et al., Mixed Precision Training, 2018. With enabled=False everything passes through.

    >>> import fastconv as fc
    >>> fc.optim.GradScaler().get_scale()
    65536.0
    """

    def __init__(
        self,
        init_scale: float = 2.0**16,
        growth_factor: float = 2.0,
        backoff_factor: float = 0.5,
        growth_interval: int = 2000,
        enabled: bool = True,
    ) -> None:
        if not init_scale > 0:
            raise TrainingError(f"init_scale: expected a number above 0, got {init_scale!r}")
        if not growth_factor > 1:
            raise TrainingError(f"growth_factor: expected a number above 1, got {growth_factor!r}")
        if not 0 < backoff_factor < 1:
            raise TrainingError(f"backoff_factor: expected a number between 0 and 1, got {backoff_factor!r}")
        if growth_interval < 1:
            raise TrainingError(f"growth_interval: expected at least 1, got {growth_interval!r}")
        self.growth_factor, self.backoff_factor, self.growth_interval = growth_factor, backoff_factor, growth_interval
        self.enabled = enabled
        self._scale = float(init_scale)
        self._streak = 0  # steps since the scale changed
        self._finite: dict[int, bool] = {}  # by id(optimizer): what unscale_ found since the last update()

    def get_scale(self) -> float:
        """The factor in force; 1 where disabled."""
        return self._scale if self.enabled else 1.0

    def scale(self, loss: Any) -> Any:
        """The loss times the scale: call backward() of this."""
        return loss * self._scale if self.enabled else loss

    def unscale_(self, optimizer: Optimizer) -> None:
        """Divides the gradients by the scale now: before they are clipped. `step` does it where this did not."""
        if not self.enabled:
            return
        if id(optimizer) in self._finite:
            raise TrainingError("optimizer: its gradients were unscaled already; call update() after each step")
        inverse = 1.0 / self._scale
        flags = []
        for group in optimizer.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p.grad = p.grad * p.grad.dtype.type(inverse)
                    flags.append(np.isfinite(p.grad).all())
        # One answer for all: a GPU is asked once.
        self._finite[id(optimizer)] = bool(reduce(np.logical_and, flags)) if flags else True

    def step(self, optimizer: Optimizer) -> bool:
        """optimizer.step(), unless a gradient is not finite; whether it was done."""
        if not self.enabled:
            optimizer.step()
            return True
        if id(optimizer) not in self._finite:
            self.unscale_(optimizer)
        if self._finite[id(optimizer)]:
            optimizer.step()
        return self._finite[id(optimizer)]

    def update(self) -> None:
        """Sets the scale of the next iteration, once each."""
        if not self.enabled:
            return
        if not self._finite:
            raise TrainingError("update: expected a step(optimizer) before it")
        if all(self._finite.values()):
            self._streak += 1
            if self._streak == self.growth_interval:
                self._scale, self._streak = self._scale * self.growth_factor, 0
        else:
            self._scale, self._streak = self._scale * self.backoff_factor, 0
        self._finite = {}

    def state_dict(self) -> dict[str, Any]:
        """Plain numbers."""
        return {
            "scale": self._scale,
            "growth_factor": self.growth_factor,
            "backoff_factor": self.backoff_factor,
            "growth_interval": self.growth_interval,
            "growth_tracker": self._streak,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Puts a `state_dict()` into force. Raises StateDictError where a key is missing."""
        if missing := [key for key in self.state_dict() if key not in state]:
            raise StateDictError(f"GradScaler: missing {', '.join(missing)}")
        self._scale, self._streak = float(state["scale"]), int(state["growth_tracker"])
        self.growth_factor, self.backoff_factor = float(state["growth_factor"]), float(state["backoff_factor"])
        self.growth_interval = int(state["growth_interval"])

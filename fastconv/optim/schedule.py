"""Learning rates over time: torch.optim.lr_scheduler's names and arguments.

Each schedule but ReduceLROnPlateau is a function of (step, group), where torch's are recurrences: the same rates up to
rounding, and a schedule that is resumed cannot differ from one that was not.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..errors import StateDictError, TrainingError
from .optimizer import Optimizer


class Schedule:
    """Base of the schedules: sets each group's "lr" to rate(last_epoch, group), at once and after every step().

    A step is what the caller makes it: an epoch, or an iteration. The rates that the groups have when the first
    schedule is made ("initial_lr") are base_lrs.
    """

    def __init__(self, optimizer: Optimizer) -> None:
        if not isinstance(optimizer, Optimizer):
            raise TrainingError(f"optimizer: expected an Optimizer, got {type(optimizer).__name__}")
        self.optimizer = optimizer
        for group in optimizer.param_groups:
            group.setdefault("initial_lr", group["lr"])
        self.base_lrs = [float(group["initial_lr"]) for group in optimizer.param_groups]
        self.last_epoch = 0
        self._apply()

    def rate(self, epoch: int, group: int) -> float:
        """The rate of a group after that many steps."""
        raise NotImplementedError(f"{type(self).__name__} defines no rate()")

    def step(self) -> None:
        """Goes on by one."""
        self.last_epoch += 1
        self._apply()

    def get_last_lr(self) -> list[float]:
        """The rates in force, one a group."""
        return [float(group["lr"]) for group in self.optimizer.param_groups]

    def _apply(self) -> None:
        for i in range(len(self.base_lrs)):
            self.optimizer.param_groups[i]["lr"] = self.rate(self.last_epoch, i)

    def state_dict(self) -> dict[str, Any]:
        """Plain numbers."""
        return {"last_epoch": self.last_epoch, "base_lrs": list(self.base_lrs)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Puts a `state_dict()` into force. Raises StateDictError where it has other groups."""
        try:
            last, base = int(state["last_epoch"]), [float(lr) for lr in state["base_lrs"]]
        except (KeyError, TypeError, ValueError):
            expected = "expected 'last_epoch' and 'base_lrs', as state_dict() gives"
            raise StateDictError(f"{type(self).__name__}: {expected}") from None
        if len(base) != len(self.base_lrs):
            raise StateDictError(f"base_lrs: expected {len(self.base_lrs)} groups, got {len(base)}")
        self.last_epoch, self.base_lrs = last, base
        self._apply()


class StepLR(Schedule):
    """base gamma^(epoch // step_size).

    >>> import numpy as np, fastconv as fc
    >>> sgd = fc.optim.SGD([fc.nn.Parameter(np.zeros(1, np.float32))], lr=1.0)
    >>> schedule = fc.optim.StepLR(sgd, step_size=2, gamma=0.5)
    >>> for _ in range(3):
    ...     schedule.step()
    >>> schedule.get_last_lr()
    [0.5]
    """

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1) -> None:
        self.step_size, self.gamma = _count(step_size, "step_size", 1), gamma
        super().__init__(optimizer)

    def rate(self, epoch: int, group: int) -> float:
        return self.base_lrs[group] * self.gamma ** (epoch // self.step_size)


class MultiStepLR(Schedule):
    """base gamma^(number of milestones reached)."""

    def __init__(self, optimizer: Optimizer, milestones: Sequence[int], gamma: float = 0.1) -> None:
        self.milestones, self.gamma = sorted(_count(m, "milestones", 0) for m in milestones), gamma
        super().__init__(optimizer)

    def rate(self, epoch: int, group: int) -> float:
        return self.base_lrs[group] * self.gamma ** bisect.bisect_right(self.milestones, epoch)


class ExponentialLR(Schedule):
    """base gamma^epoch."""

    def __init__(self, optimizer: Optimizer, gamma: float) -> None:
        self.gamma = gamma
        super().__init__(optimizer)

    def rate(self, epoch: int, group: int) -> float:
        return float(self.base_lrs[group] * self.gamma**epoch)


class CosineAnnealingLR(Schedule):
    """eta_min + (base - eta_min) (1 + cos(pi epoch / T_max)) / 2 (Loshchilov and Hutter, SGDR, 2017; no restarts)."""

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0) -> None:
        self.T_max, self.eta_min = _count(T_max, "T_max", 1), eta_min
        super().__init__(optimizer)

    def rate(self, epoch: int, group: int) -> float:
        return self.eta_min + (self.base_lrs[group] - self.eta_min) * (1 + math.cos(math.pi * epoch / self.T_max)) / 2


class LinearLR(Schedule):
    """base times a factor that goes from start_factor to end_factor in total_iters steps, and stays."""

    def __init__(
        self, optimizer: Optimizer, start_factor: float = 1 / 3, end_factor: float = 1.0, total_iters: int = 5
    ) -> None:
        for name, value in (("start_factor", start_factor), ("end_factor", end_factor)):
            if not 0 <= value <= 1 or (name == "start_factor" and value == 0):
                raise TrainingError(f"{name}: expected a number in 0 to 1, got {value!r}")
        self.start_factor, self.end_factor = start_factor, end_factor
        self.total_iters = _count(total_iters, "total_iters", 1)
        super().__init__(optimizer)

    def rate(self, epoch: int, group: int) -> float:
        done = min(epoch, self.total_iters) / self.total_iters
        return self.base_lrs[group] * (self.start_factor + (self.end_factor - self.start_factor) * done)


class LambdaLR(Schedule):
    """base times lr_lambda(epoch): one function, or one for each group."""

    def __init__(
        self, optimizer: Optimizer, lr_lambda: Callable[[int], float] | Sequence[Callable[[int], float]]
    ) -> None:
        groups = len(optimizer.param_groups)
        self.lambdas = [lr_lambda] * groups if callable(lr_lambda) else list(lr_lambda)
        if len(self.lambdas) != groups:
            raise TrainingError(f"lr_lambda: expected {groups} functions, one a group, got {len(self.lambdas)}")
        super().__init__(optimizer)

    def rate(self, epoch: int, group: int) -> float:
        return self.base_lrs[group] * float(self.lambdas[group](epoch))


class SequentialLR(Schedule):
    """One schedule after the other; each begins anew at its milestone."""

    def __init__(self, optimizer: Optimizer, schedulers: Sequence[Schedule], milestones: Sequence[int]) -> None:
        self.schedulers = list(schedulers)
        self.milestones = [_count(m, "milestones", 1) for m in milestones]
        for schedule in self.schedulers:
            if not isinstance(schedule, Schedule) or isinstance(schedule, ReduceLROnPlateau):
                kind = type(schedule).__name__
                raise TrainingError(f"schedulers: expected schedules that are functions of the step, got {kind}")
            if schedule.optimizer is not optimizer:
                raise TrainingError("schedulers: expected schedules of the same optimizer")
        if not self.schedulers or len(self.milestones) != len(self.schedulers) - 1:
            expected, got = max(len(self.schedulers) - 1, 0), len(self.milestones)
            raise TrainingError(f"milestones: for {len(self.schedulers)} schedules expected {expected}, got {got}")
        if self.milestones != sorted(set(self.milestones)):
            raise TrainingError(f"milestones: expected them in ascending order, got {list(milestones)}")
        super().__init__(optimizer)

    def rate(self, epoch: int, group: int) -> float:
        index = bisect.bisect_right(self.milestones, epoch)
        return self.schedulers[index].rate(epoch - (self.milestones[index - 1] if index else 0), group)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        super().load_state_dict(state)
        for schedule in self.schedulers:
            schedule.base_lrs = list(self.base_lrs)
        self._apply()


def warmup(schedule: Schedule, steps: int, start_factor: float = 0.01) -> SequentialLR:
    """A schedule that begins after `steps` steps of linear growth (Goyal et al., Large Minibatch SGD, 2017)."""
    ramp = LinearLR(schedule.optimizer, start_factor, 1.0, steps)
    return SequentialLR(schedule.optimizer, [ramp, schedule], [steps])


class ReduceLROnPlateau(Schedule):
    """Multiplies the rates by `factor` after more than `patience` steps without a better metric. torch's rules.

    Better is below best (1 - threshold) with threshold_mode "rel", below best - threshold with "abs"; for mode "max"
    above best (1 + threshold) or best + threshold. After a reduction `cooldown` steps count for nothing. Rates stay at
    or above min_lr; changes of at most eps are left out.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: float = 0.0,
        eps: float = 1e-8,
    ) -> None:
        for name, value, allowed in (
            ("mode", mode, ("min", "max")),
            ("threshold_mode", threshold_mode, ("rel", "abs")),
        ):
            if value not in allowed:
                raise TrainingError(f"{name}: expected {' or '.join(allowed)}, got {value!r}")
        if not 0 < factor < 1:
            raise TrainingError(f"factor: expected a number between 0 and 1, got {factor!r}")
        self.mode, self.factor, self.threshold, self.threshold_mode = mode, factor, threshold, threshold_mode
        self.patience, self.cooldown = _count(patience, "patience", 0), _count(cooldown, "cooldown", 0)
        self.min_lr, self.eps = min_lr, eps
        self.best = math.inf if mode == "min" else -math.inf
        self.bad_epochs = self.cooldown_counter = 0
        super().__init__(optimizer)

    def _apply(self) -> None:
        """Rates change in step(metric) only."""

    def step(self, metric: float | None = None) -> None:
        """Goes on by one, with the metric that is watched."""
        if metric is None:
            raise TrainingError("metric: expected a number to watch, got None")
        current = float(metric)
        self.last_epoch += 1
        if self._is_better(current):
            self.best, self.bad_epochs = current, 0
        else:
            self.bad_epochs += 1
        if self.cooldown_counter > 0:
            self.cooldown_counter -= 1
            self.bad_epochs = 0
        if self.bad_epochs > self.patience:
            for group in self.optimizer.param_groups:
                lr = max(group["lr"] * self.factor, self.min_lr)
                if group["lr"] - lr > self.eps:
                    group["lr"] = lr
            self.cooldown_counter, self.bad_epochs = self.cooldown, 0

    def _is_better(self, value: float) -> bool:
        sign = 1 if self.mode == "max" else -1
        margin = self.threshold if self.threshold_mode == "abs" else 0.0
        ratio = self.threshold if self.threshold_mode == "rel" else 0.0
        bound = self.best * (1 + sign * ratio) + sign * margin
        return value > bound if self.mode == "max" else value < bound

    def state_dict(self) -> dict[str, Any]:
        counters = {"best": self.best, "bad_epochs": self.bad_epochs, "cooldown_counter": self.cooldown_counter}
        return {**super().state_dict(), **counters, "rates": self.get_last_lr()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        if missing := [key for key in self.state_dict() if key not in state]:
            raise StateDictError(f"ReduceLROnPlateau: missing {', '.join(missing)}")
        super().load_state_dict(state)
        self.best = float(state["best"])
        self.bad_epochs, self.cooldown_counter = int(state["bad_epochs"]), int(state["cooldown_counter"])
        for group, lr in zip(self.optimizer.param_groups, state["rates"], strict=True):
            group["lr"] = float(lr)


def _count(value: Any, name: str, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise TrainingError(f"{name}: expected an int of at least {least}, got {value!r}")
    return value

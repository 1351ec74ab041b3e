"""What all optimizers share: parameter groups, states, 16-bit parameters, state dicts."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..backends.array_memory import is_cupy
from ..backends.placement import move
from ..errors import StateDictError, TrainingError
from ..nn import Parameter
from ..ops._arrays import compute_dtype, empty

Array = NDArray[Any]
Group = dict[str, Any]
State = dict[str, Any]

# What a group may hold besides the settings of its optimizer.
_EXTRA = ("params", "name", "initial_lr")


class Optimizer:
    """Base of the optimizers; a subclass names its settings and does one parameter's step in `update`.

    Args:
        params: parameters, or dicts with a list of them under "params" and settings of their own ("lr", ...): each
            dict is a group; what a group does not set is `defaults`.
        defaults: settings and their values. All take `l1`: l1 sign(p) is added to the gradient.

    A parameter without a gradient is left out. A parameter of 16 bits gets a float32 master copy, which is what is
    updated; the parameter is that, rounded.

    Raises TrainingError for settings that there are not, or that cannot be, and for a parameter in two groups.
    """

    def __init__(self, params: Iterable[Parameter] | Iterable[Mapping[str, Any]], defaults: Mapping[str, Any]) -> None:
        self.defaults = dict(defaults)
        self.param_groups: list[Group] = []
        self._state: dict[int, State] = {}  # by id(parameter): the groups keep the parameters alive
        self._versions: dict[int, int] = {}  # of 16-bit parameters, as their masters know them
        if isinstance(params, (Parameter, Mapping)) or not isinstance(params, Iterable):
            raise TrainingError(f"params: expected an iterable of parameters or of groups, got {type(params).__name__}")
        given: list[Any] = list(params)
        if not given:
            raise TrainingError("params: expected at least one parameter, got none")
        if isinstance(given[0], Mapping):
            for group in given:
                self.add_param_group(group)
        else:
            self.add_param_group({"params": given})

    def add_param_group(self, group: Mapping[str, Any]) -> None:
        """Adds a group: {"params": [...], "lr": ...}."""
        name = type(self).__name__
        if not isinstance(group, Mapping) or "params" not in group:
            raise TrainingError(f"{name}: expected a group as a dict with 'params', got {group!r:.80}")
        if unknown := [key for key in group if key not in self.defaults and key not in _EXTRA]:
            raise TrainingError(f"{name}: no setting {unknown[0]!r}; there are {', '.join(self.defaults)}")
        params = [group["params"]] if isinstance(group["params"], Parameter) else list(group["params"])
        known = {id(p) for other in self.param_groups for p in other["params"]}
        for parameter in params:
            if not isinstance(parameter, Parameter):
                raise TrainingError(f"params: expected parameters, got {type(parameter).__name__}")
            if id(parameter) in known:
                raise TrainingError(f"params: {parameter!r} is there more than once")
            known.add(id(parameter))
        merged = {**self.defaults, **group, "params": params}
        for key in self.defaults:
            merged[key] = _setting(key, merged[key], self.defaults[key])
        self.param_groups.append(merged)

    def zero_grad(self) -> None:
        """Forgets the gradients of all parameters."""
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.grad = None

    def step(self) -> None:
        """One update of every parameter that has a gradient, in place."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._step_one(parameter, group)

    def _step_one(self, parameter: Parameter, group: Group) -> None:
        state = self._state.setdefault(id(parameter), {"step": 0})
        state["step"] += 1
        with parameter.writing() as array:
            exact = array.dtype == compute_dtype(array.dtype)
            target, low = (array, None) if exact else (self._master(parameter, array, state), array)
            grad = parameter.grad
            if group["l1"]:
                grad = grad + (group["l1"] * np.sign(target)).astype(grad.dtype)
            self.update(target, grad, state, group, low)
        if not exact:
            self._versions[id(parameter)] = parameter.version

    def _master(self, parameter: Parameter, array: Array, state: State) -> Array:
        """The float32 copy of a 16-bit parameter; a new one where the parameter has been assigned since the last step."""
        master: Array | None = state.get("master")
        if master is None or (
            self._versions.get(id(parameter)) != parameter.version
            and not bool((master.astype(array.dtype) == array).all())
        ):
            master = state["master"] = array.astype(np.float32)
        return master

    def update(self, param: Array, grad: Array, state: State, group: Group, low: Array | None) -> None:
        """One parameter's step: param, the arrays in state, and low (param in 16 bits) change in place."""
        raise NotImplementedError(f"{type(self).__name__} defines no update()")

    # -- state -----------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """{"state": [a dict for each parameter, in the order of the groups], "param_groups": [settings]}: numbers and
        NumPy arrays (copies), lists and dicts, nothing else."""
        states = [
            {key: move(value.copy(), "cpu") if hasattr(value, "copy") else value for key, value in state.items()}
            for state in (self._state.get(id(p), {}) for group in self.param_groups for p in group["params"])
        ]
        groups = [
            {**{key: value for key, value in group.items() if key != "params"}, "count": len(group["params"])}
            for group in self.param_groups
        ]
        return {"state": states, "param_groups": groups}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Puts a `state_dict()` of an optimizer with the same groups into force.

        Raises StateDictError where groups, parameters or shapes differ; then nothing has been changed.
        """
        name = type(self).__name__
        try:
            states, groups = list(state_dict["state"]), list(state_dict["param_groups"])
            counts = [int(group["count"]) for group in groups]
        except (KeyError, TypeError, ValueError):
            raise StateDictError(
                f"{name}: expected a dict with 'state' and 'param_groups', as state_dict() gives"
            ) from None
        own = [len(group["params"]) for group in self.param_groups]
        if counts != own or len(states) != sum(own):
            raise StateDictError(f"{name}: expected groups of {own} parameters, got {counts}")
        parameters = [p for group in self.param_groups for p in group["params"]]
        loaded = {}
        for i, (parameter, state) in enumerate(zip(parameters, states, strict=True)):
            values: State = {}
            for key, value in state.items():
                if np.ndim(value):
                    if np.shape(value) != parameter.shape:
                        expected, got = parameter.shape, np.shape(value)
                        raise StateDictError(f"{name}: {key} of parameter {i}: expected shape {expected}, got {got}")
                    memory = "cuda" if is_cupy(parameter.data) else "cpu"
                    value = move(np.array(value, compute_dtype(parameter.dtype), order="C"), memory)
                values[key] = value
            if values:
                loaded[id(parameter)] = values
        self._state, self._versions = loaded, {}
        for group, saved in zip(self.param_groups, groups, strict=True):
            for key, value in saved.items():
                if key != "count":
                    group[key] = _setting(key, value, self.defaults[key]) if key in self.defaults else value

    def __repr__(self) -> str:
        lines = [
            f"  {len(group['params'])} parameters: " + ", ".join(f"{k}={v}" for k, v in group.items() if k != "params")
            for group in self.param_groups
        ]
        return f"{type(self).__name__}(\n" + "\n".join(lines) + "\n)"


def array_of(state: State, name: str, like: Array, fill: float = 0.0) -> Array:
    """The array of this name in a state, made of `fill` where there is none; like another in shape, dtype, memory."""
    if name not in state:
        array = empty(like, like.shape)
        array[...] = fill
        state[name] = array
    found: Array = state[name]
    return found


def _setting(key: str, value: Any, default: Any) -> Any:
    """A setting in its default's type. Numbers are at least 0; rho and alpha at most 1, betas below it."""
    if isinstance(default, bool):
        return bool(value)
    if isinstance(default, tuple):
        if not isinstance(value, Sequence) or len(value) != 2:
            raise TrainingError(f"{key}: expected a pair of numbers, got {value!r}")
        return _setting(key, value[0], 0.0), _setting(key, value[1], 0.0)
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise TrainingError(f"{key}: expected a number, got {value!r}") from None
    if not 0 <= number < math.inf or (key in ("rho", "alpha") and number > 1) or (key == "betas" and number >= 1):
        expected = {"rho": "0 to 1", "alpha": "0 to 1", "betas": "numbers of at least 0 and below 1"}
        raise TrainingError(f"{key}: expected {expected.get(key, 'at least 0')}, got {value!r}")
    return number

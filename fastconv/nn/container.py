"""Modules made of modules: lists, branches, residual blocks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from ..errors import ModelError
from . import functional
from .activation import ReLU, ReLU6, Sigmoid, SiLU
from .module import Identity, Module, Sequential, chain


class ModuleList(Module):
    """Modules by number, for a forward of your own to call; names are "0", "1", ...

    >>> import fastconv as fc
    >>> layers = fc.nn.ModuleList([fc.nn.Linear(2, 2) for _ in range(3)])
    >>> len(layers), list(layers.state_dict())[0]
    (3, '0.weight')
    """

    def __init__(self, modules: Iterable[Module] = ()) -> None:
        super().__init__()
        for module in modules:
            self.append(module)

    def append(self, module: Module) -> ModuleList:
        """Adds one at the end."""
        if not isinstance(module, Module):
            raise ModelError(f"ModuleList: expected modules, got {type(module).__name__} at position {len(self)}")
        setattr(self, str(len(self)), module)
        return self

    def __len__(self) -> int:
        return len(self._modules)

    def __getitem__(self, index: int) -> Module:
        return list(self._modules.values())[index]

    def __iter__(self) -> Iterator[Module]:
        return iter(self._modules.values())


class Concat(Module):
    """The results of several branches over one input, joined along channels; names are "0", "1", ..., or the keywords.

    >>> import numpy as np, fastconv as fc
    >>> inception = fc.nn.Concat(fc.nn.Conv2d(3, 4, 1), fc.nn.Conv2d(3, 8, 3, padding=1))
    >>> inception(np.zeros((1, 3, 5, 5), np.float32)).shape
    (1, 12, 5, 5)
    """

    def __init__(self, *branches: Module, **named: Module) -> None:
        super().__init__()
        if not branches and not named:
            raise ModelError("Concat: expected at least one branch, got none")
        for i, (name, branch) in enumerate([*((str(i), branch) for i, branch in enumerate(branches)), *named.items()]):
            if not isinstance(branch, Module):
                raise ModelError(f"Concat: expected modules, got {type(branch).__name__} at position {i}")
            setattr(self, name, branch)

    def forward(self, x: Any) -> Any:
        return functional.concat([branch(x) for branch in self._modules.values()])


class Residual(Module):
    """activation(body(x) + shortcut(x)), the shortcut being x itself where none is given (He et al., 2016).

    activation: a layer, or the name of one that convolutions fuse (relu, relu6, silu, sigmoid). The layers of a
    Sequential body run as `chain` runs them: where the last can, it adds the shortcut and applies the activation; else
    one pass over memory does.

    >>> import numpy as np, fastconv as fc
    >>> block = fc.nn.Residual(fc.nn.Sequential(fc.nn.Conv2d(3, 3, 3, padding=1)), activation="relu")
    >>> block(np.zeros((1, 3, 5, 5), np.float32)).shape
    (1, 3, 5, 5)
    """

    def __init__(self, body: Module, shortcut: Module | None = None, activation: Module | str | None = None) -> None:
        super().__init__()
        if isinstance(activation, str):
            if activation not in _ACTIVATIONS:
                names = ", ".join(_ACTIVATIONS)
                raise ModelError(f"activation: expected a module or one of {names}, got {activation!r}")
            activation = _ACTIVATIONS[activation]()
        self.body = body
        self.shortcut = Identity() if shortcut is None else shortcut
        self.activation = Identity() if activation is None else activation

    def forward(self, x: Any) -> Any:
        layers = self.body if isinstance(self.body, Sequential) and not self.body._hooks else (self.body,)
        return chain(x, *layers, self.activation, residual=self.shortcut(x))


_ACTIVATIONS: dict[str, type[Module]] = {"relu": ReLU, "relu6": ReLU6, "silu": SiLU, "sigmoid": Sigmoid}

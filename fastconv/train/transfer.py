"""Transfer learning: a trained network's layers kept, a new head trained, then all of it, gently."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any

from ..errors import ModelError
from ..nn import Conv2d, Linear, Module, Parameter
from ..optim import Adam, Optimizer
from .callbacks import Callback, Row
from .trainer import Loader, Trainer


def freeze(model: Module, *patterns: str) -> list[str]:
    """Parameters whose names match one of the patterns (all, without any) get no gradients; returns their names.

    Patterns are the shell's, over dotted names: "features.*", "*.bias", "features.0.weight". Batch norms whose own
    parameters are frozen keep their running statistics in training. Raises ModelError where a pattern matches nothing.

    >>> import fastconv as fc
    >>> model = fc.models.create("lenet5")
    >>> fc.train.freeze(model, "features.0.*")
    ['features.0.weight', 'features.0.bias']
    """
    return _set_requires_grad(model, patterns, False)


def unfreeze(model: Module, *patterns: str) -> list[str]:
    """The opposite of `freeze`."""
    return _set_requires_grad(model, patterns, True)


def _set_requires_grad(model: Module, patterns: tuple[str, ...], value: bool) -> list[str]:
    names = []
    parameters = dict(model.named_parameters())
    for pattern in patterns or ("*",):
        matching = [name for name in parameters if fnmatchcase(name, pattern)]
        if not matching:
            raise ModelError(f"patterns: {pattern!r} matches no parameter; there are {', '.join(parameters)}")
        names += [name for name in matching if name not in names]
    for name in names:
        parameters[name].requires_grad = value
        parameters[name].grad = None
    return names


def parameter_groups(model: Module, settings: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Groups for an optimizer: each pattern's parameters with its settings; the first pattern that matches counts.

    Parameters that none matches form a last group without settings of its own; frozen ones are in no group.

    >>> import fastconv as fc
    >>> model = fc.models.create("lenet5")
    >>> groups = fc.train.parameter_groups(model, {"features.*": {"lr": 1e-4}, "*.bias": {"weight_decay": 0.0}})
    >>> [(group["name"], len(group["params"])) for group in groups]
    [('features.*', 4), ('*.bias', 3), ('others', 3)]
    """
    members: dict[str, list[Parameter]] = {pattern: [] for pattern in settings}
    others: list[Parameter] = []
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            pattern = next((pattern for pattern in settings if fnmatchcase(name, pattern)), None)
            (others if pattern is None else members[pattern]).append(parameter)
    if empty := [pattern for pattern, found in members.items() if not found]:
        raise ModelError(f"settings: {empty[0]!r} matches no parameter that is trained")
    groups = [{"params": found, "name": pattern, **settings[pattern]} for pattern, found in members.items()]
    return groups + ([{"params": others, "name": "others"}] if others else [])


def head_of(model: Module) -> str:
    """The name of the layer that makes the logits: the last Linear, or where there is none the last Conv2d."""
    for kind in (Linear, Conv2d):
        names = [name for name, module in model.named_modules() if isinstance(module, kind)]
        if names:
            return names[-1]
    raise ModelError(f"model: expected a Linear or a Conv2d as its head, {type(model).__name__} has none")


def replace_head(model: Module, num_classes: int) -> str:
    """Puts a new layer for that many classes in the place of the last Linear (or last Conv2d); returns its name.

    The new layer is drawn from the generator that `fastconv.manual_seed` seeds, and computes in the old one's dtype.

    >>> import numpy as np, fastconv as fc
    >>> model = fc.models.create("lenet5")
    >>> fc.train.replace_head(model, 3), model(np.zeros((1, 1, 32, 32), np.float32)).shape
    ('classifier.5', (1, 3))
    """
    if num_classes < 1:
        raise ModelError(f"num_classes: expected at least 1, got {num_classes!r}")
    name = head_of(model)
    modules = dict(model.named_modules())
    old = modules[name]
    new: Module
    if isinstance(old, Linear):
        new = Linear(old.in_features, num_classes, old.bias is not None)
    else:
        assert isinstance(old, Conv2d)
        settings = old.kernel_size, old.stride, old.padding, old.dilation
        new = Conv2d(old.in_channels, num_classes, *settings, bias=old.bias is not None)
    dtype = old.weight.dtype.name
    parent, _, attribute = name.rpartition(".")
    setattr(modules[parent], attribute, new if dtype == "float32" else new.to(dtype))
    return name


def features(model: Module, x: Any, layer: str) -> Any:
    """What a layer gives for x, by its dotted name: an array for an array, a tensor for a tensor.

    Raises ModelError where there is no such layer, or x does not pass through it.

    >>> import numpy as np, fastconv as fc
    >>> model = fc.models.create("lenet5").eval()
    >>> fc.train.features(model, np.zeros((2, 1, 32, 32), np.float32), "classifier.3").shape
    (2, 84)
    """
    modules = dict(model.named_modules())
    if layer not in modules:
        raise ModelError(f"layer: expected one of {', '.join(name for name in modules if name)}, got {layer!r}")
    seen: list[Any] = []
    remove = modules[layer].register_forward_hook(lambda module, inputs, output: seen.append(output))
    try:
        model(x)
    finally:
        remove()
    if not seen:
        raise ModelError(f"layer: {layer!r} is not run by itself in {type(model).__name__}'s forward")
    return seen[-1]


def fine_tune(
    model: Module,
    train_loader: Loader,
    test_loader: Iterable[Any] | None = None,
    *,
    num_classes: int | None = None,
    head_epochs: int = 2,
    epochs: int = 5,
    head_lr: float = 1e-3,
    lr: float = 1e-4,
    optimizer: Callable[[list[dict[str, Any]], float], Optimizer] = Adam,
    callbacks: tuple[Callback, ...] = (),
    seed: int = 0,
) -> list[Row]:
    """The recipe in two phases: the head alone, all else frozen; then the whole network, its body at the rate `lr`.

    Args:
        num_classes: a new head for so many classes first, see `replace_head`; None keeps the one that is there.
        head_epochs, head_lr: of the first phase; head_lr is the head's rate in the second phase, too.
        epochs, lr: of the second phase.
        optimizer: called as optimizer(groups, lr).

    Returns the history of both phases, "phase" being head or all. Epochs count on.
    """
    head = replace_head(model, num_classes) if num_classes is not None else head_of(model)
    freeze(model)
    unfreeze(model, f"{head}.*")
    trainer = Trainer(model, optimizer(parameter_groups(model, {}), head_lr), callbacks=callbacks, seed=seed)
    rows = [{"phase": "head", **row} for row in trainer.fit(train_loader, test_loader, head_epochs)]
    unfreeze(model)
    groups = parameter_groups(model, {f"{head}.*": {"lr": head_lr}})
    second = Trainer(model, optimizer(groups, lr), callbacks=callbacks, seed=seed + 1)
    second.epoch, second.history = trainer.epoch, list(trainer.history)
    rows += [
        {"phase": "all", **row} for row in second.fit(train_loader, test_loader, head_epochs + epochs)[len(rows) :]
    ]
    return rows

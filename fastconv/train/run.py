"""What ``fastconv train`` does: a run from names and numbers, in a folder of its own."""

from __future__ import annotations

import importlib.util
import inspect
import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from .. import optim
from ..data import CIFAR10, MNIST, DataLoader, Dataset, FashionMNIST, Subset, gaussian_blobs, synthetic_digits
from ..data.augment import (
    CenterCrop,
    Compose,
    Normalize,
    RandomCrop,
    RandomHorizontalFlip,
    RandomRotation,
    RandomScale,
    RandomTranslation,
    Resize,
    ToFloat,
    Transform,
)
from ..errors import FileFormatError, StateDictError, TrainingError
from ..models import ModelInfo, create, info
from ..nn import Module, init
from .callbacks import Callback
from .checkpoint import Checkpoints, make_folder
from .log import CSVLog, JSONLog
from .plot import Curves
from .progress import EpochLines, ProgressBar
from .recipes import Recipe, recipe
from .trainer import Trainer

DATA = ("mnist", "fashion_mnist", "cifar10", "synthetic")
OPTIMIZERS: dict[str, Callable[..., optim.Optimizer]] = {
    "sgd": optim.SGD,
    "adagrad": optim.Adagrad,
    "adadelta": optim.Adadelta,
    "rmsprop": optim.RMSprop,
    "adam": optim.Adam,
    "adamw": optim.AdamW,
}
SCHEDULES = ("constant", "step", "cosine", "warmup-cosine")
AUGMENTS = ("none", "light", "crop-flip")

# Images of the synthetic set, where no limit says otherwise.
_SYNTHETIC = 10_000


@dataclass(frozen=True)
class Run:
    """Everything that decides a run's bits."""

    model: str
    recipe: Recipe
    precision: str = "float32"
    seed: int = 0
    limit: int | None = None

    @classmethod
    def of(cls, model: str, given: dict[str, Any], **settings: Any) -> Run:
        """A model's recipe, with what is given (not None) in the place of its settings."""
        info(model)
        names = {field.name for field in fields(Recipe)}
        chosen = {name: value for name, value in given.items() if value is not None and name in names}
        return cls(model, replace(recipe(model), **chosen), **settings)


def datasets(run: Run) -> tuple[Dataset, Dataset]:
    """The training and the test set, each of at most `limit` images."""
    channels, height, _ = info(run.model).input_size
    if run.recipe.data == "synthetic":
        count = run.limit or _SYNTHETIC
        if channels == 1:
            return synthetic_digits(count, seed=run.seed), synthetic_digits(max(count // 5, 10), seed=run.seed + 1)
        shape = {"classes": 10, "size": min(height, 32), "channels": channels}
        test = gaussian_blobs(max(count // 5, 10), seed=run.seed + 1, **shape)
        return gaussian_blobs(count, seed=run.seed, **shape), test
    kinds: dict[str, Any] = {"mnist": MNIST, "fashion_mnist": FashionMNIST, "cifar10": CIFAR10}
    if run.recipe.data not in kinds:
        raise TrainingError(f"data: expected one of {', '.join(DATA)}, got {run.recipe.data!r}")
    train, test = (kinds[run.recipe.data](split=split) for split in ("train", "test"))
    if train.images.shape[3] != channels:
        raise TrainingError(
            f"data: {run.recipe.data} has {train.images.shape[3]} channel(s), {run.model} takes {channels}"
        )
    if run.limit is not None:
        train, test = (Subset(data, range(min(run.limit, len(data)))) for data in (train, test))
    return train, test


def loaders(run: Run, workers: int = 0) -> tuple[DataLoader, DataLoader]:
    """Batches for training, shuffled and augmented, and for testing, both as the model takes its images."""
    entry = info(run.model)
    train, test = datasets(run)
    fitting = preprocessing(entry, train.gather(train.labels[:0]).shape[1:3])
    batch = run.recipe.batch
    return (
        DataLoader(
            train,
            batch,
            shuffle=True,
            seed=run.seed,
            transform=Compose([*augmentation(run.recipe.augment, entry), *fitting]),
            workers=workers,
        ),
        DataLoader(test, max(batch, 250), transform=Compose(fitting), workers=workers),
    )


def preprocessing(entry: ModelInfo, size: tuple[int, ...]) -> list[Transform]:
    """What `ModelInfo` says a model's images go through: short side to `resize`, the centre, 0..1, normalised."""
    steps: list[Transform] = []
    scale = entry.resize / min(size)
    resized = max(round(size[0] * scale), 1), max(round(size[1] * scale), 1)
    if resized != tuple(size):
        steps.append(Resize(resized))
    if resized != entry.input_size[1:]:
        steps.append(CenterCrop(entry.input_size[1:]))
    if any(entry.mean) or set(entry.std) != {1.0}:
        steps += [ToFloat(), Normalize(entry.mean, entry.std)]
    return steps


def augmentation(name: str, entry: ModelInfo) -> list[Transform]:
    """The transforms that a name stands for, see `Recipe`."""
    if name not in AUGMENTS:
        raise TrainingError(f"augment: expected one of {', '.join(AUGMENTS)}, got {name!r}")
    if name == "light":
        return [RandomRotation(10), RandomTranslation(2), RandomScale((0.9, 1.1))]
    if name == "crop-flip":
        return [RandomCrop(entry.resize, padding=4), RandomHorizontalFlip()]
    return []


def initialise_he(model: Module) -> None:
    """Normal weights by fan-in for what ReLUs follow, zero biases (He et al., 2015)."""
    for name, parameter in model.named_parameters():
        if parameter.data.ndim > 1:
            init.kaiming_normal_(parameter, nonlinearity="relu")
        elif name.endswith("bias"):
            init.zeros_(parameter)


def build_model(run: Run, classes: int) -> Module:
    """The model, drawn from the run's seed."""
    entry = info(run.model)
    arguments: dict[str, Any] = (
        {"num_classes": classes} if "num_classes" in inspect.signature(entry.build).parameters else {}
    )
    if not arguments and classes != entry.num_classes:
        raise TrainingError(f"data: {run.model} tells {entry.num_classes} classes, the data has {classes}")
    model = create(run.model, seed=run.seed, **arguments)
    if run.recipe.initialise == "he":
        initialise_he(model)
    return model


def build_optimizer(model: Module, chosen: Recipe) -> optim.Optimizer:
    """The optimizer that a recipe names."""
    if chosen.optimizer not in OPTIMIZERS:
        raise TrainingError(f"optimizer: expected one of {', '.join(OPTIMIZERS)}, got {chosen.optimizer!r}")
    kind = OPTIMIZERS[chosen.optimizer]
    settings: dict[str, Any] = {"lr": chosen.lr, "weight_decay": chosen.weight_decay}
    if "momentum" in inspect.signature(kind).parameters:
        settings["momentum"] = chosen.momentum
    return kind(model.parameters(), **settings)


def build_schedule(optimizer: optim.Optimizer, chosen: Recipe) -> optim.Schedule | None:
    """The schedule that a recipe names, a step an epoch."""
    if chosen.schedule not in SCHEDULES:
        raise TrainingError(f"schedule: expected one of {', '.join(SCHEDULES)}, got {chosen.schedule!r}")
    if chosen.schedule == "step":
        return optim.MultiStepLR(optimizer, [math.ceil(chosen.epochs / 2), math.ceil(chosen.epochs * 3 / 4)])
    if chosen.schedule == "cosine":
        return optim.CosineAnnealingLR(optimizer, chosen.epochs)
    if chosen.schedule == "warmup-cosine":
        ramp = min(max(chosen.epochs // 10, 1), 5)
        return optim.warmup(optim.CosineAnnealingLR(optimizer, max(chosen.epochs - ramp, 1)), ramp, 0.1)
    return None


def train(
    run: Run,
    folder: str | Path,
    *,
    resume: bool = False,
    every: int | None = None,
    workers: int = 0,
    device: str = "cpu",
) -> Trainer:
    """Trains; last.safetensors, best.safetensors, log.csv, log.jsonl, run.json and curves.png are in the folder.

    resume: go on from last.safetensors, where there is one; it must be of the same run. Without it the folder may not
    hold a run. every: checkpoints within epochs, too, after so many steps.
    """
    target = Path(folder)
    make_folder(target)
    checkpoints = Checkpoints(target, every)
    settings, begun = target / "run.json", checkpoints.last_path.exists()
    if begun and not resume:
        raise TrainingError(f"out: {str(target)!r} holds a run already; resume it, or name another folder")
    if begun:
        _check_same(run, settings)
    settings.write_text(json.dumps(asdict(run), indent=2) + "\n")
    train_loader, test_loader = loaders(run, workers)
    model = build_model(run, len(train_loader.dataset.classes)).to(device)
    optimizer = build_optimizer(model, run.recipe)
    callbacks: list[Callback] = [ProgressBar(), EpochLines(), checkpoints]
    callbacks += [CSVLog(target / "log.csv"), JSONLog(target / "log.jsonl")]
    if importlib.util.find_spec("matplotlib") is not None:
        callbacks.append(Curves(target / "curves.png"))
    trainer = Trainer(
        model,
        optimizer,
        schedule=build_schedule(optimizer, run.recipe),
        callbacks=callbacks,
        precision=run.precision,
        clip=run.recipe.clip,
        seed=run.seed,
    )
    if begun:
        trainer.resume(checkpoints.last_path)
    trainer.fit(train_loader, test_loader, run.recipe.epochs)
    return trainer


def _check_same(run: Run, settings: Path) -> None:
    """Raises StateDictError where the folder's run is another. More epochs are no other run where the rate is constant."""
    try:
        stored = json.loads(settings.read_text())
    except (OSError, ValueError) as error:
        raise FileFormatError(f"{str(settings)!r}: cannot be read: {error}") from None
    own = json.loads(json.dumps(asdict(run)))
    for name, value in {**own["recipe"], **own}.items():
        there = stored.get(name, stored.get("recipe", {}).get(name))
        if name == "recipe" or (name == "epochs" and run.recipe.schedule == "constant"):
            continue
        if there != value:
            raise StateDictError(f"resume: {name}: expected {there!r}, as the run in the folder has, got {value!r}")

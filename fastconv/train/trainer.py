"""The training loop of a classifier."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any, Protocol

from ..autograd import Tensor
from ..backends.array_memory import is_cupy
from ..backends.placement import move
from ..errors import StateDictError, TrainingError
from ..modes import LOW_PRECISION, autocast, no_grad
from ..nn import Module, functional, init
from ..nn.norm import BatchNorm2d
from ..optim import GradScaler, Optimizer, ReduceLROnPlateau, Schedule, clip_grad_norm_
from .callbacks import Callback, Row
from .checkpoint import load_checkpoint
from .metrics import Evaluation, Running, Scores

Loss = Callable[[Any, Any], Any]


class Loader(Protocol):
    """What `fit` iterates over: batches (x, labels), and where in them it is. fastconv.data.DataLoader is one."""

    def __iter__(self) -> Any: ...

    def __len__(self) -> int: ...

    def state_dict(self) -> dict[str, int]: ...

    def load_state_dict(self, state: Mapping[str, int]) -> None: ...


def classification_loss(output: Any, labels: Any) -> Any:
    """Cross-entropy; where the network has auxiliary classifiers, plus 0.3 times that of each (Szegedy et al., 2014)."""
    if not isinstance(output, tuple):
        return functional.cross_entropy(output, labels)
    loss = functional.cross_entropy(output[0], labels)
    for auxiliary in output[1:]:
        loss = loss + functional.cross_entropy(auxiliary, labels) * 0.3
    return loss


class Trainer:
    """Trains a model and keeps all that the training is: epoch and position in it, sums, history, states.

    Args:
        model: a network of class logits; arrays of batches go to the memory that its parameters are in.
        optimizer: of the model's parameters, all or some.
        loss: called as loss(model(x), labels); a mean over the batch.
        schedule: a step after each epoch, or each iteration with schedule_unit="step".
        callbacks: see `Callback`; called in their order.
        precision: "float32", or "float16" or "bfloat16" for convolutions and linear layers under `fastconv.autocast`.
            In float16 the loss is scaled, see `fastconv.optim.GradScaler`.
        clip: largest norm of the gradients, see `fastconv.optim.clip_grad_norm_`.
        seed: restarts the generator that Dropout draws from, when a new run begins.

    The same seed, data and model give the same bits, for any number of threads, and through any number of
    interruptions (`resume`).

    >>> import fastconv as fc
    >>> data = fc.data.gaussian_blobs(256, classes=3)
    >>> fc.manual_seed(0)
    >>> model = fc.nn.Sequential(fc.nn.Conv2d(1, 8, 3), fc.nn.ReLU(), fc.nn.Flatten(), fc.nn.Linear(288, 3))
    >>> trainer = fc.train.Trainer(model, fc.optim.Adam(model.parameters(), 0.01))
    >>> history = trainer.fit(fc.data.DataLoader(data, 32, shuffle=True), epochs=2)
    >>> history[-1]["train_accuracy"] > 0.9
    True
    """

    def __init__(
        self,
        model: Module,
        optimizer: Optimizer,
        loss: Loss = classification_loss,
        schedule: Schedule | None = None,
        callbacks: Sequence[Callback] = (),
        precision: str = "float32",
        clip: float | None = None,
        seed: int = 0,
        schedule_unit: str = "epoch",
    ) -> None:
        if precision not in ("float32", *LOW_PRECISION):
            raise TrainingError(f"precision: expected float32, {' or '.join(LOW_PRECISION)}, got {precision!r}")
        if schedule_unit not in ("epoch", "step"):
            raise TrainingError(f"schedule_unit: expected epoch or step, got {schedule_unit!r}")
        if schedule is not None and schedule.optimizer is not optimizer:
            raise TrainingError("schedule: expected a schedule of the same optimizer")
        if schedule_unit == "step" and isinstance(schedule, ReduceLROnPlateau):
            raise TrainingError(
                "schedule_unit: expected epoch for a schedule that watches the loss of epochs, got 'step'"
            )
        if wrong := [type(callback).__name__ for callback in callbacks if not isinstance(callback, Callback)]:
            raise TrainingError(f"callbacks: expected Callbacks, got {wrong[0]}")
        self.model, self.optimizer, self.loss, self.schedule = model, optimizer, loss, schedule
        self.callbacks, self.precision, self.clip, self.seed = list(callbacks), precision, clip, seed
        self.schedule_unit = schedule_unit
        self.scaler = GradScaler(enabled=precision == "float16")
        self.running = Running()
        self.history: list[Row] = []
        self.epoch = self.steps = 0
        """Epochs and steps that are done."""
        self.epochs = self.steps_per_epoch = 0
        self.seconds = 0.0
        """Of this epoch's training so far."""
        self.stop = False
        """Set by a callback: the run ends with this epoch."""
        self._loader: Loader | None = None
        self._loader_state: Mapping[str, int] | None = None

    # -- running ---------------------------------------------------------------------------------------------

    def fit(self, train_loader: Loader, test_loader: Iterable[Any] | None = None, epochs: int = 1) -> list[Row]:
        """Trains until `epochs` epochs are done in all; returns the history, a dict an epoch:

        epoch, lr (of the first group), train_loss, train_accuracy (as the batches came, dropout and all), with a test
        set test_loss, test_accuracy and test_top5, seconds and images_per_second of training. Raises TrainingError
        where the loss is no longer finite.
        """
        if self.steps == 0:
            init.manual_seed(self.seed)
        if self._loader_state is not None:
            train_loader.load_state_dict(self._loader_state)
            self._loader_state = None
        self._loader, self.epochs, self.steps_per_epoch, self.stop = train_loader, epochs, len(train_loader), False
        for callback in self.callbacks:
            callback.on_fit_begin(self)
        try:
            while self.epoch < epochs and not self.stop:
                self._train_epoch(train_loader)
                row = self._finish_epoch(test_loader)
                for callback in self.callbacks:
                    callback.on_epoch_end(self, row)
        finally:
            for callback in self.callbacks:
                callback.on_fit_end(self)
        return self.history

    def evaluate(self, loader: Iterable[Any]) -> Evaluation:
        """Mean loss, top-1 and top-5 accuracy, and the confusion matrix of all batches, in evaluation mode."""
        modes = [(module, module.training) for _, module in self.model.named_modules()]
        on_gpu, scores = self._on_gpu(), None
        self.model.eval()
        try:
            with no_grad(), self._autocast():
                for x, labels in loader:
                    x, labels = _to(x, on_gpu), _to(labels, on_gpu)
                    logits = self.model(x)
                    scores = scores or Scores(logits.shape[1])
                    scores.update(self.loss(logits, labels), logits, labels)
        finally:
            for module, training in modes:
                module.training = training
        if scores is None:
            raise TrainingError("loader: expected at least one batch, got none")
        return scores.result()

    def _train_epoch(self, loader: Loader) -> None:
        set_training(self.model)
        on_gpu = self._on_gpu()
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        begin = time.perf_counter() - self.seconds
        for x, labels in loader:
            self._step(_to(x, on_gpu), _to(labels, on_gpu), parameters)
            self.seconds = time.perf_counter() - begin
            for callback in self.callbacks:
                callback.on_step_end(self)

    def _step(self, x: Any, labels: Any, parameters: list[Any]) -> None:
        with self._autocast():
            output = self.model(Tensor(x))
            loss = self.loss(output, labels)
        self.scaler.scale(loss).backward()
        if self.clip is not None:
            self.scaler.unscale_(self.optimizer)
            clip_grad_norm_(parameters, self.clip)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad()
        if self.schedule is not None and self.schedule_unit == "step":
            self.schedule.step()
        logits = output[0] if isinstance(output, tuple) else output
        self.running.update(loss.data, logits.data, labels)
        self.steps += 1

    def _finish_epoch(self, test_loader: Iterable[Any] | None) -> Row:
        running = self.running
        if not running.count:
            raise TrainingError("train_loader: expected at least one batch, got none")
        if not abs(running.loss) < float("inf"):
            raise TrainingError(
                f"the loss of epoch {self.epoch + 1} is {running.loss}: lower the rate, clip gradients, or look at the data"
            )
        row: Row = {
            "epoch": self.epoch + 1,
            "lr": float(self.optimizer.param_groups[0]["lr"]),
            "train_loss": running.loss,
            "train_accuracy": running.accuracy,
        }
        if test_loader is not None:
            test = self.evaluate(test_loader)
            row |= {"test_loss": test.loss, "test_accuracy": test.top1, "test_top5": test.top5}
        row |= {"seconds": self.seconds, "images_per_second": running.count / self.seconds}
        if isinstance(self.schedule, ReduceLROnPlateau):
            self.schedule.step(row.get("test_loss", running.loss))
        elif self.schedule is not None and self.schedule_unit == "epoch":
            self.schedule.step()
        self.epoch += 1
        self.history.append(row)
        self.running, self.seconds = Running(), 0.0
        return row

    @property
    def position(self) -> int:
        """Batches of this epoch that are done."""
        return 0 if self._loader is None else self._loader.state_dict()["position"]

    def _on_gpu(self) -> bool:
        return any(is_cupy(parameter.data) for parameter in self.model.parameters())

    def _autocast(self) -> Any:
        return nullcontext() if self.precision == "float32" else autocast(self.precision)

    # -- state -----------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """All that the run is: numbers, text and arrays, see `save_checkpoint`."""
        return {
            "kind": self._kind(),
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": None if self.schedule is None else self.schedule.state_dict(),
            "scaler": self.scaler.state_dict(),
            "generator": init.get_state(),
            "loader": None if self._loader is None else self._loader.state_dict(),
            "running": self.running.state_dict(),
            "progress": {"epoch": self.epoch, "steps": self.steps, "seconds": self.seconds, "history": self.history},
            "callbacks": {name: callback.state_dict() for name, callback in self._named_callbacks()},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Puts a `state_dict()` into force: `fit` goes on where it was taken.

        Raises StateDictError where the state is of a run with another model, optimizer, precision or clipping.
        """
        try:
            kind, progress = state["kind"], state["progress"]
            for name, value in self._kind().items():
                if kind[name] != value:
                    raise StateDictError(f"state: {name}: expected {value!r}, as this run has, got {kind[name]!r}")
            self.model.load_state_dict(state["model"])
            self.optimizer.load_state_dict(state["optimizer"])
            if self.schedule is not None and state["schedule"] is not None:
                self.schedule.load_state_dict(state["schedule"])
            self.scaler.load_state_dict(state["scaler"])
            init.set_state(state["generator"])
            self.running.load_state_dict(state["running"])
            self.epoch, self.steps = int(progress["epoch"]), int(progress["steps"])
            self.seconds, self.history = float(progress["seconds"]), [dict(row) for row in progress["history"]]
            self._loader_state = state["loader"]
            for name, callback in self._named_callbacks():
                if name in state["callbacks"]:
                    callback.load_state_dict(state["callbacks"][name])
        except (KeyError, TypeError) as error:
            raise StateDictError(f"state: expected what a Trainer's state_dict() gives; {error} is missing") from None

    def resume(self, path: str | os.PathLike[str]) -> None:
        """Goes on from a checkpoint. Raises FileFormatError or StateDictError where that cannot be."""
        self.load_state_dict(load_checkpoint(path))

    def _kind(self) -> dict[str, Any]:
        kinds = {"model": type(self.model).__name__, "optimizer": type(self.optimizer).__name__}
        return {**kinds, "schedule": type(self.schedule).__name__, "precision": self.precision, "clip": self.clip}

    def _named_callbacks(self) -> list[tuple[str, Callback]]:
        """Callbacks by class; further ones of a class are numbered."""
        named: dict[str, Callback] = {}
        for callback in self.callbacks:
            name, count = type(callback).__name__, 1
            while (name if count == 1 else f"{name} {count}") in named:
                count += 1
            named[name if count == 1 else f"{name} {count}"] = callback
        return list(named.items())


def set_training(model: Module) -> None:
    """Training mode, but for batch norms whose own parameters are all frozen: they keep their running statistics."""
    model.train()
    for _, module in model.named_modules():
        own = list(module.parameters()) if isinstance(module, BatchNorm2d) else []
        if own and not any(parameter.requires_grad for parameter in own):
            module.eval()


def _to(array: Any, on_gpu: bool) -> Any:
    return move(array, "cuda" if on_gpu else "cpu")

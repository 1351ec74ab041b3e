"""Checkpoints: all that a run is, in one safetensors file that is whole or not there. Never pickle.

Arrays are tensors named by their path ("model.features.0.weight", "optimizer.state.0.exp_avg"); everything else is JSON
in the file's metadata, where {"tensor": NAME} stands for an array. ``fastconv.load`` of a checkpoint gives its weights.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..backends.array_memory import is_cupy
from ..backends.placement import move
from ..errors import FileFormatError, TrainingError
from ..weights import WEIGHTS_PREFIX, read_file, write_file
from .callbacks import Best, Callback, Row

if TYPE_CHECKING:
    from .trainer import Trainer

Array = NDArray[Any]

_KEY = "fastconv_checkpoint"


def save_checkpoint(tree: Mapping[str, Any], path: str | os.PathLike[str]) -> None:
    """Writes dicts and lists of numbers, text, None and arrays, atomically: to a partial file, synced, then renamed.

    Weights under "model" are what ``fastconv.load`` gives. Raises FileFormatError where the file cannot be written.
    """
    arrays: dict[str, Array] = {}
    text = json.dumps(_pack(tree, "", arrays))
    write_file(arrays, path, {_KEY: text, WEIGHTS_PREFIX: "model."})


def load_checkpoint(path: str | os.PathLike[str]) -> dict[str, Any]:
    """What `save_checkpoint` wrote. Raises FileFormatError where the file is not whole, or no checkpoint."""
    arrays, metadata = read_file(path)
    try:
        tree = _unpack(json.loads(metadata[_KEY]), arrays)
    except (KeyError, ValueError):
        raise FileFormatError(f"checkpoint {str(path)!r}: expected a file that a training run wrote") from None
    assert isinstance(tree, dict)
    return tree


def _pack(value: Any, path: str, arrays: dict[str, Array]) -> Any:
    """value as JSON has it; its arrays go to `arrays`, under their paths."""
    if isinstance(value, np.ndarray) or is_cupy(value):
        arrays[path] = move(value, "cpu")
        return {"tensor": path}
    dot = f"{path}." if path else ""
    if isinstance(value, Mapping):
        return {str(key): _pack(item, f"{dot}{key}", arrays) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_pack(item, f"{dot}{i}", arrays) for i, item in enumerate(value)]
    if isinstance(value, np.generic):
        return value.item()
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TrainingError(
        f"{path}: expected numbers, text, arrays, lists or dicts in a checkpoint, got {type(value).__name__}"
    )


def _unpack(value: Any, arrays: Mapping[str, Array]) -> Any:
    if isinstance(value, dict):
        if list(value) == ["tensor"] and isinstance(value["tensor"], str):
            return arrays[value["tensor"]]
        return {key: _unpack(item, arrays) for key, item in value.items()}
    if isinstance(value, list):
        return [_unpack(item, arrays) for item in value]
    return value


class Checkpoints(Callback):
    """Keeps last.safetensors and best.safetensors in a folder: after each epoch, and every `every` steps if given.

    A run that is killed goes on from either, bit for bit, by ``trainer.resume(path)``. best: of the epoch with the
    highest test accuracy (or what monitor names, see `Best`). Raises FileFormatError where the folder cannot be made.
    """

    def __init__(
        self, folder: str | os.PathLike[str], every: int | None = None, monitor: str = "test_accuracy"
    ) -> None:
        if every is not None and every < 1:
            raise TrainingError(f"every: expected at least 1 step, got {every!r}")
        self.folder, self.every = Path(folder), every
        self.best = Best(monitor)
        make_folder(self.folder)

    @property
    def last_path(self) -> Path:
        """The newest checkpoint."""
        return self.folder / "last.safetensors"

    @property
    def best_path(self) -> Path:
        """That of the best epoch."""
        return self.folder / "best.safetensors"

    def on_step_end(self, trainer: Trainer) -> None:
        if self.every is not None and trainer.steps % self.every == 0:
            save_checkpoint(trainer.state_dict(), self.last_path)

    def on_epoch_end(self, trainer: Trainer, row: Row) -> None:
        better = self.best.update(row)
        state = trainer.state_dict()
        if better:
            save_checkpoint(state, self.best_path)
        save_checkpoint(state, self.last_path)

    def state_dict(self) -> dict[str, Any]:
        return self.best.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.best.load_state_dict(state)


def make_folder(folder: Path) -> None:
    """Makes a folder, or raises FileFormatError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileFormatError(f"folder {str(folder)!r}: cannot be made: {error}") from None

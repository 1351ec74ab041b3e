"""Checkpoints: what goes in comes out, in one file that is whole or not there."""

from __future__ import annotations

import math

import numpy as np
import pytest

import fastconv as fc
from fastconv.nn.module import numpy_dtype
from fastconv.train import load_checkpoint, save_checkpoint
from tests.train import small

TREE = {
    "model": {"a.weight": np.arange(6, dtype=np.float32).reshape(2, 3), "count": np.array(7)},
    "optimizer": {"state": [{}, {"step": 3, "exp_avg": np.ones((2, 1), np.float64)}], "param_groups": [{"lr": 0.1}]},
    "half": np.array([1.5, math.inf], np.float16),
    "brain": np.array([1.5], numpy_dtype("bfloat16")),
    "numbers": [1, 2.5, -math.inf, True, None, "text", 1 << 127, np.float32(0.5), (1, 2)],
    "empty": np.zeros((0, 3), np.float32),
}


def test_trees_go_round(tmp_path):
    path = tmp_path / "c.safetensors"
    save_checkpoint(TREE, path)
    tree = load_checkpoint(path)
    for key, value in TREE["model"].items():
        np.testing.assert_array_equal(tree["model"][key], value)
        assert tree["model"][key].dtype == value.dtype and tree["model"][key].shape == value.shape
    np.testing.assert_array_equal(tree["optimizer"]["state"][1]["exp_avg"], np.ones((2, 1)))
    assert tree["optimizer"]["state"][0] == {} and tree["optimizer"]["param_groups"] == [{"lr": 0.1}]
    assert tree["half"].dtype == np.float16 and tree["brain"].dtype == numpy_dtype("bfloat16")
    assert tree["numbers"] == [1, 2.5, -math.inf, True, None, "text", 1 << 127, 0.5, [1, 2]]
    assert tree["empty"].shape == (0, 3)
    assert [file.name for file in tmp_path.iterdir()] == ["c.safetensors"]


def test_loading_a_checkpoint_gives_its_weights(tmp_path):
    trainer = small.trainer(callbacks=[fc.train.Checkpoints(tmp_path)])
    trainer.fit(small.loaders()[0])
    state = fc.load(tmp_path / "last.safetensors")
    model = small.network()
    model.load_state_dict(state)
    assert all(np.array_equal(value, state[key]) for key, value in small.weights(trainer).items())


def test_files_that_are_none(tmp_path):
    save_checkpoint(TREE, tmp_path / "c.safetensors")
    (tmp_path / "cut.safetensors").write_bytes((tmp_path / "c.safetensors").read_bytes()[:-9])
    fc.save({"a": np.ones(2, np.float32)}, tmp_path / "w.safetensors")
    for name, text in (("cut", "safetensors: "), ("missing", "no such file"), ("w", "that a training run wrote")):
        with pytest.raises(fc.FileFormatError, match=text):
            load_checkpoint(tmp_path / f"{name}.safetensors")
    with pytest.raises(fc.FileFormatError, match="expected a name that ends in"):
        save_checkpoint(TREE, tmp_path / "c.pt")
    with pytest.raises(fc.TrainingError, match=r"a\.b\.1: expected numbers, text, arrays, lists or dicts .* got set"):
        save_checkpoint({"a": {"b": [1, set()]}}, tmp_path / "x.safetensors")
    (tmp_path / "file").write_text("")
    with pytest.raises(fc.FileFormatError, match="cannot be made"):
        fc.train.Checkpoints(tmp_path / "file" / "below")


def test_a_write_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "c.safetensors"
    save_checkpoint({"model": {"a": np.zeros(3)}}, path)
    before = path.read_bytes()

    def full(*arguments):
        raise OSError("no space left")

    monkeypatch.setattr("fastconv.weights.safetensors_file._sync", full)
    with pytest.raises(fc.FileFormatError, match="no space left"):
        save_checkpoint({"model": {"a": np.ones(3)}}, path)
    assert path.read_bytes() == before


def test_best_is_the_best_epoch(tmp_path):
    checkpoints = fc.train.Checkpoints(tmp_path, monitor="test_loss")
    trainer = small.trainer(callbacks=[checkpoints])
    history = trainer.fit(*small.loaders(), epochs=4)
    best = min(history, key=lambda row: row["test_loss"])["epoch"]
    assert load_checkpoint(checkpoints.best_path)["progress"]["epoch"] == best == checkpoints.best.epoch
    assert load_checkpoint(checkpoints.last_path)["progress"]["epoch"] == 4
    with pytest.raises(fc.TrainingError, match="monitor: expected one of epoch, lr"):
        small.trainer(callbacks=[fc.train.Checkpoints(tmp_path, monitor="beauty")]).fit(small.loaders()[0])

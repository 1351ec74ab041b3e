"""Logs and curves: each epoch once, whatever happened; progress where somebody looks."""

from __future__ import annotations

import csv
import importlib.util
import json
import sys

import pytest

import fastconv as fc
from tests.train import small


def test_logs_have_every_epoch_once_after_a_resumption(tmp_path):
    def make():
        logs = [fc.train.CSVLog(tmp_path / "log.csv"), fc.train.JSONLog(tmp_path / "log.jsonl")]
        return small.trainer(callbacks=[fc.train.Checkpoints(tmp_path), *logs])

    make().fit(*small.loaders(48), epochs=2)
    resumed = make()
    resumed.resume(tmp_path / "last.safetensors")
    resumed.fit(*small.loaders(48), epochs=4)
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4] and rows == resumed.history
    with (tmp_path / "log.csv").open() as file:
        table = list(csv.DictReader(file))
    assert [float(row["test_loss"]) for row in table] == [row["test_loss"] for row in rows]
    assert not list(tmp_path.glob("*.partial"))
    with pytest.raises(fc.FileFormatError, match=r"log .* cannot be written"):
        small.trainer(callbacks=[fc.train.CSVLog(tmp_path / "no" / "log.csv")]).fit(small.loaders(16)[0])


def test_curves(tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    small.trainer(callbacks=[fc.train.Curves(tmp_path / "c.png")]).fit(*small.loaders(48), epochs=2)
    assert (tmp_path / "c.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(fc.FileFormatError, match="cannot be written"):
        small.trainer(callbacks=[fc.train.Curves(tmp_path / "no" / "c.png")]).fit(small.loaders(16)[0])
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(fc.ModelError, match=r"matplotlib is not installed \(pip install 'fastconv\[bench\]'\)"):
        fc.train.Curves("c.png")


def test_the_bar_shows_loss_accuracy_and_rate(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr("fastconv.train.progress._INTERVAL", 0.0)
    small.trainer(callbacks=[fc.train.ProgressBar(), fc.train.EpochLines()]).fit(*small.loaders(48), epochs=1)
    captured = capsys.readouterr()
    assert captured.out.startswith("epoch 1/1  train loss ") and "images/s" in captured.out
    for part in ("loss", "accuracy", "images/s"):
        assert part in captured.err

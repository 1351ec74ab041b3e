"""fastconv train: recipes, folders, and a process that is killed and goes on bit for bit."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import fastconv as fc
from fastconv.cli import main
from fastconv.train import run as training
from fastconv.train.checkpoint import load_checkpoint

SMALL = ["train", "deep_convnet", "--data", "synthetic", "--limit", "300", "--batch", "20", "--epochs", "3"]
SMALL += ["--augment", "light", "--schedule", "cosine"]


def start(folder, *options):
    return subprocess.Popen(
        [sys.executable, "-m", "fastconv", *SMALL, "--out", str(folder), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process):
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return out


def weights(folder):
    return fc.load(folder / "last.safetensors")


def same(a, b):
    return a.keys() == b.keys() and all(np.array_equal(a[key], b[key]) for key in a)


def test_killed_within_an_epoch_and_resumed_gives_the_same_bits(tmp_path):
    """SIGKILL, as soon as a checkpoint is within the second epoch; then with another number of threads."""
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    process = start(cut, "--every", "1", "--threads", "1")
    try:
        deadline = time.monotonic() + 300
        position = 0
        while process.poll() is None and time.monotonic() < deadline:
            if (cut / "last.safetensors").exists():
                loader = load_checkpoint(cut / "last.safetensors")["loader"]
                position = loader["position"] if loader["epoch"] == 1 else 0
                if position >= 3:
                    break
            time.sleep(0.005)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    assert process.returncode == -signal.SIGKILL and position >= 3
    killed = load_checkpoint(cut / "last.safetensors")
    assert killed["progress"]["epoch"] == 1 and 3 <= killed["loader"]["position"] <= 15
    assert "epoch 3/3" in finish(start(cut, "--every", "7", "--threads", "2", "--resume"))
    assert "epoch 3/3" in finish(start(whole, "--threads", "2"))
    assert same(weights(whole), weights(cut))
    rows = [[json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()] for folder in (whole, cut)]
    for a, b in zip(*rows, strict=True):
        assert {k: v for k, v in a.items() if "second" not in k} == {k: v for k, v in b.items() if "second" not in k}


def test_a_folder_holds_one_run(tmp_path, capsys):
    folder = tmp_path / "run"
    options = [*SMALL, "--epochs", "1", "--schedule", "constant", "--out", str(folder)]
    assert main([*options, "--resume"]) == 0  # nothing there yet: begins
    assert {"last.safetensors", "best.safetensors", "log.csv", "log.jsonl", "run.json"} <= {
        file.name for file in folder.iterdir()
    }
    assert main(options) == 2
    assert "holds a run already" in capsys.readouterr().err
    assert main([*options, "--resume", "--seed", "9"]) == 2
    assert "resume: seed: expected 0, as the run in the folder has, got 9" in capsys.readouterr().err
    assert main([*options, "--resume", "--epochs", "2"]) == 0  # the last of an option counts
    assert len((folder / "log.jsonl").read_text().splitlines()) == 2
    model = fc.models.create("deep_convnet")
    model.load_state_dict(fc.load(folder / "best.safetensors"))


def test_the_default_recipe():
    run = training.Run.of("deep_convnet", {})
    assert run.recipe == training.Recipe(
        "mnist", 20, 100, "adam", 1e-3, schedule="cosine", augment="light", initialise="he"
    )
    model = training.build_model(run, 10)
    first = model.state_dict()["features.12.weight"]
    assert abs(first.std() / np.sqrt(2 / 576) - 1) < 0.02 and not model.state_dict()["features.12.bias"].any()
    optimizer = training.build_optimizer(model, run.recipe)
    assert isinstance(optimizer, fc.optim.Adam) and optimizer.param_groups[0]["lr"] == 1e-3
    changed = training.Run.of(
        "deep_convnet", {"lr": 0.5, "optimizer": "sgd", "momentum": 0.9, "seed": 3, "epochs": None}
    )
    assert (changed.recipe.lr, changed.recipe.epochs, changed.recipe.batch) == (0.5, 20, 100)
    assert training.build_optimizer(model, changed.recipe).param_groups[0]["momentum"] == 0.9


@pytest.mark.parametrize(
    ("schedule", "rates"),
    [
        ("constant", [1.0] * 8),
        ("step", [1, 1, 1, 1, 0.1, 0.1, 0.01, 0.01]),
        ("cosine", [1, 0.9619, 0.8536, 0.6913, 0.5, 0.3087, 0.1464, 0.0381]),
        ("warmup-cosine", [0.1, 1, 0.9505, 0.8117, 0.6113, 0.3887, 0.1883, 0.0495]),
    ],
)
def test_schedules_of_the_command_line(schedule, rates):
    chosen = training.Recipe(epochs=8, lr=1.0, schedule=schedule)
    optimizer = fc.optim.SGD([fc.nn.Parameter(np.zeros(1, np.float32))], 1.0)
    made, seen = training.build_schedule(optimizer, chosen), []
    for _ in range(8):
        seen.append(optimizer.param_groups[0]["lr"])
        if made:
            made.step()
    assert seen == pytest.approx(rates, abs=1e-4)


def test_images_come_as_prediction_has_them(data):
    """The transforms of a model's data are `read_image`'s steps: here lenet5's padding to 32 x 32."""
    train_loader, test_loader = training.loaders(training.Run.of("lenet5", {"data": "mnist"}, limit=70))
    x, labels = next(iter(test_loader))
    assert x.shape == (70, 1, 32, 32) and len(labels) == 70
    np.testing.assert_array_equal(x[0, 0, 2:30, 2:30], test_loader.dataset.images[0, :, :, 0] / np.float32(255))
    assert not x[:, :, :2].any() and len(train_loader.dataset) == 70


@pytest.mark.parametrize(
    ("run", "text"),
    [
        (lambda: training.Run.of("lenet9", {}), "model: expected one of"),
        (lambda: training.loaders(training.Run.of("lenet5", {"data": "svhn"})), "data: expected one of mnist"),
        (
            lambda: training.loaders(training.Run.of("alexnet", {"data": "mnist"})),
            r"data: mnist has 1 channel\(s\), alexnet takes 3",
        ),
        (
            lambda: training.loaders(training.Run.of("lenet5", {"augment": "wild"})),
            "augment: expected one of none, light",
        ),
        (
            lambda: training.build_optimizer(fc.models.create("lenet5"), training.Recipe(optimizer="lion")),
            "optimizer: expected one of sgd",
        ),
        (
            lambda: training.build_schedule(None, training.Recipe(schedule="zigzag")),
            "schedule: expected one of constant",
        ),
    ],
)
def test_errors_say_what_there_is(run, text, request):
    if "mnist has" in text:
        request.getfixturevalue("data")
    with pytest.raises((fc.TrainingError, fc.ModelError), match=text):
        run()

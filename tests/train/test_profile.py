"""Profiles: every layer that ran, times that add up, nothing left behind in the model."""

from __future__ import annotations

import numpy as np
import pytest

import fastconv as fc
from fastconv.cli import main
from tests.train import small


@pytest.mark.parametrize("train", [False, True])
def test_every_layer_is_a_row(train):
    model = small.network()
    before = {key: value.copy() for key, value in model.state_dict().items()}
    result = fc.train.profile(model, (4, 1, 8, 8), train, seconds=0.02, num_classes=3)
    assert [(row.name, row.kind) for row in result.rows] == [
        ("0", "Conv2d"), ("1", "BatchNorm2d"), ("2", "ReLU"), ("3", "MaxPool2d"), ("4", "Conv2d + relu"),
        ("6", "Flatten"), ("7", "Dropout"), ("8", "Linear"),
    ]  # fmt: skip
    assert result.rows[0].output_shape == (4, 6, 8, 8) and result.rows[0].macs == 4 * 6 * 64 * 9
    assert 0 < result.convolution_share < 1
    for row in result.rows:
        assert len(row.forward) == result.passes and min(row.forward) > 0
        assert len(row.backward) == (result.passes if train else 0)
    assert all(p.grad is None for p in model.parameters())
    assert all(np.array_equal(before[k], v) for k, v in model.state_dict().items() if not k.startswith("1."))
    assert all("forward" not in vars(m) and "forward_fused" not in vars(m) for _, m in model.named_modules())
    assert model.training
    with pytest.raises(fc.ShapeError, match="input_shape: expected"):
        fc.train.profile(model, (0, 1, 8, 8))


@pytest.mark.parametrize("options", [[], ["--train", "--batch", "3"], ["--input-shape", "1x28x28"]])
def test_the_command_prints_a_table(options, capsys):
    assert main(["profile", "deep_convnet", "--seconds", "0.01", *options]) == 0
    text = capsys.readouterr().out
    parts = ["features.0", "Conv2d + relu", "classifier.4", "between layers", "of the forward pass", "images/s"]
    for part in [*parts, *(["backward ms", "optimizer"] if "--train" in options else [])]:
        assert part in text
    with pytest.raises(SystemExit):
        main(["profile", "deep_convnet", "--input-shape", "28x28"])
    assert "expected CxHxW" in capsys.readouterr().err

"""Published weights on the real MNIST test set, and digits read from PNG files."""

from __future__ import annotations

import numpy as np
import pytest

import fastconv as fc
from fastconv.cli import main
from fastconv.models.predict import load_model

pytestmark = pytest.mark.data

WEIGHTS = "weights/deep_convnet_mnist_9938.npz"


@pytest.fixture(scope="module")
def digits(data):
    test = fc.data.MNIST(data, "test")
    return test.images.transpose(0, 3, 1, 2), test.labels


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_deep_convnet_reads_9938_of_10000_digits(data, digits, dtype):
    images, labels = digits
    net, _ = load_model("deep_convnet", data / WEIGHTS, dtype)
    x = (images.astype(np.float32) / 255).astype(dtype)
    logits = np.concatenate([net(x[i : i + 100]) for i in range(0, 10_000, 100)])
    assert int((logits.argmax(1) == labels).sum()) == 9938
    alone = np.concatenate([net(x[i : i + 1]) for i in range(10_000)])
    np.testing.assert_array_equal(alone, logits)


def test_predict_reads_digits_saved_as_png(data, digits, tmp_path, capsys):
    image_module = pytest.importorskip("PIL.Image")
    images, labels = digits
    paths = []
    for i in range(20):
        paths.append(str(tmp_path / f"{i}.png"))
        image_module.fromarray(images[i, 0]).save(paths[-1])
    assert main(["predict", *paths, "--model", "deep_convnet", "--weights", str(data / WEIGHTS), "--top", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    for line, path, label in zip(lines, paths, labels, strict=False):
        assert line.startswith(f"{path}: {label} "), line
    assert len(lines) == 20


def test_predict_reads_a_digit_drawn_dark_on_light(data, digits, tmp_path, capsys):
    image_module = pytest.importorskip("PIL.Image")
    images, labels = digits
    image_module.fromarray(255 - images[0, 0]).resize((200, 200)).convert("RGB").save(tmp_path / "digit.jpg")
    arguments = ["--model", "deep_convnet", "--weights", str(data / WEIGHTS), "--invert", "--dtype", "float16"]
    assert main(["predict", str(tmp_path / "digit.jpg"), *arguments]) == 0
    assert f": {labels[0]} " in capsys.readouterr().out


def test_the_weights_that_the_package_brings(digits):
    """Trained by `fastconv train deep_convnet`: see bench/results/training."""
    images, labels = digits
    net, _ = load_model("deep_convnet")
    logits = net(images[:2000].astype(np.float32) / 255)
    assert int((logits.argmax(1) == labels[:2000]).sum()) == 1989


def test_simple_convnet_by_layers(data, digits):
    """Another published network, built from the layers on the spot: 98.90 %."""
    images, labels = digits
    state = fc.load(data / "weights/simple_convnet_mnist_9890.npz")
    nn = fc.nn
    net = nn.Sequential(
        nn.Conv2d(1, 30, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(4320, 100),
        nn.ReLU(),
        nn.Linear(100, 10),
    )
    names = {"0": "1", "4": "2", "6": "3"}
    weights = {f"{layer}.weight": state[f"W{i}"] for layer, i in names.items()}
    weights = {name: w.T if w.ndim == 2 else w for name, w in weights.items()}
    net.load_state_dict({**weights, **{f"{layer}.bias": state[f"b{i}"].reshape(-1) for layer, i in names.items()}})
    logits = net.eval()(images.astype(np.float32) / 255)
    assert int((logits.argmax(1) == labels).sum()) == 9890

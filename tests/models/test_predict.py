"""Prediction without real data: which files, which crop, which counts, which weights."""

from __future__ import annotations

import dataclasses
import sys
import types

import numpy as np
import pytest

import fastconv as fc
from fastconv.cli import main
from fastconv.models import predict, pretrained

image_module = pytest.importorskip("PIL.Image")


@pytest.fixture
def folder(tmp_path):
    """Three images, the second of them taller than wide, and a file that is none."""
    random = np.random.default_rng(0)
    (tmp_path / "images").mkdir()
    for name, shape in {"b.png": (33, 47, 3), "a.jpg": (60, 41, 3), "c.PNG": (28, 28, 3)}.items():
        image_module.fromarray(random.integers(256, size=shape, dtype=np.uint8)).save(tmp_path / "images" / name)
    (tmp_path / "images" / "notes.txt").write_text("none")
    return tmp_path / "images"


@pytest.fixture
def weights(tmp_path):
    path = tmp_path / "lenet.safetensors"
    fc.save(fc.models.create("lenet5"), path)
    return str(path)


def test_folders_are_their_images_in_order(folder, tmp_path):
    files = predict.image_files([str(folder), "other.png"])
    assert [f.rpartition("/")[2] for f in files] == ["a.jpg", "b.png", "c.PNG", "other.png"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(fc.FileFormatError, match=r"folder .*empty': no image"):
        predict.image_files([str(tmp_path / "empty")])


def test_a_batch_more_or_less_changes_nothing(folder, weights):
    model, entry = predict.load_model("lenet5", weights)
    paths = predict.image_files([str(folder)]) * 12
    with fc.batch_invariant():
        together = list(predict.predict_files(model, entry, paths, 3))
        alone = [next(predict.predict_files(model, entry, [path], 3)) for path in paths]
    assert len(together) == 36 > predict.BATCH and together == alone


def test_the_truth_beside_images(folder, weights, tmp_path, capsys):
    model, entry = predict.load_model("lenet5", weights)
    best = [found[0].index for found in predict.predict_files(model, entry, predict.image_files([str(folder)]))]
    worst = next(i for i in range(10) if i != best[1])
    truth = tmp_path / "truth.csv"
    truth.write_text(f"file,class\na.jpg,{best[0]}\nb.png,{worst}\nelsewhere.png,3\n")
    assert main(["predict", str(folder), "--model", "lenet5", "--weights", weights, "--truth", str(truth)]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("top-1 1 of 2 (50.00%), top-5 ")
    truth.write_text("file,class\na.jpg,tench\n")
    assert main(["predict", str(folder), "--model", "lenet5", "--weights", weights, "--truth", str(truth)]) == 2
    assert "line 2: expected a file and a class index" in capsys.readouterr().err


@pytest.mark.parametrize(("size", "short", "expected"), [((640, 481), 256, (340, 256)), ((3, 7), 256, (256, 597))])
def test_the_long_side_is_rounded_down(size, short, expected):
    assert predict._resized(size, short) == expected


@pytest.mark.parametrize("shape", [(300, 401), (333, 257), (256, 256), (225, 224)])
def test_images_are_prepared_as_by_torchvision(shape, tmp_path):
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        # torchvision's compiled operators (none of which its transforms use) may not fit a CPU-only torch.
        sys.modules.setdefault("torchvision._meta_registrations", types.ModuleType("absent"))
    t = pytest.importorskip("torchvision.transforms", exc_type=ImportError)
    entry = fc.models.info("mobilenet_v2")
    pixels = np.random.default_rng(1).integers(256, size=(*shape, 3), dtype=np.uint8)
    image_module.fromarray(pixels).save(tmp_path / "x.png")
    theirs = t.Compose([t.Resize(256), t.CenterCrop(224), t.ToTensor(), t.Normalize(entry.mean, entry.std)])
    np.testing.assert_array_equal(
        predict.read_image(tmp_path / "x.png", entry), theirs(image_module.open(tmp_path / "x.png")).numpy()
    )


def test_imagenets_identifiers_are_left_out(tmp_path):
    (tmp_path / "labels.txt").write_text("n01440764 tench, Tinca tinca\nplain name\n")
    assert predict.read_labels(tmp_path / "labels.txt") == ["tench, Tinca tinca", "plain name"]


def test_weights_that_the_package_brings(tmp_path, monkeypatch):
    with pytest.raises(fc.ModelError, match=r"weights: none of lenet5 are in the package, only of deep_convnet"):
        predict.load_model("lenet5")
    monkeypatch.setattr(pretrained.resources, "files", lambda package: tmp_path)
    with pytest.raises(fc.ModelError, match=r"this installation lacks deep_convnet_mnist.safetensors: expected a file"):
        predict.load_model("deep_convnet")
    (tmp_path / "weights").mkdir()
    fc.save(fc.models.create("deep_convnet"), tmp_path / "weights" / "deep_convnet_mnist.safetensors", dtype="float16")
    model, _ = predict.load_model("deep_convnet")
    assert model(np.zeros((1, 1, 28, 28), np.float32)).shape == (1, 10)


@pytest.mark.parametrize("kind", pretrained.PUBLISHED, ids=lambda kind: kind.model)
def test_published_files_fit_their_networks(kind):
    """Their names and layouts, made from the network's own by the inverse of what the table says."""
    target = kind.build().state_dict()
    state = INVERSES[kind.model](target)
    assert kind.mark in state
    adapted = kind.adapt(state)
    assert set(adapted) == set(target)
    for name, value in target.items():
        np.testing.assert_array_equal(adapted[name], value)
    entry = fc.models.info(kind.model)
    model, adapted, images = pretrained.published(entry, state)
    model.load_state_dict(adapted)
    assert images == dataclasses.replace(entry, **kind.images)


def to_tflite(target):
    names = {f"blocks.{s}.{b}": 0 for s, depth in enumerate((1, 2, 2, 6, 2)) for b in range(depth)}
    names = {name: number for number, name in enumerate(names, start=1)}
    state = {}
    for key, value in target.items():
        layer, _, kind = key.rpartition(".")
        block, _, conv = layer.rpartition(".")
        part = {"conv_dw": "_depthwise/depthwise", "conv_pw": "_pointwise/convolution"}.get(conv, "/convolution")
        where = f"Conv2d_{names.get(block, 0)}{part}"
        if layer == "classifier":
            value = np.concatenate([np.zeros_like(value[:1]), value])
            where, value = "Logits/Conv2d_1c_1x1/x", value.reshape(1001, 1, 1, -1) if kind == "weight" else value
        elif kind == "weight":
            value = value.transpose((1, 2, 3, 0) if conv == "conv_dw" else (0, 2, 3, 1))
        suffix = "_bias" if kind == "bias" else "_weights"
        state[f"MobilenetV1/{where}{suffix}".replace("/convolution_weights", "/weights")] = value
    return state


def to_caffe_hwio(target):
    fires = {3: 2, 4: 3, 6: 4, 7: 5, 9: 6, 10: 7, 11: 8, 12: 9}
    state = {}
    for key, value in target.items():
        layer, _, kind = key.rpartition(".")
        parts = layer.split(".")
        if len(parts) == 3:
            name = f"fire{fires[int(parts[1])]}/{'squeeze1x1' if parts[2] == 'squeeze' else parts[2]}"
        else:
            name = "conv1" if parts[0] == "features" else "conv10"
        value = value[:, ::-1] if name == "conv1" and kind == "weight" else value
        state[f"{name}/{'kernel' if kind == 'weight' else kind}"] = (
            value.transpose(2, 3, 1, 0) if kind == "weight" else value
        )
    return state


def to_names(target):
    places = {"0": "conv1", "3": "conv2", "7": "linear1", "9": "linear2"}
    return {places[key.partition(".")[0]] + "." + key.partition(".")[2]: value for key, value in target.items()}


INVERSES = {"mobilenet_v1": to_tflite, "squeezenet1_1": to_caffe_hwio, "lenet5": to_names}

"""Published weights on real images: the exact number that is right."""

from __future__ import annotations

import gzip

import numpy as np
import pytest

from bench import pretrained
from fastconv.cli import main
from fastconv.models import predict

pytestmark = pytest.mark.data
pytest.importorskip("PIL.Image")


@pytest.mark.parametrize(
    ("name", "first", "five"), [("mobilenet_v2", 206, 242), ("mobilenet_v1", 220, 244), ("squeezenet1_1", 162, 212)]
)
def test_photos(data, name, first, five, capsys):
    """250 photos, one of every fourth class of ImageNet."""
    weights = str(data / "weights" / pretrained.PHOTO_MODELS[name])
    folder, truth = str(data / "photos" / "jpeg256"), str(data / "photos" / "labels.csv")
    assert main(["predict", folder, "--model", name, "--weights", weights, "--truth", truth, "--topk", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 251
    assert lines[-1] == f"top-1 {first} of 250 ({first / 250:.2%}), top-5 {five} of 250 ({five / 250:.2%})"


def test_a_photo_is_named(data, capsys, monkeypatch):
    """The names of ImageNet's classes are found beside the photos."""
    monkeypatch.setenv("FASTCONV_DATA", str(data))
    photo = str(data / "photos" / "jpeg256" / "0000_n01440764.jpg")
    weights = str(data / "weights" / pretrained.PHOTO_MODELS["mobilenet_v2"])
    assert main(["predict", photo, "--model", "mobilenet_v2", "--weights", weights]) == 0
    assert capsys.readouterr().out.startswith(f"{photo}: tench, Tinca tinca ")


def test_another_rounding_of_the_crop(data):
    """Where half a pixel decides, a crop rounded down finds 207 and 241: two photos are that close."""
    truth = predict.read_truth(data / "photos" / "labels.csv")
    model, entry = predict.load_model("mobilenet_v2", data / "weights" / pretrained.PHOTO_MODELS["mobilenet_v2"])
    image = pytest.importorskip("PIL.Image")
    images = []
    for file in truth:
        pixels = np.asarray(image.open(data / "photos" / "jpeg256" / file).convert("RGB"), np.float32) / 255
        top, left = (pixels.shape[0] - 224) // 2, (pixels.shape[1] - 224) // 2
        cut = pixels[top : top + 224, left : left + 224]
        images.append(((cut - np.float32(entry.mean)) / np.float32(entry.std)).transpose(2, 0, 1))
    found = pretrained.counts(pretrained.logits_of(model, np.stack(images)), np.array(list(truth.values())))
    assert (found["top1"], found["top5"]) == (207, 241)


@pytest.mark.parametrize(("name", "right"), [("resnet20", 915), ("resnet56", 926)])
def test_cifar(data, name, right):
    """The first 1,000 images of the test set; all of them: 9,173 and 9,339."""
    images, labels = pretrained.cifar(data)
    found = pretrained.counts(pretrained.cifar_logits(data, name, images[:1000]), labels[:1000])
    assert found["top1"] == right


def test_advertorchs_lenet_reads_9889_of_10000_digits(data):
    def read(name, header):
        with gzip.open(data / "mnist" / name) as file:
            return np.frombuffer(file.read(), np.uint8, offset=header)

    images = read("t10k-images-idx3-ubyte.gz", 16).reshape(-1, 1, 28, 28)
    labels = read("t10k-labels-idx1-ubyte.gz", 8)
    path = data / "weights" / "mnist_lenet5_clntrained_advertorch.safetensors"
    model, entry = predict.load_model("lenet5", path)
    assert entry.input_size == (1, 28, 28)
    x = images.astype(np.float32) / 255
    logits = np.concatenate([model(x[i : i + 500]) for i in range(0, len(x), 500)])
    assert int((logits.argmax(1) == labels).sum()) == 9889

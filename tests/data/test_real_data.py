"""The published files: every form decodes to the same images, known ones are where they should be."""

from __future__ import annotations

import shutil
import warnings

import numpy as np
import pytest

import fastconv as fc
from fastconv.data import CIFAR10, MNIST, DataLoader, FashionMNIST, Subset, read_idx
from fastconv.data.augment import Compose, RandomCrop, RandomHorizontalFlip, RandomRotation, RandomTranslation
from fastconv.models.predict import load_model

from .test_files import python2_batch

pytestmark = pytest.mark.data


def has(folder):
    """Skips where the real data lacks this folder."""
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there (see CONTRIBUTING.md)")
    return folder


@pytest.fixture(scope="module")
def cifar_test(data):
    has(data / "cifar10")
    return CIFAR10(data, "test")


@pytest.mark.parametrize(
    ("split", "count", "first"), [("train", 60_000, [5, 0, 4, 1, 9]), ("test", 10_000, [7, 2, 1, 0, 4])]
)
def test_mnist(data, split, count, first):
    digits = MNIST(data, split)
    assert digits.images.shape == (count, 28, 28, 1) and digits.images.dtype == np.uint8
    assert digits.labels[:5].tolist() == first and repr(digits) == f"MNIST({split}, {count:,} images, 10 classes)"
    # Digits are written in the middle, on black.
    assert digits.images[:, [0, -1]].mean() < 1 < 50 < digits.images[:, 10:18, 10:18].mean()


@pytest.mark.parametrize("split", ["train", "test"])
def test_fashion_mnist(data, split):
    has(data / "fashion_mnist")
    clothes = FashionMNIST(data, split)
    assert np.unique(np.bincount(clothes.labels)).tolist() == [len(clothes) // 10]
    assert clothes.classes[clothes.labels[0]] == "Ankle boot"


def test_files_are_found_below_every_name(data, tmp_path, monkeypatch):
    names = ["t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"]
    for folder in (tmp_path / "a", tmp_path / "b/MNIST/raw"):
        folder.mkdir(parents=True)
        for name in names:
            shutil.copy(data / "mnist" / f"{name}.gz", folder)
    monkeypatch.setenv("FASTCONV_DATA", str(tmp_path / "b"))
    np.testing.assert_array_equal(MNIST(split="test").images, MNIST(tmp_path / "a", "test").images)
    # The wrong set below the right names.
    with pytest.raises(fc.FileFormatError, match=r"FashionMNIST: .*not the published file"):
        FashionMNIST(tmp_path / "a", "test")


def test_an_altered_or_cut_file_is_refused(data, tmp_path):
    source = data / "mnist/t10k-labels-idx1-ubyte.gz"
    shutil.copy(data / "mnist/t10k-images-idx3-ubyte.gz", tmp_path)
    labels = bytearray(8) + read_idx(source).tobytes()
    labels[:8] = bytes([0, 0, 8, 1, 0, 0, 0x27, 0x10])
    plain = tmp_path / "t10k-labels-idx1-ubyte"
    plain.write_bytes(labels)
    assert len(MNIST(tmp_path, "test")) == 10_000
    labels[100] ^= 1
    plain.write_bytes(labels)
    with pytest.raises(
        fc.FileFormatError, match=r"t10k-labels-idx1-ubyte': not the published file: .* got [0-9a-f]{64}"
    ):
        MNIST(tmp_path, "test")
    (tmp_path / "t10k-labels-idx1-ubyte.gz").write_bytes(source.read_bytes()[:3000])
    with pytest.raises(fc.FileFormatError, match=r"ubyte.gz': .*whole gzip file"):
        MNIST(tmp_path, "test")


def test_every_form_of_cifar_is_the_same_images(cifar_test, tmp_path):
    planes = cifar_test.images.transpose(0, 3, 1, 2).reshape(10_000, 3072)
    rows = np.concatenate([cifar_test.labels[:, None].astype(np.uint8), planes], axis=1)
    for folder, name, content in (
        ("cifar-10-batches-bin", "test_batch.bin", rows.tobytes()),
        ("cifar-10-batches-py", "test_batch", python2_batch(rows)),
    ):
        path = tmp_path / folder / folder / name
        path.parent.mkdir(parents=True)
        path.write_bytes(content)
        other = CIFAR10(tmp_path / folder, "test")
        np.testing.assert_array_equal(other.images, cifar_test.images)
        np.testing.assert_array_equal(other.labels, cifar_test.labels)
        assert other.form in ("binary version", "Python version")
    assert np.bincount(cifar_test.labels).tolist() == [1000] * 10
    assert repr(cifar_test) == "CIFAR10(test, 10,000 images, 10 classes, WebP grids)"
    # The first test image is a cat; its first pixel.
    assert cifar_test[0][1] == cifar_test.classes.index("cat") and cifar_test[0][0][0, 0].tolist() == [158, 112, 49]


def test_missing_grids_are_told(data):
    folder = has(data / "cifar10")
    present = len(list(folder.glob("data_batch_*.webp")))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        photographs = CIFAR10(data)
    assert len(photographs) == present * 10_000
    if present < 5:
        assert f"{present * 10_000:,} of 50,000 images" in str(caught[0].message) and "data_batch_5" in str(
            caught[0].message
        )
        assert f"{present * 10_000:,} of 50,000" in repr(photographs)


def test_real_batches_repeat_with_any_workers(data, cifar_test):
    digits = Subset.balanced(MNIST(data), 30, seed=1)
    bend = Compose([RandomRotation(15), RandomTranslation(2)])
    crop = Compose([RandomCrop(32, padding=4), RandomHorizontalFlip()])
    for images, transform in ((digits, bend), (Subset(cifar_test, range(500)), crop)):
        alone, together = (list(DataLoader(images, 64, True, transform=transform, workers=count)) for count in (0, 3))
        for (x, labels), (z, more) in zip(alone, together, strict=True):
            np.testing.assert_array_equal(x, z)
            np.testing.assert_array_equal(labels, more)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_a_trained_network_reads_what_the_loader_gives(data, dtype):
    net, _ = load_model("deep_convnet", data / "weights/deep_convnet_mnist_9938.npz", dtype)
    loader = DataLoader(MNIST(data, "test"), 100, shuffle=True, workers=1, dtype=dtype)
    assert sum(int((net(x).argmax(1) == labels).sum()) for x, labels in loader) == 9938


def test_the_nearest_known_digit_is_the_right_one(data):
    """30 a class, nothing learned: labels belong to their images."""
    known, asked = Subset.balanced(MNIST(data), 30), Subset.balanced(MNIST(data, "test"), 20)
    a, b = (part.images.reshape(len(part), -1).astype(np.float64) for part in (known, asked))
    nearest = ((a**2).sum(1) - 2 * b @ a.T).argmin(1)
    assert (known.labels[nearest] == asked.labels).mean() > 0.75

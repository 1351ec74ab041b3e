"""Files: idx, batches of CIFAR-10, folders of images, contact sheets, and what is said where one is bad."""

from __future__ import annotations

import gzip
import io
import pickle
import struct
import subprocess
import sys

import numpy as np
import pytest

import fastconv as fc
from fastconv.data import CIFAR10, MNIST, FashionMNIST, ImageFolder, read_idx, show
from fastconv.data.cifar import _read_python


def idx(array, kind):
    return bytes([0, 0, kind, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


@pytest.mark.parametrize(("kind", "dtype"), [(8, "u1"), (9, "i1"), (11, ">i2"), (12, ">i4"), (13, ">f4"), (14, ">f8")])
@pytest.mark.parametrize("packed", [True, False])
def test_idx_files_of_every_type(tmp_path, kind, dtype, packed):
    array = np.arange(24).reshape(2, 3, 4).astype(dtype)
    path = tmp_path / ("a.gz" if packed else "a")
    path.write_bytes(gzip.compress(idx(array, kind)) if packed else idx(array, kind))
    read = read_idx(path)
    assert read.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(read, array)


GOOD = idx(np.zeros((2, 3), np.uint8), 8)


@pytest.mark.parametrize(
    ("content", "name", "text"),
    [
        (GOOD[:-1], "a", r"expected 18 bytes for shape \(2, 3\), got 17"),
        (GOOD + b"x", "a", r"expected 18 bytes for shape \(2, 3\), got 19"),
        (GOOD[:9], "a", "expected a header of 12 bytes, got 9"),
        (b"", "a", "expected to begin with 0, 0 and a type"),
        (b"\x89PNG and more", "a", "expected to begin with 0, 0 and a type"),
        (bytes([0, 0, 8, 3]) + b"\xff" * 12, "a", "expected .* bytes for shape"),
        (gzip.compress(GOOD)[:-9], "a.gz", "expected a whole gzip file"),
        (GOOD, "a.gz", "expected a whole gzip file"),
        (None, "a", "cannot be read"),
    ],
)
def test_damaged_idx_files_are_refused(tmp_path, content, name, text):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(fc.FileFormatError, match=text):
        read_idx(tmp_path / name)


@pytest.mark.parametrize(
    ("dataset", "text"),
    [
        (MNIST, r"expected train-images-idx3-ubyte.gz or .* folders mnist, MNIST/raw, \.\. The originals: https://"),
        (FashionMNIST, "zalandoresearch/fashion-mnist"),
        (CIFAR10, r"data_batch_1.bin, data_batch_1 or data_batch_1.webp .* https://www.cs.toronto.edu/~kriz/"),
    ],
)
def test_missing_files_are_named_with_their_source(tmp_path, monkeypatch, dataset, text):
    for root in (tmp_path, None):
        monkeypatch.setenv("FASTCONV_DATA", str(tmp_path))
        with pytest.raises(fc.FileFormatError, match=text) as caught:
            dataset(root)
        assert str(tmp_path) in str(caught.value)
    with pytest.raises(fc.ShapeError, match="split: expected 'train' or 'test', got 'valid'"):
        dataset(tmp_path, "valid")


def test_without_a_root_the_cache_folder_is_looked_into(tmp_path, monkeypatch):
    monkeypatch.delenv("FASTCONV_DATA", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(fc.FileFormatError, match=str(tmp_path / ".cache/fastconv")):
        MNIST()


def test_another_file_of_the_right_name_is_refused(tmp_path):
    (tmp_path / "mnist").mkdir()
    path = tmp_path / "mnist/train-images-idx3-ubyte"
    path.write_bytes(idx(np.zeros((60_000, 28, 28), np.uint8), 8))
    with pytest.raises(
        fc.FileFormatError, match=r"train-images-idx3-ubyte': not the published file: .* SHA-256 ba8910"
    ):
        MNIST(tmp_path)
    path.with_suffix(".gz").write_bytes(b"\x1f\x8b rubbish")
    with pytest.raises(fc.FileFormatError, match=r"ubyte.gz': .*expected a whole gzip file.*The originals"):
        MNIST(tmp_path)


def test_bad_batches_of_cifar_are_refused(tmp_path):
    (tmp_path / "test_batch.bin").write_bytes(bytes(1000))
    with pytest.raises(fc.FileFormatError, match=r"test_batch.bin': expected 30,730,000 bytes, got 1,000.*toronto"):
        CIFAR10(tmp_path, "test")
    (tmp_path / "test_batch.bin").write_bytes(bytes(30_730_000))
    with pytest.raises(fc.FileFormatError, match=r"test_batch.bin': not the published file: .* 8e2eb146"):
        CIFAR10(tmp_path, "test")
    (tmp_path / "data_batch_2.bin").write_bytes(bytes(30_730_000))
    with pytest.raises(fc.FileFormatError, match=r"data_batch_1.bin': no such file"):
        CIFAR10(tmp_path)


class Python2Pickler(pickle._Pickler):
    """Writes bytes as Python 2 wrote its strings, which is what the Python version of CIFAR-10 holds."""

    dispatch = dict(pickle._Pickler.dispatch)  # noqa: RUF012

    def save_bytes(self, content):
        self.write(b"T" + struct.pack("<i", len(content)) + content)
        self.memoize(content)

    dispatch[bytes] = save_bytes


def python2_batch(rows):
    batch = {b"batch_label": b"testing", b"labels": rows[:, 0].tolist(), b"data": np.ascontiguousarray(rows[:, 1:])}
    file = io.BytesIO()
    Python2Pickler(file, protocol=2).dump(batch)
    return file.getvalue().replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")


def test_pickled_batches_are_read(tmp_path):
    rows = np.random.default_rng(0).integers(0, 10, (10_000, 3073)).astype(np.uint8)
    (tmp_path / "old").write_bytes(python2_batch(rows))
    np.testing.assert_array_equal(_read_python(tmp_path / "old"), rows)
    (tmp_path / "new").write_bytes(
        pickle.dumps({"data": rows[:, 1:].copy(), "labels": rows[:, 0].tolist()}, protocol=4)
    )
    np.testing.assert_array_equal(_read_python(tmp_path / "new"), rows)
    (tmp_path / "cut").write_bytes(python2_batch(rows)[:-1000])
    with pytest.raises(fc.FileFormatError, match="expected a pickled batch"):
        _read_python(tmp_path / "cut")


class Evil:
    def __init__(self, call):
        self.call = call

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Evil((print, ("got you",))), "arrays, lists and dicts alone, and it asks for .*builtin.*print"),
        (Evil((subprocess.check_call, (["false"],))), "it asks for subprocess"),
        ({"data": np.zeros((10_000, 3072), np.float32), "labels": [0] * 10_000}, "row-major array of uint8"),
        ({"data": np.array([None]), "labels": []}, "row-major array of uint8"),
        ({"data": np.zeros((5, 3072), np.uint8), "labels": [0] * 5}, "expected a pickled batch"),
        ({"labels": []}, "expected a pickled batch: KeyError"),
        ([1, 2], "expected a pickled batch: AttributeError"),
        (
            {"data": np.zeros((10_000, 3072), np.uint8), "labels": [300] * 10_000},
            "expected a pickled batch: OverflowError",
        ),
    ],
)
def test_pickles_of_anything_else_are_refused_and_not_run(tmp_path, capfd, value, text):
    (tmp_path / "test_batch").write_bytes(pickle.dumps(value, protocol=4))
    with pytest.raises(fc.FileFormatError, match=f"test_batch': .*{text}.*The originals"):
        CIFAR10(tmp_path, "test")
    assert capfd.readouterr().out == ""


@pytest.fixture
def image_module():
    return pytest.importorskip("PIL.Image")


def save(image_module, path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    image_module.fromarray(array).save(path)


def test_a_folder_a_class(tmp_path, image_module):
    pixels = np.random.default_rng(0).integers(0, 256, (3, 8, 6, 3)).astype(np.uint8)
    save(image_module, tmp_path / "dog/1.png", pixels[0])
    save(image_module, tmp_path / "cat/deep/2.PNG", pixels[1])
    save(image_module, tmp_path / "cat/1.webp", pixels[2, ..., 0])
    (tmp_path / "cat/notes.txt").write_text("no image")
    (tmp_path / "stray.txt").write_text("no class")
    data = ImageFolder(tmp_path)
    assert data.classes == ("cat", "dog") and data.labels.tolist() == [0, 0, 1]
    assert [path.name for path in data.paths] == ["1.webp", "2.PNG", "1.png"]
    np.testing.assert_array_equal(data[2][0], pixels[0])
    np.testing.assert_array_equal(data.images[1:], pixels[[1, 0]])
    assert data.gather(np.array([], int)).shape == (0, 8, 6, 3)
    grey = ImageFolder(tmp_path, size=4, channels=1)
    assert grey.images.shape == (3, 4, 4, 1)


def test_images_are_made_to_cover_the_size(tmp_path, image_module):
    stripes = np.zeros((20, 40, 3), np.uint8)
    stripes[:, 10:30] = 200
    save(image_module, tmp_path / "a/1.png", stripes)
    square = ImageFolder(tmp_path, size=(20, 20)).images[0]
    assert (square == 200).all()
    assert ImageFolder(tmp_path, size=(10, 20)).images[0].max(axis=(0, 2)).tolist()[0] == 0
    assert ImageFolder(tmp_path, size=(40, 10)).images.shape == (1, 40, 10, 3)


def test_what_is_no_folder_of_images_is_refused(tmp_path, image_module):
    with pytest.raises(fc.FileFormatError, match="no such folder"):
        ImageFolder(tmp_path / "nowhere")
    with pytest.raises(fc.FileFormatError, match="expected a folder a class with images, found none"):
        ImageFolder(tmp_path)
    save(image_module, tmp_path / "a/1.png", np.zeros((4, 4, 3), np.uint8))
    save(image_module, tmp_path / "a/2.png", np.zeros((4, 5, 3), np.uint8))
    for indices in ([1], [0, 1], [1, 0]):
        with pytest.raises(fc.FileFormatError, match=r"2.png': expected 4 x 4 as in the first file .* got 4 x 5"):
            ImageFolder(tmp_path).gather(np.array(indices))
    (tmp_path / "a/3.png").write_bytes((tmp_path / "a/1.png").read_bytes()[:40])
    with pytest.raises(fc.FileFormatError, match=r"3.png': cannot be read"):
        ImageFolder(tmp_path, size=4)[2]
    for arguments in ({"size": 0}, {"size": (1, 2, 3)}, {"channels": 2}):
        with pytest.raises(fc.ShapeError, match="expected"):
            ImageFolder(tmp_path, **arguments)


@pytest.mark.parametrize("labels", [None, list("abcdefg")])
def test_a_sheet_shows_every_image_in_its_place(tmp_path, image_module, labels):
    images = np.zeros((7, 8, 16, 1), np.uint8)
    images += (np.arange(7, dtype=np.uint8) * 30 + 10)[:, None, None, None]
    show(images, tmp_path / "a.png", labels, columns=3)
    sheet = np.asarray(image_module.open(tmp_path / "a.png"))
    height, width = 8 * 4 + 2 + (14 if labels else 0), 16 * 4 + 2  # enlarged four times, a gap, a line of text
    assert sheet.shape == (3 * height + 2, 3 * width + 2, 3)
    for i in range(7):
        y, x = 2 + i // 3 * height, 2 + i % 3 * width
        assert (sheet[y : y + 32, x : x + 64] == i * 30 + 10).all()
        if labels:
            assert (sheet[y + 32 : y + 46, x : x + 64] > 128).any()


def test_a_sheet_of_a_loaders_batch(tmp_path, image_module):
    x = np.zeros((2, 3, 64, 64), np.float32)
    x[1, 0] = 1
    show(x, tmp_path / "a.png")
    sheet = np.asarray(image_module.open(tmp_path / "a.png"))
    assert (sheet[2:66, 2:66] == 0).all() and (sheet[2:66, 68:132] == [255, 0, 0]).all()
    show(x * 4 - 2, tmp_path / "a.png")
    np.testing.assert_array_equal(np.asarray(image_module.open(tmp_path / "a.png")), sheet)


def test_what_no_sheet_can_be_made_of_is_refused(tmp_path, image_module):
    images = np.zeros((2, 4, 4, 1), np.uint8)
    for array in (images[0], np.zeros((2, 4, 4, 2), np.uint8), images[:0], images.astype(np.int64)):
        with pytest.raises(fc.ShapeError, match="images: expected"):
            show(array, tmp_path / "a.png")
    with pytest.raises(fc.ShapeError, match="labels: expected 2, one an image, got 1"):
        show(images, tmp_path / "a.png", ["x"])
    with pytest.raises(fc.ShapeError, match="columns"):
        show(images, tmp_path / "a.png", columns=0)
    with pytest.raises(fc.FileFormatError, match=r"ends in .png"):
        show(images, tmp_path / "a.jpg")
    with pytest.raises(fc.FileFormatError, match="cannot be written"):
        show(images, tmp_path / "none/a.png")


def test_without_pillow_it_says_what_to_install(tmp_path):
    code = (
        "import sys; sys.modules['PIL'] = None; import numpy as np, fastconv as fc\n"
        "try: fc.data.show(np.zeros((1, 2, 2, 1), np.uint8), 'a.png')\n"
        "except fc.FileFormatError as error: print(error)"
    )
    child = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert "pip install 'fastconv[images]'" in child.stdout

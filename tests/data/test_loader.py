"""Batches: what they hold, that nothing but (seed, epoch, index) decides it, resuming, threads."""

from __future__ import annotations

import json
import threading
import traceback

import numpy as np
import pytest

import fastconv as fc
from fastconv.data import DataLoader, Dataset, ImageFolder, Subset, synthetic_digits
from fastconv.data.augment import Compose, RandomErasing, RandomRotation, RandomTranslation, Transform

BEND = Compose([RandomRotation(20), RandomTranslation(2), RandomErasing(0.5)])


@pytest.fixture(scope="module")
def digits():
    return synthetic_digits(103)


@pytest.fixture(autouse=True)
def no_thread_is_left():
    yield
    assert not workers()


def workers():
    return [thread for thread in threading.enumerate() if thread.name.startswith("fastconv-data")]


def same(batches, others):
    return len(batches) == len(others) and all(
        x.tobytes() == z.tobytes() and (labels == more).all()
        for (x, labels), (z, more) in zip(batches, others, strict=True)
    )


def test_batches_are_channels_last_views_of_all_images(digits):
    batches = list(DataLoader(digits, 25))
    assert [len(labels) for _, labels in batches] == [25, 25, 25, 25, 3]
    for x, labels in batches:
        assert x.dtype == np.float32 and x.shape == (len(labels), 1, 28, 28) and labels.dtype == np.int64
        assert x.transpose(0, 2, 3, 1).flags.c_contiguous
    x = np.concatenate([x for x, _ in batches])
    np.testing.assert_array_equal(x, digits.images.transpose(0, 3, 1, 2).astype(np.float32) / 255)
    np.testing.assert_array_equal(np.concatenate([labels for _, labels in batches]), digits.labels)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_dtypes_are_the_float32_values_rounded(digits, dtype):
    plain, other = next(iter(DataLoader(digits, 50)))[0], next(iter(DataLoader(digits, 50, dtype=dtype)))[0]
    assert other.dtype.name == dtype
    np.testing.assert_array_equal(other, plain.astype(other.dtype))


def test_shuffled_epochs_hold_every_image_once_in_another_order(digits):
    numbered = Dataset(np.zeros((200, 1, 1, 1), np.uint8), np.arange(200), map(str, range(200)))
    loader = DataLoader(numbered, 30, shuffle=True, seed=3)
    epochs = [np.concatenate([labels for _, labels in loader]).tolist() for _ in range(3)]
    assert loader.epoch == 3
    assert all(sorted(epoch) == list(range(200)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2] != list(range(200))
    loader.set_epoch(1)
    assert np.concatenate([labels for _, labels in loader]).tolist() == epochs[1]
    other = DataLoader(numbered, 30, shuffle=True, seed=4)
    assert np.concatenate([labels for _, labels in other]).tolist() != epochs[0]
    assert len(DataLoader(numbered, 30)) == 7 and len(DataLoader(numbered, 30, drop_last=True)) == 6
    assert sum(1 for _ in DataLoader(numbered, 30, drop_last=True)) == 6


@pytest.mark.parametrize("count", [1, 2, 5])
@pytest.mark.parametrize("prefetch", [1, 3])
def test_bits_do_not_depend_on_workers(digits, count, prefetch):
    alone = DataLoader(digits, 8, True, seed=2, transform=BEND)
    together = DataLoader(digits, 8, True, seed=2, transform=BEND, workers=count, prefetch=prefetch)
    for _ in range(2):
        assert same(list(alone), list(together))


def test_an_image_does_not_depend_on_the_batch_size(digits):
    whole = next(iter(DataLoader(digits, 103, True, seed=2, transform=BEND)))[0]
    parts = np.concatenate([x for x, _ in DataLoader(digits, 7, True, seed=2, transform=BEND)])
    np.testing.assert_array_equal(parts, whole)


@pytest.mark.parametrize("position", [0, 1, 4, 13])
@pytest.mark.parametrize("count", [0, 2])
def test_a_loaded_state_goes_on_with_the_same_bits(digits, position, count):
    make = lambda seed: DataLoader(digits, 8, True, seed=seed, transform=BEND, workers=count)  # noqa: E731
    loader, other = make(2), make(99)
    loader.set_epoch(5)
    everything = list(loader)
    loader.set_epoch(5)
    iteration = iter(loader)
    for _ in range(position):
        next(iteration)
    other.load_state_dict(json.loads(json.dumps(loader.state_dict())))
    iteration.close()
    assert same(list(other), everything[position:])
    assert other.epoch == 6
    loader.set_epoch(6)
    assert same(list(other), list(loader))


def test_a_state_of_another_loader_is_refused(digits):
    state = DataLoader(digits, 8).state_dict()
    for loader, text in (
        (DataLoader(digits, 9), "batch_size: expected 9, as this loader has, got 8"),
        (DataLoader(digits, 8, shuffle=True), "shuffle: expected 1"),
        (DataLoader(Subset(digits, range(100)), 8), "images: expected 100"),
    ):
        with pytest.raises(fc.StateDictError, match=text):
            loader.load_state_dict(state)
    with pytest.raises(fc.StateDictError, match="position: expected at most 13 batches, got 14"):
        DataLoader(digits, 8).load_state_dict({**state, "position": 14})
    with pytest.raises(fc.StateDictError, match="expected the keys"):
        DataLoader(digits, 8).load_state_dict({"epoch": 1})


def test_an_iteration_left_early_ends_its_threads_and_begins_again(digits):
    loader = DataLoader(digits, 8, True, transform=BEND, workers=3)
    iteration = iter(loader)
    x, _ = next(iteration)
    assert workers()
    iteration.close()
    assert not workers()
    assert loader.epoch == 0 and loader.state_dict()["position"] == 1
    np.testing.assert_array_equal(next(iter(loader))[0], x)


def test_a_loop_left_early_ends_its_threads(digits):
    for _ in DataLoader(digits, 8, workers=2):
        assert workers()
        break
    assert not workers()


def test_only_the_newest_iteration_moves_the_loader(digits):
    loader = DataLoader(digits, 8)
    old, new = iter(loader), iter(loader)
    next(new)
    for _ in old:
        pass
    assert loader.epoch == 0 and loader.state_dict()["position"] == 1


class Fails(Transform):
    """On images of a certain number, which a blank first pixel row marks."""

    def apply(self, images, draws):
        if 40 in draws.indices:
            raise RuntimeError("image 40 is bad")
        return images


@pytest.mark.parametrize("count", [0, 2])
def test_what_a_worker_raises_comes_out_with_its_traceback(digits, count):
    seen = 0
    with pytest.raises(RuntimeError, match="image 40 is bad") as caught:
        for _ in DataLoader(digits, 8, transform=Fails(), workers=count):
            seen += 1
    assert seen == 5
    assert "in apply" in "".join(traceback.format_exception(caught.value))
    caught.value.__traceback__ = None


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"batch_size": 0}, fc.ShapeError, "batch_size: expected at least 1, got 0"),
        ({"batch_size": 2.5}, fc.ShapeError, "batch_size: expected an integer"),
        ({"workers": -1}, fc.ShapeError, "workers"),
        ({"prefetch": 0}, fc.ShapeError, "prefetch"),
        ({"seed": -1}, fc.ShapeError, "seed"),
        ({"dtype": "int8"}, fc.DTypeError, "dtype: expected float32, .* got 'int8'"),
        ({"transform": len}, fc.DTypeError, "transform: expected .* got builtin_function_or_method"),
        ({"dataset": [1]}, fc.DTypeError, "dataset: expected a fastconv.data.Dataset, got list"),
    ],
)
def test_bad_arguments_are_named(digits, arguments, error, text):
    with pytest.raises(error, match=text):
        DataLoader(**{"dataset": digits, "batch_size": 4, **arguments})


def test_an_empty_data_set_has_no_batches(digits):
    assert list(DataLoader(Subset(digits, []), 4, True, workers=1)) == []


def test_files_are_decoded_by_the_workers(tmp_path):
    image_module = pytest.importorskip("PIL.Image")
    for i in range(12):
        folder = tmp_path / "ab"[i % 2]
        folder.mkdir(exist_ok=True)
        image_module.fromarray(np.full((6, 5, 3), i, np.uint8)).save(folder / f"{i:02}.png")
    batches = list(DataLoader(ImageFolder(tmp_path), 5, workers=2))
    values = np.concatenate([x[:, 2, 3, 4] * 255 for x, _ in batches])
    assert np.rint(values).tolist() == [0, 2, 4, 6, 8, 10, 1, 3, 5, 7, 9, 11]

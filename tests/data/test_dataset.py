"""Data sets in memory, parts of them, and the synthetic ones."""

from __future__ import annotations

import numpy as np
import pytest

import fastconv as fc
from fastconv.data import Dataset, Subset, gaussian_blobs, split, synthetic_digits


def test_a_data_set_gives_images_and_labels():
    images = np.arange(3 * 2 * 2, dtype=np.uint8).reshape(3, 2, 2, 1)
    data = Dataset(images, [1, 0, 1], ["a", "b"])
    assert len(data) == 3 and data.labels.dtype == np.int64 and data.classes == ("a", "b")
    image, label = data[-1]
    np.testing.assert_array_equal(image, images[2])
    assert label == 1 and "3 images, 2 classes" in repr(data)
    assert [label for _, label in data] == [1, 0, 1]
    with pytest.raises(IndexError, match="3 images, got 3"):
        data[3]


@pytest.mark.parametrize(
    ("images", "labels", "error", "text"),
    [
        (np.zeros((2, 4, 4, 1), np.float32), [0, 1], fc.DTypeError, "images: expected uint8, got float32"),
        (np.zeros((2, 4, 4), np.uint8), [0, 1], fc.ShapeError, r"images: expected \(N, H, W, C\)"),
        (np.zeros((2, 4, 4, 1), np.uint8), [0], fc.ShapeError, "labels: expected 2, one an image, got 1"),
        (np.zeros((2, 4, 4, 1), np.uint8), [0, 2], fc.ShapeError, "labels: expected 0 to 1, the classes, got 0 to 2"),
        (np.zeros((2, 4, 4, 1), np.uint8), [0.0, 1.0], fc.DTypeError, "labels: expected integers, got float64"),
    ],
)
def test_what_does_not_fit_is_refused(images, labels, error, text):
    with pytest.raises(error, match=text):
        Dataset(images, labels, ["a", "b"])


def test_subsets_of_subsets_lead_to_the_images():
    data = gaussian_blobs(30)
    part = Subset(Subset(data, np.arange(10, 30)), [0, 5, 19])
    np.testing.assert_array_equal(part.images, data.images[[10, 15, 29]])
    np.testing.assert_array_equal(part.labels, data.labels[[10, 15, 29]])
    np.testing.assert_array_equal(part[2][0], data.images[29])
    with pytest.raises(fc.ShapeError, match="indices: expected 0 to 29, got 0 to 30"):
        Subset(data, [0, 30])
    with pytest.raises(fc.ShapeError, match="indices: expected a list of integers"):
        Subset(data, [0.5])


def test_split_shares_everything_out_once():
    data = gaussian_blobs(103)
    parts = split(data, (0.5, 0.3, 0.2), seed=4)
    assert [len(part) for part in parts] == [52, 30, 21]
    assert sorted(np.concatenate([part.indices for part in parts]).tolist()) == list(range(103))
    again, other = split(data, (0.5,), seed=4)[0], split(data, (0.5,), seed=5)[0]
    assert again.indices.tolist() == parts[0].indices.tolist() != other.indices.tolist()
    for fractions in ((0.9, 0.2), (-0.1,), (), (float("nan"),), 0.5, ("half",)):
        with pytest.raises(fc.ShapeError, match="fractions"):
            split(data, fractions)


def test_balanced_takes_as_many_of_each_class():
    data = gaussian_blobs(100, classes=4)
    part = Subset.balanced(data, 5, seed=1)
    assert np.bincount(part.labels).tolist() == [5, 5, 5, 5]
    assert part.indices.tolist() == sorted(part.indices.tolist())
    assert part.indices.tolist() != Subset.balanced(data, 5, seed=2).indices.tolist()
    # Few labels are part of more labels: an experiment that adds labels keeps those that it had.
    assert set(part.indices.tolist()) < set(Subset.balanced(data, 6, seed=1).indices.tolist())
    with pytest.raises(fc.ShapeError, match="per_class: expected at most 25, all of class '0', got 26"):
        Subset.balanced(data, 26)


@pytest.mark.parametrize("make", [synthetic_digits, gaussian_blobs])
def test_synthetic_sets_repeat_and_grow(make):
    data = make(50, seed=3)
    np.testing.assert_array_equal(data.images, make(50, seed=3).images)
    np.testing.assert_array_equal(data.images[:20], make(20, seed=3).images)
    assert (data.images != make(50, seed=4).images).any()
    assert data.images.dtype == np.uint8 and data.images.max() > 150
    assert len(make(0)) == 0


@pytest.mark.parametrize("make", [synthetic_digits, gaussian_blobs])
def test_synthetic_classes_can_be_told_apart(make):
    """The nearest training image tells the label (93 % of the digits, which are shifted and tilted)."""
    train, test = make(1000, seed=0), make(300, seed=1)
    known, asked = (part.images.reshape(len(part), -1).astype(np.float64) for part in (train, test))
    distance = (known**2).sum(1) - 2 * asked @ known.T
    assert (train.labels[distance.argmin(1)] == test.labels).mean() > 0.9


def test_synthetic_arguments_are_checked():
    for call in (lambda: synthetic_digits(-1), lambda: synthetic_digits(1, noise=2), lambda: gaussian_blobs(1, size=0)):
        with pytest.raises(fc.ShapeError, match="expected"):
            call()

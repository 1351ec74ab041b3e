"""A data set: images and labels in memory, and parts of one."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DTypeError, ShapeError
from .random import permutation, whole_number

Array = NDArray[Any]


class Dataset:
    """Images (N, H, W, C) uint8 (held without a copy, read-only here), labels (N,) int64, and the names of the classes that they number.

    Raises DTypeError or ShapeError where the three do not fit each other.

    >>> import numpy as np
    >>> data = Dataset(np.zeros((3, 8, 8, 1), np.uint8), [0, 1, 1], ["cat", "dog"])
    >>> image, label = data[2]
    >>> len(data), image.shape, data.classes[label]
    (3, (8, 8, 1), 'dog')
    """

    def __init__(self, images: Any, labels: Any, classes: Iterable[str]) -> None:
        # Read-only, as what is read from a file is: a loader's threads share it.
        self._images: Array | None = np.asarray(images).view()
        self._images.flags.writeable = False
        if self._images.dtype != np.uint8:
            raise DTypeError(f"images: expected uint8, got {self._images.dtype}")
        if self._images.ndim != 4:
            raise ShapeError(f"images: expected (N, H, W, C), got shape {self._images.shape}")
        self._describe(labels, classes)
        if len(self.labels) != len(self._images):
            raise ShapeError(f"labels: expected {len(self._images)}, one an image, got {len(self.labels)}")

    def _describe(self, labels: Any, classes: Iterable[str]) -> None:
        self.classes: tuple[str, ...] = tuple(classes)
        array = np.asarray(labels)
        if array.size and array.dtype.kind not in "iu":
            raise DTypeError(f"labels: expected integers, got {array.dtype}")
        self.labels: NDArray[np.int64] = array.astype(np.int64)
        if self.labels.ndim != 1:
            raise ShapeError(f"labels: expected (N,), got shape {self.labels.shape}")
        if self.labels.size and not 0 <= self.labels.min() <= self.labels.max() < len(self.classes):
            raise ShapeError(
                f"labels: expected 0 to {len(self.classes) - 1}, the classes, "
                f"got {self.labels.min()} to {self.labels.max()}"
            )

    @property
    def images(self) -> Array:
        """(N, H, W, C) uint8."""
        assert self._images is not None
        return self._images

    def gather(self, indices: Array) -> Array:
        """The images of those indices, (len(indices), H, W, C) uint8: what a loader asks for, from any thread."""
        return self.images[indices]

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Array, int]:
        i = operator.index(index)
        if not -len(self) <= i < len(self):
            raise IndexError(f"index: expected one of {len(self)} images, got {i}")
        i %= len(self)
        image: Array = self.gather(np.array([i]))[0]
        return image, int(self.labels[i])

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self):,} images, {len(self.classes)} classes)"


class Subset(Dataset):
    """The images of a data set at some indices, in that order; nothing is copied before it is asked for.

    >>> from fastconv.data import synthetic_digits
    >>> digits = synthetic_digits(20)
    >>> Subset(digits, [3, 5]).labels.tolist() == digits.labels[[3, 5]].tolist()
    True
    """

    def __init__(self, dataset: Dataset, indices: Any) -> None:
        array = np.asarray(indices)
        if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
            raise ShapeError(f"indices: expected a list of integers, got shape {array.shape} of {array.dtype}")
        if array.size and not 0 <= array.min() <= array.max() < len(dataset):
            raise ShapeError(f"indices: expected 0 to {len(dataset) - 1}, got {array.min()} to {array.max()}")
        self.dataset = dataset
        self.indices: NDArray[np.int64] = array.astype(np.int64)
        self._describe(dataset.labels[self.indices], dataset.classes)

    @classmethod
    def balanced(cls, dataset: Dataset, per_class: int, seed: int = 0) -> Subset:
        """per_class images of every class, chosen by the seed, in the order of the data set.

        Raises ShapeError where a class has fewer.

        >>> from fastconv.data import synthetic_digits
        >>> np.bincount(Subset.balanced(synthetic_digits(200), 3).labels).tolist()
        [3, 3, 3, 3, 3, 3, 3, 3, 3, 3]
        """
        wanted = whole_number(per_class, "per_class", 32)
        order = permutation(len(dataset), seed)
        chosen = []
        for label, name in enumerate(dataset.classes):
            members = order[dataset.labels[order] == label]
            if len(members) < wanted:
                raise ShapeError(f"per_class: expected at most {len(members)}, all of class {name!r}, got {wanted}")
            chosen.append(members[:wanted])
        return cls(dataset, np.sort(np.concatenate(chosen)) if chosen else np.empty(0, np.int64))

    @property
    def images(self) -> Array:
        """(N, H, W, C) uint8, a copy of those images."""
        return self.dataset.gather(self.indices)

    def gather(self, indices: Array) -> Array:
        """The images at those places of the subset."""
        return self.dataset.gather(self.indices[indices])


def split(dataset: Dataset, fractions: Sequence[float], seed: int = 0) -> tuple[Subset, ...]:
    """Parts of a data set that share no image, of those fractions of its size, chosen by the seed.

    Fractions that sum to 1 leave nothing out. Raises ShapeError where one is negative or they sum to more.

    >>> from fastconv.data import synthetic_digits
    >>> [len(part) for part in split(synthetic_digits(100), (0.8, 0.1, 0.1))]
    [80, 10, 10]
    """
    try:
        shares = [float(share) for share in fractions]
    except (TypeError, ValueError):
        shares = []
    if not shares or not all(share >= 0 for share in shares) or math.fsum(shares) > 1 + 1e-9:
        raise ShapeError(f"fractions: expected numbers from 0 on that sum to 1 at most, got {fractions!r}")
    ends = [round(math.fsum(shares[: i + 1]) * len(dataset)) for i in range(len(shares))]
    order = permutation(len(dataset), seed)
    return tuple(Subset(dataset, order[begin:end]) for begin, end in zip([0, *ends], ends, strict=False))

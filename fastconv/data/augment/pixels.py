"""Changes of the values of pixels, and rectangles wiped out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import ShapeError
from ..random import Draws
from .transform import Transform, check_fill, finite, real_pair
from .transform import probability as _probability

Array = NDArray[Any]


class ToFloat(Transform):
    """uint8 to float32, divided by 255: 0 to 1. float32 images stay as they are.

    >>> ToFloat()(np.full((1, 1, 1, 1), 255, np.uint8)).item()
    1.0
    """

    def apply(self, images: Array, draws: Draws) -> Array:
        """pixel / 255, rounded once."""
        if images.dtype != np.uint8:
            return images
        scaled: Array = np.divide(images, np.float32(255), dtype=np.float32)
        return scaled


class Normalize(Transform):
    """(pixel - mean) / std, a number each for every channel or one for all; uint8 images are divided by 255 first.

    >>> Normalize(0.5, 0.25)(np.ones((1, 1, 1, 3), np.float32)).ravel()
    array([2., 2., 2.], dtype=float32)
    """

    def __init__(self, mean: float | Sequence[float], std: float | Sequence[float]) -> None:
        self.mean = tuple(np.atleast_1d(np.asarray(mean, np.float64)).tolist())
        self.std = tuple(np.atleast_1d(np.asarray(std, np.float64)).tolist())
        if not all(map(math.isfinite, self.mean)):
            raise ShapeError(f"mean: expected finite numbers, got {mean}")
        if not all(math.isfinite(value) and value > 0 for value in self.std):
            raise ShapeError(f"std: expected numbers above 0, got {std}")

    def apply(self, images: Array, draws: Draws) -> Array:
        """In float32."""
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) not in (1, images.shape[3]):
                raise ShapeError(f"{name}: expected one number or {images.shape[3]}, one a channel, got {len(values)}")
        count, height, width, channels = images.shape
        # A row of pixels at a time: NumPy's inner loop along the three channels alone takes four times as long.
        mean, std = (
            np.tile(np.broadcast_to(np.array(values, np.float32), channels), width) for values in (self.mean, self.std)
        )
        result: Array = ToFloat().apply(images, draws).reshape(count, height, width * channels) - mean
        result /= std
        return result.reshape(images.shape)


def _like(values: Array, images: Array) -> Array:
    """float32 values in the dtype of images: uint8 rounded to the nearest and limited to 0..255."""
    return np.clip(np.rint(values), 0, 255).astype(np.uint8) if images.dtype == np.uint8 else values


class _RandomFactor(Transform):
    def __init__(self, amount: float | tuple[float, float], name: str) -> None:
        self.factors = real_pair(amount, name, around=1, least=0)

    def _factors(self, draws: Draws) -> Array:
        return draws.uniform(1, *self.factors).astype(np.float32)[:, :, None, None]


class RandomBrightness(_RandomFactor):
    """Multiplies an image by a factor between 1 - amount and 1 + amount, or between two numbers.

    uint8 results are limited to 0..255; float32 results are not limited.

    >>> RandomBrightness((2, 2))(np.array([10, 200], np.uint8).reshape(1, 1, 2, 1)).ravel()
    array([ 20, 255], dtype=uint8)
    """

    def __init__(self, amount: float | tuple[float, float]) -> None:
        super().__init__(amount, "amount")

    def apply(self, images: Array, draws: Draws) -> Array:
        """images * factor."""
        return _like(images * self._factors(draws), images)


class RandomContrast(_RandomFactor):
    """Multiplies an image's distance from its mean (of all its values) by a factor, as RandomBrightness takes it.

    >>> RandomContrast((0, 0))(np.array([10, 20], np.uint8).reshape(1, 1, 2, 1)).ravel()
    array([15, 15], dtype=uint8)
    """

    def __init__(self, amount: float | tuple[float, float]) -> None:
        super().__init__(amount, "amount")

    def apply(self, images: Array, draws: Draws) -> Array:
        """mean + (images - mean) * factor."""
        rows = np.ascontiguousarray(images).reshape(len(images), math.prod(images.shape[1:]))
        # The mean of integers is exact; an image's row of float32 is added in one order, whatever the batch.
        mean = rows.sum(1, dtype=np.int64 if images.dtype == np.uint8 else np.float64) / max(rows.shape[1], 1)
        centred = images - mean.astype(np.float32)[:, None, None, None]
        return _like(centred * self._factors(draws) + mean.astype(np.float32)[:, None, None, None], images)


class RandomErasing(Transform):
    """Fills a rectangle of an image with `fill`, with that probability (Zhong and others, AAAI 2020).

    area: smallest and largest share of the image; aspect: smallest and largest height over width, drawn on a
    logarithmic scale. Sides are rounded to whole pixels, limited to the image's, and the rectangle lies inside it.

    >>> int(RandomErasing(1, area=(1, 1), aspect=(1, 1), fill=7)(np.zeros((1, 4, 4, 1), np.uint8)).sum())
    112
    """

    def __init__(
        self,
        probability: float = 0.5,
        area: tuple[float, float] = (0.02, 0.33),
        aspect: tuple[float, float] = (0.3, 3.3),
        fill: float = 0,
    ) -> None:
        self.probability = _probability(probability)
        self.area = real_pair(area, "area", least=0)
        if self.area[1] > 1:
            raise ShapeError(f"area: expected shares of the image, 1 at most, got {area}")
        self.aspect = real_pair(aspect, "aspect", least=1e-3)
        self.fill = finite(fill, "fill")

    def apply(self, images: Array, draws: Draws) -> Array:
        """A copy with rectangles filled."""
        height, width = images.shape[1:3]
        chosen, share, shape, down, right = draws.uniform(5).T
        area = (self.area[0] + share * (self.area[1] - self.area[0])) * height * width
        low, high = (math.log(value) / 2 for value in self.aspect)
        root = np.exp(low + shape * (high - low))
        tall = np.clip(np.rint(np.sqrt(area) * root), 1, height).astype(np.int64)
        wide = np.clip(np.rint(np.sqrt(area) / root), 1, width).astype(np.int64)
        tops, lefts = (down * (height - tall + 1)).astype(np.int64), (right * (width - wide + 1)).astype(np.int64)
        result: Array = images.copy()
        fill = check_fill(self.fill, images)
        for i in np.flatnonzero(chosen < self.probability).tolist():
            result[i, tops[i] : tops[i] + tall[i], lefts[i] : lefts[i] + wide[i]] = fill
        return result

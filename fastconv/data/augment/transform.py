"""What a transform is."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import DTypeError, ShapeError
from ..random import Draws, whole_number

Array = NDArray[Any]


class Transform:
    """A change of a batch of images (N, H, W, C), uint8 of 0 to 255 or float32; a subclass writes `apply`.

    Called on a batch, it draws for image i of the data set what (seed, epoch, i) decides. Raises DTypeError or
    ShapeError where images are something else.

    >>> class Negative(Transform):
    ...     def apply(self, images, draws):
    ...         return 255 - images
    >>> int(Negative()(np.zeros((1, 2, 2, 1), np.uint8)).max())
    255
    """

    def apply(self, images: Array, draws: Draws) -> Array:
        """The changed images; images itself stays as it is. Random numbers come from draws alone."""
        raise NotImplementedError(f"{type(self).__name__} defines no apply()")

    def __call__(self, images: Any, *, seed: int = 0, epoch: int = 0, indices: Any = None) -> Array:
        array = np.asarray(images)
        if array.dtype not in (np.uint8, np.float32):
            raise DTypeError(f"images: expected uint8 or float32, got {array.dtype}")
        if array.ndim != 4:
            raise ShapeError(f"images: expected (N, H, W, C), got shape {array.shape}")
        draws = Draws(seed, epoch, np.arange(len(array)) if indices is None else indices)
        if len(draws) != len(array):
            raise ShapeError(f"indices: expected {len(array)}, one an image, got {len(draws)}")
        return self.apply(array, draws)

    def __repr__(self) -> str:
        values = ", ".join(f"{key}={value!r}" for key, value in vars(self).items() if not key.startswith("_"))
        return f"{type(self).__name__}({values})"


def real_pair(
    value: Any, name: str, *, around: float | None = None, ordered: bool = True, least: float = -math.inf
) -> tuple[float, float]:
    """value as two finite numbers, low and high; one number v means (around - v, around + v), v from 0 on.

    Raises ShapeError where there are not two, one is below `least`, or (where ordered) the first is the larger.
    """
    try:
        if around is not None and np.ndim(value) == 0:
            low, high = around - float(value), around + float(value)
        else:
            low, high = (float(number) for number in value)
    except (TypeError, ValueError):
        low = high = math.nan
    if not (math.isfinite(low) and math.isfinite(high)) or min(low, high) < least or (ordered and low > high):
        one = "one number from 0 on or " if around is not None else ""
        bound = "" if least == -math.inf else f", each at least {least:g}"
        raise ShapeError(
            f"{name}: expected {one}two finite numbers{', in order' if ordered else ''}{bound}, got {value!r}"
        )
    return low, high


def finite(value: Any, name: str) -> float:
    """value as a finite float, else a ShapeError."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise ShapeError(f"{name}: expected a finite number, got {value!r}")
    return number


def probability(value: Any, name: str = "probability") -> float:
    """value as a float from 0 to 1, else a ShapeError."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not 0 <= number <= 1:
        raise ShapeError(f"{name}: expected 0 to 1, got {value!r}")
    return number


def size_pair(value: Any, name: str, least: int = 1) -> tuple[int, int]:
    """value, or value twice, as (height, width), else a ShapeError."""
    pair = (value, value) if np.ndim(value) == 0 else tuple(value)
    if len(pair) != 2 or any(whole_number(side, name, 16) < least for side in pair):
        raise ShapeError(f"{name}: expected a number or (height, width), at least {least}, got {value!r}")
    return whole_number(pair[0], name, 16), whole_number(pair[1], name, 16)


def check_fill(fill: float, images: Array) -> float:
    """fill as a float that is a value of the images' dtype, else a ShapeError."""
    number = float(fill)
    if images.dtype == np.uint8 and not (number.is_integer() and 0 <= number <= 255):
        raise ShapeError(f"fill: expected a whole number from 0 to 255 for uint8 images, got {fill}")
    return number

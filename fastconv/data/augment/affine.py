"""Rotation, translation, scale: affine maps, and elastic distortion, which bends more freely."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import ShapeError
from ..random import Draws, whole_number
from .transform import Transform, finite, real_pair
from .warp import warp

Array = NDArray[Any]


class Affine(Transform):
    """A transform that is an affine map an image, given by `maps`; what comes from outside the image is `fill`.

    fill is a value of a pixel: 0 to 255 for uint8. Neighbours in a Compose are one map.
    """

    def __init__(self, fill: float) -> None:
        self.fill = finite(fill, "fill")

    def maps(self, draws: Draws) -> Array:
        """(N, 2, 3) float64: for each image, from a place in the result to one in the image (see `warp`)."""
        raise NotImplementedError(f"{type(self).__name__} defines no maps()")

    def apply(self, images: Array, draws: Draws) -> Array:
        """The images, sampled bilinearly."""
        return warp(images, self.maps(draws), self.fill)


def compose_maps(maps: Sequence[Array]) -> Array:
    """The map of several transforms in order: the last one's is applied first, for maps lead back to the image."""
    total = maps[0]
    for following in maps[1:]:
        turned = total[:, :, :2, None] * following[:, None]
        total = np.concatenate(
            [turned[:, :, 0, :2] + turned[:, :, 1, :2], (turned[:, :, 0, 2:] + turned[:, :, 1, 2:] + total[:, :, 2:])],
            axis=2,
        )
    return total


def _maps(yy: Any, yx: Any, ty: Any, xy: Any, xx: Any, tx: Any) -> Array:
    rows = np.broadcast_arrays(*(np.asarray(value, np.float64) for value in (yy, yx, ty, xy, xx, tx)))
    return np.stack(rows, axis=1).reshape(-1, 2, 3)


def cosine_sine(degrees: Array) -> tuple[Array, Array]:
    """Cosine and sine in float64, exact at multiples of 90 degrees, the same bits on every machine.

    The angle is brought between -45 and 45 degrees by quarter turns; there the series up to the 19th power is as good
    as float64 is (the next term is below 0.79^20 / 20! = 4e-21).
    """
    quarters = np.rint(degrees / 90)
    angle = (degrees - quarters * 90) * (math.pi / 180)
    square = angle * angle
    cosine, sine = np.ones_like(angle), np.ones_like(angle)
    for power in range(18, 0, -2):
        cosine = 1 - square / (power * (power - 1)) * cosine
        sine = 1 - square / (power * (power + 1)) * sine
    sine = sine * angle
    quarter = quarters.astype(np.int64) % 4
    return np.choose(quarter, [cosine, -sine, -cosine, sine]), np.choose(quarter, [sine, cosine, -sine, -cosine])


class RandomRotation(Affine):
    """Turns images about their centre, counter-clockwise by an angle between -degrees and degrees.

    degrees: one number from 0 on, or (lowest, highest). Multiples of 90 degrees turn square images exactly.

    >>> image = np.array([[1, 2], [3, 4]], np.uint8).reshape(1, 2, 2, 1)
    >>> RandomRotation((90, 90))(image)[0, :, :, 0]
    array([[2, 4],
           [1, 3]], dtype=uint8)
    """

    def __init__(self, degrees: float | tuple[float, float], fill: float = 0) -> None:
        super().__init__(fill)
        self.degrees = real_pair(degrees, "degrees", around=0)

    def maps(self, draws: Draws) -> Array:
        """Y = y cos + x sin, X = x cos - y sin."""
        cosine, sine = cosine_sine(draws.uniform(1, *self.degrees)[:, 0])
        return _maps(cosine, sine, 0, -sine, cosine, 0)


class RandomTranslation(Affine):
    """Moves images by up to `pixels` down or up and right or left, whole pixels unless whole=False.

    pixels: one number, or (vertical, horizontal), from 0 on.

    >>> RandomTranslation(2)(np.ones((1, 8, 8, 1), np.uint8)).sum() in (36, 42, 48, 49, 56, 64)
    True
    """

    def __init__(self, pixels: float | tuple[float, float], whole: bool = True, fill: float = 0) -> None:
        super().__init__(fill)
        self.pixels = real_pair((pixels, pixels) if np.ndim(pixels) == 0 else pixels, "pixels", ordered=False, least=0)
        self.whole = bool(whole)
        if self.whole and not all(value.is_integer() for value in self.pixels):
            raise ShapeError(f"pixels: expected whole numbers, or whole=False, got {pixels}")

    def maps(self, draws: Draws) -> Array:
        """Y = y - down, X = x - right."""
        if self.whole:
            moves = [draws.integers(1, -int(most), int(most))[:, 0] for most in self.pixels]
        else:
            moves = [draws.uniform(1, -most, most)[:, 0] for most in self.pixels]
        return _maps(1, 0, -moves[0], 0, 1, -moves[1])


class RandomScale(Affine):
    """Enlarges the content of images about their centre by a factor between factors[0] and factors[1]; below 1 shrinks.

    >>> float(RandomScale((1, 1))(np.eye(3, dtype=np.float32).reshape(1, 3, 3, 1)).sum())
    3.0
    """

    def __init__(self, factors: tuple[float, float], fill: float = 0) -> None:
        super().__init__(fill)
        self.factors = real_pair(factors, "factors", least=1e-3)

    def maps(self, draws: Draws) -> Array:
        """Y = y / factor, X = x / factor."""
        inverse = 1 / draws.uniform(1, *self.factors)[:, 0]
        return _maps(inverse, 0, 0, 0, inverse, 0)


class ElasticDistortion(Transform):
    """Bends images: the points of a coarse grid move by up to `pixels` in each direction, what is between them follows.

    grid: points a side, at least 2, evenly from edge to edge; between them displacements are bilinear. A cheap form of
    Simard, Steinkraus and Platt, "Best practices for convolutional neural networks" (ICDAR 2003), who smooth a
    displacement a pixel by a Gaussian.

    >>> float(ElasticDistortion(0)(np.eye(4, dtype=np.float32).reshape(1, 4, 4, 1)).sum())
    4.0
    """

    def __init__(self, pixels: float, grid: int = 5, fill: float = 0) -> None:
        self.pixels = real_pair((0, pixels), "pixels")[1]
        self.grid, self.fill = whole_number(grid, "grid", 16), finite(fill, "fill")
        if not 2 <= self.grid <= 64:
            raise ShapeError(f"grid: expected 2 to 64 points, got {grid}")

    def apply(self, images: Array, draws: Draws) -> Array:
        """The images, sampled bilinearly."""
        count, height, width, _ = images.shape
        moves = draws.uniform(2 * self.grid * self.grid, -self.pixels, self.pixels)
        points = moves.astype(np.float32).reshape(count, 2, self.grid, self.grid)
        offsets = _stretch(_stretch(points, height, 2), width, 3)
        return warp(images, np.broadcast_to(np.eye(2, 3), (count, 2, 3)), self.fill, offsets)


def _stretch(points: Array, length: int, axis: int) -> Array:
    """points interpolated bilinearly along an axis to that length, the ends kept."""
    last = points.shape[axis] - 1
    place = np.linspace(0, last, length)
    lower = np.minimum(place.astype(np.intp), last - 1)
    fraction = (place - lower).astype(np.float32)
    if axis == 2:
        fraction = fraction[:, None]
    below = points.take(lower, axis)
    stretched: Array = below + fraction * (points.take(lower + 1, axis) - below)
    return stretched

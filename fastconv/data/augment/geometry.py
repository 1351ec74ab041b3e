"""Crops, flips and sizes: pixels are moved, and only Resize computes new ones."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import ShapeError
from ..random import Draws
from .transform import Transform, check_fill, finite, size_pair
from .transform import probability as _probability

Array = NDArray[Any]


def _filled(images: Array, height: int, width: int, fill: float) -> Array:
    """A batch of that size that holds nothing but fill."""
    return np.full((images.shape[0], height, width, images.shape[3]), check_fill(fill, images), images.dtype)


class RandomCrop(Transform):
    """Cuts a window of `size` out of each image at a random place, after `padding` pixels of `fill` on every side.

    size, padding: one number, or (height, width). The window has to fit: ShapeError where it does not.

    >>> RandomCrop(32, padding=4)(np.zeros((5, 32, 32, 3), np.uint8)).shape
    (5, 32, 32, 3)
    """

    def __init__(self, size: int | tuple[int, int], padding: int | tuple[int, int] = 0, fill: float = 0) -> None:
        self.size = size_pair(size, "size")
        self.padding = size_pair(padding, "padding", least=0)
        self.fill = finite(fill, "fill")

    def apply(self, images: Array, draws: Draws) -> Array:
        """A copy of each window."""
        count, height, width, channels = images.shape
        pad_y, pad_x = self.padding
        high, wide = self.size
        spare = height + 2 * pad_y - high, width + 2 * pad_x - wide
        if min(spare) < 0:
            raise ShapeError(
                f"size: expected at most {height + 2 * pad_y} x {width + 2 * pad_x}, the padded image, "
                f"got {high} x {wide}"
            )
        if pad_y or pad_x:
            padded = _filled(images, height + 2 * pad_y, width + 2 * pad_x, self.fill)
            padded[:, pad_y : pad_y + height, pad_x : pad_x + width] = images
            images = padded
        tops, lefts = (draws.integers(1, 0, most)[:, 0].tolist() for most in spare)
        result = np.empty((count, high, wide, channels), images.dtype)
        # A loop of block copies: one gather of single pixels for the whole batch takes several times as long.
        for window, image, top, left in zip(result, images, tops, lefts, strict=True):
            window[...] = image[top : top + high, left : left + wide]
        return result


class CenterCrop(Transform):
    """The centre of each image, `size` large (one number, or (height, width)); fill where the image is smaller.

    >>> CenterCrop(2)(np.arange(16, dtype=np.uint8).reshape(1, 4, 4, 1))[0, :, :, 0]
    array([[ 5,  6],
           [ 9, 10]], dtype=uint8)
    """

    def __init__(self, size: int | tuple[int, int], fill: float = 0) -> None:
        self.size = size_pair(size, "size")
        self.fill = finite(fill, "fill")

    def apply(self, images: Array, draws: Draws) -> Array:
        """A copy of the centre."""
        high, wide = self.size
        source, target = [], []
        for have, want in zip(images.shape[1:3], self.size, strict=True):
            keep = min(have, want)
            source.append(slice((have - keep) // 2, (have - keep) // 2 + keep))
            target.append(slice((want - keep) // 2, (want - keep) // 2 + keep))
        result: Array = _filled(images, high, wide, self.fill)
        result[:, target[0], target[1]] = images[:, source[0], source[1]]
        return result


class _RandomFlip(Transform):
    axis: int

    def __init__(self, probability: float = 0.5) -> None:
        self.probability = _probability(probability)

    def apply(self, images: Array, draws: Draws) -> Array:
        """Those images turned over that the draw says."""
        chosen = draws.uniform(1)[:, 0] < self.probability
        result: Array = images.copy()
        result[chosen] = np.flip(images[chosen], self.axis)
        return result


class RandomHorizontalFlip(_RandomFlip):
    """Exchanges left and right in an image with that probability."""

    axis = 2


class RandomVerticalFlip(_RandomFlip):
    """Exchanges top and bottom in an image with that probability."""

    axis = 1


class Resize(Transform):
    """Images of another size (one number, or (height, width)), as Pillow's bilinear filter gives within a rounding.

    A pixel of the result is the mean of the image below it, weighted by a triangle that is two pixels of the result
    wide, or of the image where that is larger; so shrinking does not alias.

    >>> Resize(1)(np.array([[0, 2], [4, 6]], np.float32).reshape(1, 2, 2, 1)).item()
    3.0
    """

    def __init__(self, size: int | tuple[int, int]) -> None:
        self.size = size_pair(size, "size")

    def apply(self, images: Array, draws: Draws) -> Array:
        """Both directions, one after the other, in float32; uint8 is rounded to the nearest."""
        if min(images.shape[1:3]) < 1:
            raise ShapeError(f"images: expected at least one pixel to resize, got shape {images.shape}")
        result = images.astype(np.float32)
        for axis, length in enumerate(self.size, 1):
            result = _resample(result, length, axis)
        return np.rint(result).astype(np.uint8) if images.dtype == np.uint8 else result


def _resample(images: Array, length: int, axis: int) -> Array:
    """Sums over the taps, one after the other, so that an image's bits do not depend on its batch (a product of
    matrices would leave that to BLAS)."""
    have = images.shape[axis]
    if have == length:
        return images
    ratio = have / length
    reach = max(ratio, 1.0)
    centre = (np.arange(length) + 0.5) * ratio
    first = np.floor(centre - reach + 0.5).astype(np.intp)
    taps = first[:, None] + np.arange(math.ceil(2 * reach) + 1)
    weights = np.maximum(1 - np.abs(taps + 0.5 - centre[:, None]) / reach, 0)
    weights[(taps < 0) | (taps >= have)] = 0
    weights /= weights.sum(1, keepdims=True)
    taps = np.clip(taps, 0, have - 1)
    shape = [1] * images.ndim
    shape[axis] = length
    total = np.zeros(images.shape[:axis] + (length,) + images.shape[axis + 1 :], np.float32)
    for tap in range(taps.shape[1]):
        total += images.take(taps[:, tap], axis) * weights[:, tap].astype(np.float32).reshape(shape)
    return total

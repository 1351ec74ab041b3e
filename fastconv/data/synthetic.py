"""Data that needs no file: for tests, demonstrations and a first look at a network that should learn something."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ShapeError
from .augment import Compose, RandomRotation, RandomScale, RandomTranslation
from .augment.transform import probability
from .dataset import Dataset
from .random import Draws, whole_number

Array = NDArray[Any]

# The digits of a display of 5 x 7 dots, a row of dots a number, the leftmost dot 16.
_FONT = np.array(
    [
        [14, 17, 19, 21, 25, 17, 14],
        [4, 12, 4, 4, 4, 4, 14],
        [14, 17, 1, 2, 4, 8, 31],
        [31, 2, 4, 2, 1, 17, 14],
        [2, 6, 10, 18, 31, 2, 2],
        [31, 16, 30, 1, 1, 17, 14],
        [6, 8, 16, 30, 17, 17, 14],
        [31, 1, 2, 4, 8, 8, 8],
        [14, 17, 17, 14, 17, 17, 14],
        [14, 17, 17, 15, 1, 2, 12],
    ]
)


def synthetic_digits(count: int, seed: int = 0, noise: float = 0.1) -> Dataset:
    """Digits of a dot-matrix display, 28 x 28 x 1, like MNIST in form: shifted, tilted, scaled, dimmed, in noise.

    noise: the amplitude of the noise, of 255. The label of image i is i % 10. The same seed gives the same bytes, and a
    longer set begins with a shorter one.

    >>> digits = synthetic_digits(100)
    >>> digits.images.shape, digits.labels[:3].tolist(), digits.classes[7]
    ((100, 28, 28, 1), [0, 1, 2], '7')
    """
    total, amplitude = whole_number(count, "count", 32), probability(noise, "noise")
    dots = (_FONT[:, :, None] >> np.arange(4, -1, -1)) & 1
    glyphs = np.zeros((10, 28, 28, 1), np.float32)
    glyphs[:, 3:24, 6:21, 0] = np.kron(dots, np.ones((3, 3), np.int64)) * 255
    labels = np.arange(total) % 10
    bend = Compose([RandomRotation(12), RandomScale((0.8, 1.1)), RandomTranslation(3)])
    images = bend(glyphs[labels], seed=seed)
    draws = Draws(seed, 0, np.arange(total), position=1000)
    images *= draws.uniform(1, 0.6, 1.0).astype(np.float32)[:, :, None, None]
    speckle = draws.words(28 * 28 // 4).view(np.uint8).reshape(images.shape).astype(np.float32)
    images += (speckle - 127.5) * np.float32(2 * amplitude)
    return Dataset(np.clip(np.rint(images), 0, 255).astype(np.uint8), labels, "0123456789")


def gaussian_blobs(count: int, classes: int = 4, size: int = 8, channels: int = 1, seed: int = 0) -> Dataset:
    """One blob of light an image, (size, size, channels); where it is, is its class: classes places on a circle.

    The place wavers by a tenth of the size and the light by a fifth, so that a small network tells the classes apart
    within seconds. The label of image i is i % classes. The same seed gives the same bytes.

    >>> gaussian_blobs(6, classes=3).labels.tolist()
    [0, 1, 2, 0, 1, 2]
    """
    total, kinds = whole_number(count, "count", 32), whole_number(classes, "classes", 16)
    side, depth = whole_number(size, "size", 16), whole_number(channels, "channels", 16)
    if min(kinds, side, depth) < 1:
        raise ShapeError(f"classes, size, channels: expected at least 1, got {kinds}, {side}, {depth}")
    labels = np.arange(total) % kinds
    draws = Draws(seed, 0, np.arange(total))
    angle = 2 * np.pi * labels / kinds
    wavering = draws.uniform(2, -side / 10, side / 10)
    y = (side - 1) / 2 + side / 4 * np.sin(angle) + wavering[:, 0]
    x = (side - 1) / 2 + side / 4 * np.cos(angle) + wavering[:, 1]
    grid = np.arange(side)
    width = 2 * (side / 8) ** 2
    rows = np.exp(-((grid - y[:, None]) ** 2) / width)
    columns = np.exp(-((grid - x[:, None]) ** 2) / width)
    light = draws.uniform(depth, 0.8 * 255, 255)
    blobs = rows[:, :, None, None] * columns[:, None, :, None] * light[:, None, None, :]
    return Dataset(np.rint(blobs).astype(np.uint8), labels, map(str, range(kinds)))

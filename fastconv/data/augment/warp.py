"""Bilinear sampling of a batch of images through a map a pixel, and where affine maps lead.

out[n, y, x] = the image n at (Y, X) of the map, between the four pixels around it:
  top = p00 + fx (p01 - p00);  bottom = p10 + fx (p11 - p10);  out = top + fy (bottom - top)
with (fy, fx) the fractions of (Y, X). Whole coordinates copy pixels exactly. Beyond the image lies `fill`. Every pixel
is computed alone by additions and products, so an image's bits do not depend on its batch.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .transform import check_fill

Array = NDArray[Any]

# So many pixels at a time that the dozen arrays of a block (4 or 8 bytes a pixel) stay in a second-level cache of 1 MiB.
_BLOCK = 16_384


def warp(images: Array, maps: Array, fill: float, offsets: Array | None = None) -> Array:
    """Images (N, H, W, C) sampled where maps lead, in their own dtype (uint8 is rounded to the nearest).

    maps: (N, 2, 3) float64, rows (Y, X), columns (y, x, 1), from a pixel of the result to a place in the image, both
    counted from the centre of the image. offsets: (N, 2, H, W) float32 in pixels, added to what maps give.
    """
    count, height, width, _ = images.shape
    result = np.empty(images.shape, images.dtype)
    if not result.size:
        return result
    fill = check_fill(fill, images)
    y = np.arange(height, dtype=np.float32) - np.float32((height - 1) / 2)
    x = np.arange(width, dtype=np.float32) - np.float32((width - 1) / 2)
    # The image gets a border of one pixel, so its first pixel is at 1.
    moved = maps + np.array([[0, 0, (height + 1) / 2], [0, 0, (width + 1) / 2]])
    factors = moved.astype(np.float32)
    step = max(1, _BLOCK // (height * width))
    for begin in range(0, count, step):
        block = slice(begin, begin + step)
        places = [
            (row[:, 0:1] * y + row[:, 2:3])[:, :, None] + (row[:, 1:2] * x)[:, None, :]
            for row in factors[block].transpose(1, 0, 2)
        ]
        if offsets is not None:
            places[0] += offsets[block, 0]
            places[1] += offsets[block, 1]
        _sample(images[block], places[0], places[1], fill, result[block])
    return result


def _sample(images: Array, y: Array, x: Array, fill: float, result: Array) -> None:
    """One block; y and x (N, H, W) count from the border's corner, and are overwritten."""
    count, height, width, channels = images.shape
    rows, columns = height + 3, width + 3
    padded = np.full((channels, count, rows, columns), fill, np.float32)
    padded[:, :, 1 : height + 1, 1 : width + 1] = images.transpose(3, 0, 1, 2)
    # What lies farther outside than the border is fill as well.
    np.clip(y, 0, height + 1, out=y)
    np.clip(x, 0, width + 1, out=x)
    corner = y.astype(np.intp)
    y -= corner.astype(np.float32)
    left = x.astype(np.intp)
    x -= left.astype(np.float32)
    corner *= columns
    corner += left
    corner += (np.arange(count) * (rows * columns))[:, None, None]
    for channel in range(channels):
        plane = padded[channel].reshape(-1)
        top = _between(plane, corner, x)
        top += (_between(plane[columns:], corner, x) - top) * y
        if result.dtype == np.uint8:
            top += np.float32(0.5)
        result[..., channel] = top


def _between(plane: Array, corner: Array, x: Array) -> Array:
    """plane[corner] + x (plane[corner + 1] - plane[corner])."""
    # Indices are in range; "clip" spares the copy that "raise" makes before it looks.
    left: Array = plane.take(corner, mode="clip")
    right = plane[1:].take(corner, mode="clip")
    right -= left
    right *= x
    left += right
    return left

"""A contact sheet: many images in one PNG, to see what a network is given."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import FileFormatError, ShapeError
from .image_file import pillow
from .originals import PathLike
from .random import whole_number

Array = NDArray[Any]

_GAP, _TEXT, _WIDEST = 2, 14, 64


def show(images: Any, path: PathLike, labels: Sequence[Any] | None = None, columns: int = 10) -> None:
    """Writes images side by side into a PNG file, each with its label below it.

    images: (N, H, W, C) uint8, as a data set has them, or (N, C, H, W) of floating point, as a loader gives them; C is
    1 or 3. Floating-point values from 0 to 1 are black to white; where some are outside (normalised images), the
    smallest is black and the largest white. Small images are enlarged by a whole factor. Needs Pillow. Raises
    ShapeError for images of another form, FileFormatError where the file cannot be written.
    """
    image_module = pillow()
    pixels = _as_bytes(np.asarray(images))
    count, height, width, _ = pixels.shape
    across = min(whole_number(columns, "columns", 16), count)
    if across < 1:
        raise ShapeError(f"columns: expected at least 1, got {columns}")
    if labels is not None and len(labels) != count:
        raise ShapeError(f"labels: expected {count}, one an image, got {len(labels)}")
    factor = max(1, _WIDEST // max(height, width))
    pixels = pixels.repeat(factor, axis=1).repeat(factor, axis=2)
    step_y = height * factor + _GAP + (_TEXT if labels is not None else 0)
    step_x = width * factor + _GAP
    sheet = image_module.new("RGB", (across * step_x + _GAP, -(-count // across) * step_y + _GAP), (64, 64, 64))
    for i in range(count):
        y, x = _GAP + i // across * step_y, _GAP + i % across * step_x
        sheet.paste(image_module.fromarray(pixels[i]), (x, y))
        if labels is not None:
            _write(sheet, (x, y + height * factor), step_x - _GAP, str(labels[i]))
    target = Path(path)
    if target.suffix.lower() != ".png":
        raise FileFormatError(f"sheet {str(path)!r}: expected a name that ends in .png")
    try:
        sheet.save(target, "PNG")
    except OSError as error:
        raise FileFormatError(f"sheet {str(path)!r}: cannot be written: {error}") from None


def _as_bytes(images: Array) -> Array:
    """(N, H, W, 3) uint8."""
    floating = images.dtype.kind == "f" or images.dtype.name == "bfloat16"
    if images.ndim == 4 and floating:
        images = images.transpose(0, 2, 3, 1).astype(np.float32)
    if images.ndim != 4 or images.shape[3] not in (1, 3) or not images.size or not (floating or images.dtype == "u1"):
        raise ShapeError(
            "images: expected (N, H, W, C) uint8 or (N, C, H, W) of floating point, C 1 or 3, at least one, "
            f"got {images.dtype} of shape {images.shape}"
        )
    if floating:
        low, high = min(float(images.min()), 0.0), float(images.max())
        if low < 0 or high > 1:
            low = float(images.min())
            images = (images - low) / (high - low if high > low else 1.0)
        images = np.rint(np.clip(np.nan_to_num(images), 0, 1) * 255).astype(np.uint8)
    return np.broadcast_to(images, (*images.shape[:3], 3))


def _write(sheet: Any, corner: tuple[int, int], width: int, text: str) -> None:
    """Text below an image, cut to its width."""
    from PIL import ImageDraw

    draw = ImageDraw.Draw(sheet)
    while len(text) > 1 and draw.textlength(text) > width:
        text = text[:-1]
    draw.text(corner, text, fill=(255, 255, 255))

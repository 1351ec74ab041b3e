"""Image files, through Pillow, which is imported when the first one is read."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import FileFormatError

if TYPE_CHECKING:
    from PIL.Image import Image


def pillow() -> Any:
    """The module PIL.Image, or a FileFormatError that says how to install it."""
    try:
        from PIL import Image
    except ImportError:
        raise FileFormatError("images: Pillow is not installed (pip install 'fastconv[images]')") from None
    return Image


def open_image(path: str | os.PathLike[str], mode: str) -> Image:
    """A decoded image of Pillow's mode ("L", "RGB", ...).

    Raises FileFormatError where the file is missing, damaged, no image, or larger than Pillow trusts.
    """
    image_module = pillow()
    if not Path(path).is_file():
        raise FileFormatError(f"image {str(path)!r}: no such file")
    try:
        with image_module.open(path) as opened:
            converted: Image = opened.convert(mode)
            return converted
    # UnidentifiedImageError is an OSError; SyntaxError is what damaged PNG chunks raise.
    except (OSError, ValueError, SyntaxError, image_module.DecompressionBombError) as error:
        raise FileFormatError(f"image {str(path)!r}: cannot be read: {error}") from None

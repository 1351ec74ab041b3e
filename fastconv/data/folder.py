"""Images in folders, one folder a class."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import FileFormatError, ShapeError
from .augment.transform import size_pair
from .dataset import Dataset
from .image_file import open_image, pillow
from .originals import PathLike

Array = NDArray[Any]

_SUFFIXES = {".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"}


class ImageFolder(Dataset):
    """The image files below root, one folder a class: root/cat/1.jpg, root/dog/a/2.png; classes in order of name.

    size: (height, width) of all images, or one number for both: an image is resized (Pillow's bilinear filter) until it
    covers that, and its centre is taken. Without size all must have one size, and an error names the first that has
    not. channels: 3 (colours) or 1 (grey). Files are decoded when they are asked for, by a loader's workers in
    parallel; `.images` decodes all and keeps them. Raises FileFormatError where root is not such a folder or a file is
    no image. Needs Pillow.
    """

    def __init__(self, root: PathLike, size: int | tuple[int, int] | None = None, channels: int = 3) -> None:
        if channels not in (1, 3):
            raise ShapeError(f"channels: expected 1 or 3, got {channels!r}")
        self.root, self.channels = Path(root), channels
        self.size = None if size is None else size_pair(size, "size")
        if not self.root.is_dir():
            raise FileFormatError(f"ImageFolder: {str(root)!r}: no such folder")
        classes = sorted(folder.name for folder in self.root.iterdir() if folder.is_dir())
        self.paths: list[Path] = []
        labels: list[int] = []
        for label, name in enumerate(classes):
            files = sorted(path for path in (self.root / name).rglob("*") if path.suffix.lower() in _SUFFIXES)
            self.paths += files
            labels += [label] * len(files)
        if not self.paths:
            raise FileFormatError(f"ImageFolder: {str(root)!r}: expected a folder a class with images, found none")
        self._images = None
        self._first: tuple[int, ...] | None = None
        self._describe(labels, classes)

    @property
    def images(self) -> Array:
        """(N, H, W, C) uint8: every file decoded, once."""
        if self._images is None:
            self._images = self._decode_all(range(len(self)))
        return self._images

    def gather(self, indices: Array) -> Array:
        """Those images, decoded now unless `.images` has decoded all."""
        return self._decode_all(indices) if self._images is None else self._images[indices]

    def _decode_all(self, indices: Any) -> Array:
        images: list[Array] = []
        for i in indices:
            image = self._decode(self.paths[i])
            if image.shape != self._shape():
                height, width, _ = self._shape()
                raise FileFormatError(
                    f"image {str(self.paths[i])!r}: expected {height} x {width} as in the first file "
                    f"(or give size=), got {image.shape[0]} x {image.shape[1]}"
                )
            images.append(image)
        return np.stack(images) if images else np.empty((0, *self._shape()), np.uint8)

    def _shape(self) -> tuple[int, ...]:
        """(H, W, C) of every image: what size says, else as the first file is (not the first of a batch, so that the
        error is the same wherever one begins)."""
        if self._first is None:
            self._first = (*self.size, self.channels) if self.size else self._decode(self.paths[0]).shape
        return self._first

    def _decode(self, path: Path) -> Array:
        image = open_image(path, "RGB" if self.channels == 3 else "L")
        if self.size is not None and (image.height, image.width) != self.size:
            height, width = self.size
            scale = max(height / image.height, width / image.width)
            covering = max(round(image.width * scale), width), max(round(image.height * scale), height)
            image = image.resize(covering, pillow().Resampling.BILINEAR)
            left, top = (image.width - width) // 2, (image.height - height) // 2
            image = image.crop((left, top, left + width, top + height))
        return np.asarray(image, np.uint8).reshape(image.height, image.width, self.channels)

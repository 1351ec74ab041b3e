"""Several transforms, one after the other."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from numpy.typing import NDArray

from ...errors import DTypeError
from ..random import Draws
from .affine import Affine, compose_maps
from .transform import Transform
from .warp import warp

Array = NDArray[Any]


class Compose(Transform):
    """Transforms one after the other; lists within lists are one list.

    Each draws numbers of its own by its place in the list. Neighbours that bend the image (`Affine`: rotation,
    translation, scale) and fill with the same value become one map, so that a pixel is interpolated once and nothing is
    cut off in between.

    >>> import numpy as np
    >>> from fastconv.data.augment import RandomHorizontalFlip, ToFloat
    >>> Compose([RandomHorizontalFlip(), ToFloat()])(np.full((2, 4, 4, 1), 255, np.uint8)).dtype
    dtype('float32')
    """

    def __init__(self, transforms: Iterable[Transform]) -> None:
        self.transforms: list[Transform] = []
        for transform in transforms:
            if not isinstance(transform, Transform):
                raise DTypeError(f"transforms: expected Transforms, got {type(transform).__name__}")
            self.transforms += transform.transforms if isinstance(transform, Compose) else [transform]

    def apply(self, images: Array, draws: Draws) -> Array:
        """All of them, in order."""
        position = 0
        while position < len(self.transforms):
            bends = self._bends(position)
            if bends:
                maps = [bend.maps(draws.at(position + i)) for i, bend in enumerate(bends)]
                images = warp(images, compose_maps(maps), bends[0].fill)
            else:
                images = self.transforms[position].apply(images, draws.at(position))
            position += len(bends) or 1
        return images

    def _bends(self, position: int) -> list[Affine]:
        """The affine transforms from there on that are one map."""
        bends: list[Affine] = []
        for transform in self.transforms[position:]:
            if not isinstance(transform, Affine) or (bends and transform.fill != bends[0].fill):
                break
            bends.append(transform)
        return bends

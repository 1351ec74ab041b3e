"""Random changes of images: the same for an image in any batch, drawn from (seed, epoch, its index, its transform).

A transform takes a batch (N, H, W, C), uint8 of 0 to 255 or float32, and gives one; `Compose` lists several. A
`fastconv.data.DataLoader` hands over seed, epoch and indices; on its own, a transform is called on a batch:

>>> import numpy as np
>>> bend = Compose([RandomRotation(15), RandomTranslation(2), RandomScale((0.9, 1.1)), ToFloat()])
>>> bend(np.zeros((4, 28, 28, 1), np.uint8), seed=1, epoch=3, indices=[5, 6, 7, 8]).shape
(4, 28, 28, 1)
"""

from __future__ import annotations

from .affine import Affine, ElasticDistortion, RandomRotation, RandomScale, RandomTranslation
from .compose import Compose
from .geometry import CenterCrop, RandomCrop, RandomHorizontalFlip, RandomVerticalFlip, Resize
from .pixels import Normalize, RandomBrightness, RandomContrast, RandomErasing, ToFloat
from .transform import Transform

__all__ = [
    "Affine",
    "CenterCrop",
    "Compose",
    "ElasticDistortion",
    "Normalize",
    "RandomBrightness",
    "RandomContrast",
    "RandomCrop",
    "RandomErasing",
    "RandomHorizontalFlip",
    "RandomRotation",
    "RandomScale",
    "RandomTranslation",
    "RandomVerticalFlip",
    "Resize",
    "ToFloat",
    "Transform",
]

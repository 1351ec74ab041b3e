"""Data to train on: data sets, batches, random changes of images.

    data = fc.data.MNIST()
    loader = fc.data.DataLoader(data, 100, shuffle=True, transform=fc.data.augment.RandomRotation(10), workers=1)
    for x, labels in loader: ...

A data set has `.images` (N, H, W, C) uint8, `.labels` (N,) int64, `.classes`. Files of published sets are looked for
below the argument root, else the folder that FASTCONV_DATA names, else ~/.cache/fastconv; nothing is downloaded.
"""

from __future__ import annotations

from . import augment
from .cifar import CIFAR10
from .dataset import Dataset, Subset, split
from .folder import ImageFolder
from .loader import DataLoader
from .mnist import MNIST, FashionMNIST, read_idx
from .sheet import show
from .synthetic import gaussian_blobs, synthetic_digits

__all__ = [
    "CIFAR10",
    "MNIST",
    "DataLoader",
    "Dataset",
    "FashionMNIST",
    "ImageFolder",
    "Subset",
    "augment",
    "gaussian_blobs",
    "read_idx",
    "show",
    "split",
    "synthetic_digits",
]

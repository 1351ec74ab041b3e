"""Images a second through transforms and loaders: pytest bench/bench_data.py --benchmark-only.

What a training step takes is the thing to compare with: images a second here divided by images a second there is how much
of a core the data costs. Times are for BATCH images, and for COUNT in a loader's epoch.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fastconv.data import DataLoader, Dataset
from fastconv.data import augment as a

BATCH, COUNT = 128, 12_800

DIGITS: list[a.Transform] = [a.RandomRotation(10), a.RandomTranslation(2), a.RandomScale((0.9, 1.1))]
PHOTOGRAPHS: list[a.Transform] = [a.RandomCrop(32, padding=4), a.RandomHorizontalFlip()]
NORMALIZE = a.Normalize((0.49, 0.48, 0.45), (0.25, 0.24, 0.26))


def images(count: int, kind: str) -> Any:
    shape = (28, 28, 1) if kind == "digits" else (32, 32, 3)
    return np.random.default_rng(0).integers(0, 256, (count, *shape)).astype(np.uint8)


@pytest.mark.parametrize(
    ("kind", "transform"),
    [
        ("digits", a.Compose(DIGITS)),
        ("digits", a.ElasticDistortion(2)),
        ("photographs", a.Compose(PHOTOGRAPHS)),
        ("photographs", a.Compose([*PHOTOGRAPHS, NORMALIZE])),
        ("photographs", a.Compose(DIGITS)),
        ("photographs", a.Compose([a.RandomBrightness(0.2), a.RandomContrast(0.2)])),
        ("photographs", a.RandomErasing()),
        ("photographs", a.Resize(40)),
    ],
    ids=["digits bend", "digits elastic", "crop flip", "crop flip normalize", "bend", "light", "erase", "resize"],
)
def test_transform(benchmark: Any, kind: str, transform: a.Transform) -> None:
    batch = images(BATCH, kind)
    benchmark.group = "transforms"
    benchmark(lambda: transform(batch))
    benchmark.extra_info["images_per_second"] = BATCH / benchmark.stats["min"]


@pytest.mark.parametrize("workers", [0, 1, 2])
@pytest.mark.parametrize(
    ("kind", "transforms"),
    [("digits", DIGITS), ("photographs", [*PHOTOGRAPHS, NORMALIZE])],
    ids=["digits", "photographs"],
)
def test_epoch(benchmark: Any, kind: str, transforms: list[a.Transform], workers: int) -> None:
    data = Dataset(images(COUNT, kind), np.zeros(COUNT, np.int64), ["none"])
    loader = DataLoader(data, BATCH, shuffle=True, transform=a.Compose(transforms), workers=workers)
    benchmark.group = "epochs"
    benchmark.pedantic(lambda: sum(len(labels) for _, labels in loader), rounds=5)
    benchmark.extra_info["images_per_second"] = COUNT / benchmark.stats["min"]

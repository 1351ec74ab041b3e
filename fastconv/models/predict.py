"""From image files to class probabilities: each model's own preprocessing, through Pillow."""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import ops
from ..data.image_file import open_image, pillow
from ..errors import FileFormatError, ModelError, ShapeError
from ..nn import Module, fuse
from ..nn.module import numpy_dtype
from ..weights import canonical_names, load
from ._registry import ModelInfo, info
from .pretrained import published, shipped

Array = NDArray[Any]

IMAGE_SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")

BATCH = 16  # images that are computed together


@dataclass(frozen=True)
class Prediction:
    """A class and its probability."""

    index: int
    label: str
    probability: float


def load_model(
    name: str, weights: str | os.PathLike[str] | None = None, dtype: str = "float32"
) -> tuple[Module, ModelInfo]:
    """A model in evaluation mode with weights from a file that `fastconv.load` reads, or without one with those that the
    package brings; published spellings are adapted, batch norms folded into convolutions.

    The second result is what the model is and how its images are prepared, which may depend on the file (see
    fastconv.models.pretrained).
    """
    entry = info(name)
    if entry.task != "classification":
        raise ModelError(f"model: expected one that classifies images, got {name!r}, which is for {entry.task}")
    stored = canonical_names(load(shipped(name) if weights is None else weights))
    model, state, entry = published(entry, stored)
    model.load_state_dict(state)
    return fuse(model).to(dtype), entry


def image_files(paths: list[str]) -> list[str]:
    """The files themselves, and those in the folders among them that look like images, sorted by name."""
    files: list[str] = []
    for path in paths:
        folder = Path(path)
        inside = sorted(str(f) for f in folder.glob("*") if f.suffix.lower() in IMAGE_SUFFIXES)
        if folder.is_dir() and not inside:
            raise FileFormatError(f"folder {path!r}: no image ({', '.join(IMAGE_SUFFIXES)}) in it")
        files += inside if folder.is_dir() else [path]
    return files


def read_labels(path: str | os.PathLike[str]) -> list[str]:
    """Class names, one a line; ImageNet's identifiers (n01440764) before them are left out."""
    try:
        lines = Path(path).read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise FileFormatError(f"labels {str(path)!r}: cannot be read: {error}") from None
    return [re.sub(r"^n\d{8}\s+", "", line) for line in lines]


def default_labels(entry: ModelInfo) -> list[str] | None:
    """ImageNet's class names from the folder that FASTCONV_DATA names, where the model has as many classes."""
    path = Path(os.environ.get("FASTCONV_DATA", "")) / "photos" / "imagenet_classes.txt"
    return read_labels(path) if entry.num_classes == 1000 and path.is_file() else None


def read_truth(path: str | os.PathLike[str]) -> dict[str, int]:
    """What images show: class indices by file name, from a CSV of which the first two columns are those."""
    try:
        with Path(path).open(newline="") as file:
            rows = [row for row in csv.reader(file) if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise FileFormatError(f"truth {str(path)!r}: cannot be read: {error}") from None
    truth = {}
    for i, row in enumerate(rows):
        if len(row) > 1 and row[1].strip().isdecimal():
            truth[row[0]] = int(row[1])
        elif i > 0:  # the first line may be a heading
            raise FileFormatError(
                f"truth {str(path)!r}: line {i + 1}: expected a file and a class index, got {row!r:.80}"
            )
    return truth


def evaluate(paths: list[str], predictions: list[list[Prediction]], truth: dict[str, int]) -> tuple[int, int, int]:
    """How many images are in `truth`, of how many the first class is right, and of how many one of the first five."""
    known = [(truth[Path(p).name], found) for p, found in zip(paths, predictions, strict=True) if Path(p).name in truth]
    first = sum(found[0].index == right for right, found in known)
    return len(known), first, sum(any(p.index == right for p in found[:5]) for right, found in known)


def read_image(path: str | os.PathLike[str], entry: ModelInfo, invert: bool = False) -> Array:
    """(C, H, W) float32 for a model: resize, centre, scale to 0..1, normalise (see ModelInfo).

    invert swaps black and white first: for digits drawn dark on light.
    """
    channels, height, width = entry.input_size
    image = open_image(path, "RGB" if channels == 3 else "L")
    size = _resized(image.size, entry.resize)
    if size != image.size:
        image = image.resize(size, pillow().Resampling.BILINEAR)
    pixels = np.asarray(image, np.float32).reshape(image.height, image.width, channels) / 255
    if invert:
        pixels = 1 - pixels
    pixels = _centre(pixels, height, width)
    normalised: Array = (pixels - np.asarray(entry.mean, np.float32)) / np.asarray(entry.std, np.float32)
    planes: Array = normalised.transpose(2, 0, 1)
    return planes


def _resized(size: tuple[int, int], short: int) -> tuple[int, int]:
    """Width and height with the short side as asked, the long one rounded down, as torchvision does."""
    width, height = size
    if width <= height:
        return short, max(short * height // width, 1)
    return max(short * width // height, 1), short


def _centre(pixels: Array, height: int, width: int) -> Array:
    """The centre of (H, W, C), cut or padded with zeros."""
    canvas = np.zeros((height, width, pixels.shape[2]), pixels.dtype)
    source, target = [], []
    for have, want in zip(pixels.shape[:2], (height, width), strict=True):
        keep = min(have, want)
        cut, before = round((have - keep) / 2), (want - keep) // 2  # torchvision's roundings
        source.append(slice(cut, cut + keep))
        target.append(slice(before, before + keep))
    canvas[tuple(target)] = pixels[tuple(source)]
    return canvas


def predict_files(
    model: Module,
    entry: ModelInfo,
    paths: list[str],
    top: int = 5,
    labels: list[str] | None = None,
    invert: bool = False,
) -> Iterator[list[Prediction]]:
    """What `predict` says of each file, in order; images are read and computed BATCH at a time."""
    for start in range(0, len(paths), BATCH):
        images = [read_image(path, entry, invert) for path in paths[start : start + BATCH]]
        yield from predict(model, entry, images, top, labels)


def predict(
    model: Module, entry: ModelInfo, images: list[Array], top: int = 5, labels: list[str] | None = None
) -> list[list[Prediction]]:
    """The `top` most probable classes of each image, best first."""
    if top < 1:
        raise ShapeError(f"top: expected at least 1, got {top}")
    dtype = next((p.dtype for p in model.parameters()), numpy_dtype("float32"))
    logits = model(np.stack(images).astype(dtype)).astype(np.float32)
    if labels is not None and len(labels) != logits.shape[1]:
        raise ShapeError(f"labels: expected {logits.shape[1]} lines, one a class, got {len(labels)}")
    names = labels or [str(i) for i in range(logits.shape[1])]
    results = []
    for row in ops.softmax(logits):
        best = np.argsort(-row, kind="stable")[:top]
        results.append([Prediction(int(i), names[i], float(row[i])) for i in best])
    return results

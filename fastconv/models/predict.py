"""From image files to class probabilities: each model's own preprocessing, through Pillow."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import ops
from ..errors import FileFormatError, ModelError, ShapeError
from ..nn import Module, fuse
from ..nn.module import numpy_dtype
from ..weights import canonical_names, load
from ._registry import ModelInfo, create, info

Array = NDArray[Any]


@dataclass(frozen=True)
class Prediction:
    """A class and its probability."""

    index: int
    label: str
    probability: float


def load_model(name: str, weights: str | os.PathLike[str], dtype: str = "float32") -> tuple[Module, ModelInfo]:
    """A model in evaluation mode with weights from a .safetensors or .npz file, published spellings adapted, batch norms
    folded into convolutions."""
    entry = info(name)
    model = create(name, init=False)
    model.load_state_dict(entry.adapt(canonical_names(load(weights))))
    return fuse(model).to(dtype), entry


def read_image(path: str | os.PathLike[str], entry: ModelInfo, invert: bool = False) -> Array:
    """(C, H, W) float32 for a model: resize, centre, scale to 0..1, normalise (see ModelInfo).

    invert swaps black and white first: for digits drawn dark on light.
    """
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError:
        raise ModelError("predict: Pillow is not installed (pip install 'fastconv[images]')") from None
    if not Path(path).is_file():
        raise FileFormatError(f"image {str(path)!r}: no such file")
    channels, height, width = entry.input_size
    try:
        with Image.open(path) as opened:
            image = opened.convert("RGB" if channels == 3 else "L")
    except (UnidentifiedImageError, OSError, ValueError, Image.DecompressionBombError) as error:
        raise FileFormatError(f"image {str(path)!r}: cannot be read: {error}") from None
    scale = entry.resize / min(image.size)
    size = (max(round(image.width * scale), 1), max(round(image.height * scale), 1))
    if size != image.size:
        image = image.resize(size, Image.Resampling.BILINEAR)
    pixels = np.asarray(image, np.float32).reshape(image.height, image.width, channels) / 255
    if invert:
        pixels = 1 - pixels
    pixels = _centre(pixels, height, width)
    normalised: Array = (pixels - np.asarray(entry.mean, np.float32)) / np.asarray(entry.std, np.float32)
    planes: Array = normalised.transpose(2, 0, 1)
    return planes


def _centre(pixels: Array, height: int, width: int) -> Array:
    """The centre of (H, W, C), cut or padded with zeros."""
    canvas = np.zeros((height, width, pixels.shape[2]), pixels.dtype)
    source, target = [], []
    for have, want in zip(pixels.shape[:2], (height, width), strict=True):
        keep = min(have, want)
        source.append(slice((have - keep) // 2, (have - keep) // 2 + keep))
        target.append(slice((want - keep) // 2, (want - keep) // 2 + keep))
    canvas[tuple(target)] = pixels[tuple(source)]
    return canvas


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

"""Caffe's .caffemodel: a NetParameter, of which names, layer types and blobs are read.

Blobs are named as fastconv's layers name them: "conv1.weight", "conv1.bias"; of a BatchNorm layer "running_mean" and
"running_var", divided by the factor that Caffe stores beside them. What has no such name is called by its position,
"layer.0". Values are as stored: the networks of Caffe's model zoo take BGR images of 0..255 minus a mean.

Source: src/caffe/proto/caffe.proto of github.com/BVLC/caffe (field numbers), batch_norm_layer.cpp (the factor).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import FileFormatError
from .protobuf import Message
from .shape import is_possible

Array = NDArray[Any]

# Field numbers of NetParameter, LayerParameter and V1LayerParameter.
_LAYER, _V1_LAYER = 100, 2
_NAME, _TYPE, _BLOBS = 1, 2, 7
_V1_NAME, _V1_TYPE, _V1_BLOBS = 4, 5, 6

# BlobProto: the old shape in four numbers, then values and shape.
_OLD_SHAPE, _DATA, _SHAPE, _DOUBLE_DATA = (1, 2, 3, 4), 5, 7, 8

# V1LayerParameter.LayerType of the layers that have blobs with names.
_V1_TYPES = {4: "Convolution", 14: "InnerProduct", 39: "Deconvolution"}

_BLOB_NAMES = {
    "Convolution": ("weight", "bias"),
    "Deconvolution": ("weight", "bias"),
    "InnerProduct": ("weight", "bias"),
    "Scale": ("weight", "bias"),
    "PReLU": ("weight",),
    "BatchNorm": ("running_mean", "running_var"),
}


def read(content: Array) -> dict[str, Array]:
    """The blobs of every layer of a file whose bytes are `content`, by name."""
    net = Message(content.data)
    layers = [(layer.text(_NAME), layer.text(_TYPE), list(layer.messages(_BLOBS))) for layer in net.messages(_LAYER)]
    for layer in net.messages(_V1_LAYER):
        number = (layer.integers(_V1_TYPE) or [0])[-1]
        layers.append((layer.text(_V1_NAME), _V1_TYPES.get(number, str(number)), list(layer.messages(_V1_BLOBS))))
    arrays: dict[str, Array] = {}
    for name, kind, blobs in layers:
        for key, value in _named(name, kind, [_blob(name, i, blob) for i, blob in enumerate(blobs)]).items():
            if key in arrays:
                raise FileFormatError(f"caffemodel: layer {name!r} is there twice")
            arrays[key] = value
    if not arrays:
        raise FileFormatError(f"caffemodel: no layer of {len(layers)} has blobs")
    return arrays


def _named(layer: str, kind: str, blobs: list[Array]) -> dict[str, Array]:
    if kind == "BatchNorm" and len(blobs) == 3:
        if blobs[2].size != 1:
            raise FileFormatError(f"caffemodel: layer {layer!r}: expected one factor, got {blobs[2].size}")
        factor = blobs.pop().reshape(())
        with np.errstate(over="ignore", invalid="ignore"):
            blobs = [blob / factor if factor != 0 else np.zeros_like(blob) for blob in blobs]
    names = _BLOB_NAMES.get(kind, ())
    keys = [names[i] if i < len(names) else str(i) for i in range(len(blobs))]
    return {f"{layer}.{key}": _without_old_axes(kind, key, blob) for key, blob in zip(keys, blobs, strict=True)}


def _without_old_axes(kind: str, key: str, blob: Array) -> Array:
    """Old files have four axes for everything: (1, 1, 1, K) for a bias, (1, 1, N, K) for a fully connected layer."""
    if key in ("bias", "running_mean", "running_var") or kind in ("Scale", "PReLU"):
        return blob.reshape(-1)
    if kind == "InnerProduct" and blob.ndim == 4 and blob.shape[:2] == (1, 1):
        return blob.reshape(blob.shape[2:])
    return blob


def _blob(layer: str, index: int, blob: Message) -> Array:
    values = blob.floats(_DATA, "<f4")
    if not values.size:
        values = blob.floats(_DOUBLE_DATA, "<f8")
    dims = [shape.integers(1) for shape in blob.messages(_SHAPE)]
    old = [(blob.integers(number) or [1])[-1] for number in _OLD_SHAPE]
    shape = dims[-1] if dims else old
    if math.prod(shape) != values.size or not is_possible(shape):
        raise FileFormatError(
            f"caffemodel: layer {layer!r}, blob {index}: shape {tuple(shape)!s:.100} needs {math.prod(shape):,} values, "
            f"{values.size:,} are there"
        )
    return values.reshape(shape)

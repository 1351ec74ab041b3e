"""Resize and Upsample of images: the cases that fastconv.ops.interpolate, and so PyTorch's exporter, knows."""

from __future__ import annotations

from typing import Any

from .. import ops
from .node import Array, Function, Node, Operator, integer_list

# Linear: how a position in the result becomes one in the input, and whether corners are aligned.
_LINEAR = {"half_pixel": False, "pytorch_half_pixel": False, "align_corners": True}

_REFUSED = {"antialias": 0, "exclude_outside": 0, "keep_aspect_ratio_policy": "stretch"}


def resize(node: Node) -> Function:
    """Resize: "nearest" by floor and asymmetric positions, or to whole multiples; "linear" by pixel centres or corners."""
    mode, position = node.text("mode", "nearest"), node.text("coordinate_transformation_mode", "half_pixel")
    rounding = node.text("nearest_mode", "round_prefer_floor")
    node.ignore("cubic_coeff_a", "extrapolation_value")
    for name, default in _REFUSED.items():
        if node.take(name) not in (None, default):
            raise node.refuse(f"attribute {name} = {node.attributes[name]!r} is not supported")
    if node.integers("axes") not in (None, [2, 3]):
        raise node.refuse("attribute axes: expected [2, 3]")
    if mode != "nearest" and not (mode == "linear" and position in _LINEAR):
        raise node.refuse(
            f"attributes mode = {mode!r}, coordinate_transformation_mode = {position!r} are not supported"
        )

    def run(x: Array, *more: Any) -> Array:
        # Opset 10 has scales alone; later ones a region of interest before them, and sizes after.
        scales, sizes = (more[0], None) if len(more) == 1 else (*more[1:3], None)[:2]
        by: dict[str, Any]
        if sizes is not None and len(sizes):
            by = {"size": _last_two(node, x, integer_list(sizes, node, "sizes"), x.shape[:2])}
        else:
            by = {"scale_factor": _factors(node, x, scales)}
        if mode == "linear":
            corners = _LINEAR[position]
            if corners and "scale_factor" in by and not _is_whole(x, by["scale_factor"]):
                raise node.refuse("aligned corners with scales that leave no whole number of pixels are not supported")
            y = ops.interpolate(x, **by, mode="bilinear", align_corners=corners)
            if position == "pytorch_half_pixel" and 1 in y.shape[2:]:  # which takes the first pixel there
                raise node.refuse(f"pytorch_half_pixel is not supported from {x.shape[2:]} to {y.shape[2:]}")
            return y
        y = ops.interpolate(x, **by)
        multiple = all(new % old == 0 for new, old in zip(y.shape[2:], x.shape[2:], strict=True))
        centred = position in ("half_pixel", "pytorch_half_pixel") and rounding.startswith("round")
        if not (position == "asymmetric" and rounding == "floor") and not (multiple and centred):
            names = f"nearest_mode = {rounding!r}, coordinate_transformation_mode = {position!r}"
            raise node.refuse(f"attributes {names} are not supported from {x.shape[2:]} to {y.shape[2:]}")
        return y

    return run


def upsample(node: Node) -> Function:
    """Upsample, which Resize replaced."""
    mode = node.text("mode", "nearest")
    if mode != "nearest":
        raise node.refuse(f"attribute mode = {mode!r} is not supported")
    fixed = node.take("scales")

    def run(x: Array, scales: Any = None) -> Array:
        return ops.interpolate(x, scale_factor=_factors(node, x, fixed if scales is None else scales))

    return run


def _factors(node: Node, x: Array, scales: Any) -> tuple[float, ...]:
    """The factors of height and width."""
    return _last_two(node, x, [float(scale) for scale in scales], (1, 1))


def _last_two(node: Node, x: Array, values: list[Any], kept: tuple[int, ...]) -> tuple[Any, ...]:
    """The values of height and width: alone, or behind two that keep images and channels as they are."""
    if x.ndim != 4 or len(values) not in (2, 4) or (len(values) == 4 and tuple(values[:2]) != kept):
        raise node.refuse(f"only height and width of images can change, not shape {x.shape} by {values}")
    return tuple(values[-2:])


def _is_whole(x: Array, factors: tuple[float, ...]) -> bool:
    return all((n * factor).is_integer() for n, factor in zip(x.shape[2:], factors, strict=True))


OPERATORS: dict[str, Operator] = {"Resize": resize, "Upsample": upsample}

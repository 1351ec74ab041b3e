"""Windows of convolutions and pools in any number of dimensions: strides, dilations, and every spelling of padding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import ShapeError
from .node import Node

Sides = list[tuple[int, int]]
"""(before, after) of each spatial axis."""


@dataclass(frozen=True)
class Window:
    """The attributes that Conv, ConvTranspose and the pools share; None where the file leaves the default."""

    kernel_shape: list[int] | None
    strides: list[int] | None
    dilations: list[int] | None
    pads: list[int] | None
    auto_pad: str

    @classmethod
    def of(cls, node: Node) -> Window:
        """Reads them from a node."""
        auto_pad = node.text("auto_pad", "NOTSET")
        if auto_pad not in ("NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"):
            raise node.refuse(f"attribute auto_pad = {auto_pad!r} is not supported")
        kernel_shape, strides = node.integers("kernel_shape"), node.integers("strides")
        return cls(kernel_shape, strides, node.integers("dilations"), node.integers("pads"), auto_pad)

    def steps(self, rank: int) -> list[int]:
        """The stride of each axis."""
        return _per_axis(self.strides, rank, "strides", 1)

    def spread(self, rank: int) -> list[int]:
        """The dilation of each axis."""
        return _per_axis(self.dilations, rank, "dilations", 1)

    def kernel(self, rank: int) -> list[int]:
        """The kernel of each axis."""
        return _per_axis(self.kernel_shape, rank, "kernel_shape", 1)

    def reach(self, kernel: Sequence[int]) -> list[int]:
        """What a dilated window spans: dilation (kernel - 1) + 1."""
        return [d * (k - 1) + 1 for k, d in zip(kernel, self.spread(len(kernel)), strict=True)]

    def sides(self, spatial: Sequence[int], kernel: Sequence[int]) -> Sides:
        """The padding of each axis. SAME gives ceil(extent / stride) outputs; of an odd total UPPER puts one more after,
        LOWER before."""
        rank = len(spatial)
        if self.auto_pad == "VALID":
            return [(0, 0)] * rank
        if self.auto_pad == "NOTSET":
            pads = _per_axis(self.pads, 2 * rank, "pads", 0)
            return list(zip(pads[:rank], pads[rank:], strict=True))
        sides = []
        for extent, reach, step in zip(spatial, self.reach(kernel), self.steps(rank), strict=True):
            total = max((-(-extent // step) - 1) * step + reach - extent, 0)
            sides.append(shared(total, self.auto_pad))
        return sides


def shared(total: int, auto_pad: str) -> tuple[int, int]:
    """A total of padding as (before, after)."""
    less, more = total // 2, total - total // 2
    return (more, less) if auto_pad == "SAME_LOWER" else (less, more)


def _per_axis(values: list[int] | None, rank: int, name: str, default: int) -> list[int]:
    if values is None:
        return [default] * rank
    if len(values) != rank:
        raise ShapeError(f"{name}: expected {rank} numbers, got {values}")
    return values

"""Convolution layers."""

from __future__ import annotations

from typing import Any

from .. import ops
from ..backends.conv_weight import ConvWeight
from ..errors import ShapeError
from ..ops._arrays import Array, as_array, pair
from ..ops.conv import resolve_padding
from . import init
from .module import Module, Parameter, expect_channels


class Conv2d(Module):
    """2-D convolution; see fastconv.ops.conv2d. PyTorch's arguments, state-dict names and default initialisation.

    Works channels-last: a contiguous input is converted once, the output stays channels-last.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.kernel_size = pair(kernel_size, "kernel_size", 1)
        self.stride, self.dilation = pair(stride, "stride", 1), pair(dilation, "dilation", 1)
        resolve_padding(padding, self.kernel_size, self.stride, self.dilation)
        if groups < 1 or in_channels % groups or out_channels % groups:
            raise ShapeError(f"groups: expected a divisor of {in_channels} and {out_channels} channels, got {groups}")
        self.in_channels, self.out_channels = in_channels, out_channels
        self.padding, self.groups = padding, groups
        shape = (out_channels, in_channels // groups, *self.kernel_size)
        fan_in = shape[1] * shape[2] * shape[3]
        self.weight = Parameter(init.uniform(shape, fan_in))
        self.bias: Parameter | None
        self.register_parameter("bias", Parameter(init.uniform((out_channels,), fan_in)) if bias else None)
        self._packed: ConvWeight | None = None

    def packed_weight(self) -> ConvWeight:
        """The weight as kernels want it, remade when the parameter has changed."""
        packed = self._packed
        if packed is None or packed.array is not self.weight.data:
            packed = self._packed = ops.prepare_weight(self.weight.data)
        return packed

    def forward(self, x: Any) -> Array:
        return self.forward_fused(x, None)

    def forward_fused(self, x: Any, activation: str | None) -> Array:
        """activation(self(x)) in one kernel."""
        x = as_array(x, "x")
        expect_channels(self, x, self.in_channels)
        return ops.conv2d(
            ops.channels_last(x) if x.ndim == 4 else x,
            self.packed_weight(),
            None if self.bias is None else self.bias.data,
            self.stride,
            self.padding,
            self.dilation,
            self.groups,
            activation=activation,
        )

    def extra_repr(self) -> str:
        text = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"
        text += f", padding={self.padding}" if self.padding != 0 else ""
        text += f", dilation={self.dilation}" if self.dilation != (1, 1) else ""
        text += f", groups={self.groups}" if self.groups != 1 else ""
        return text + (", bias=False" if self.bias is None else "")

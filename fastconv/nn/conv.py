"""Convolution layers."""

from __future__ import annotations

from typing import Any

from .. import ops
from ..autograd import Tensor
from ..backends.conv_weight import ConvWeight
from ..errors import ShapeError
from ..modes import modes
from ..ops._arrays import as_array, pair
from ..ops.conv import resolve_padding
from . import functional, init
from .module import Module, Parameter, beside, expect_channels


class _Packing(Module):
    """A layer that keeps its weight as kernels want it."""

    weight: Parameter

    def __init__(self) -> None:
        super().__init__()
        self._packed: tuple[Any, ConvWeight] | None = None  # what it was made from, and what was made

    def packed_weight(self) -> ConvWeight:
        """The weight as kernels want it, in autocast's dtype where that is on; remade when the parameter has changed."""
        array, version, dtype = self.weight.data, self.weight.version, modes().autocast
        held = self._packed
        if held is not None:
            (packed_array, *state), packed = held
            if packed_array is array and state == [version, dtype]:
                return packed
            self._packed = held = None  # the old forms go before new ones are made
        packed = ops.prepare_weight(array if dtype is None else ops.cast(array, dtype))
        self._packed = (array, version, dtype), packed
        return packed


class Conv2d(_Packing):
    """2-D convolution; see functional.conv2d. PyTorch's arguments, state-dict names and default initialisation.

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
        self.weight = Parameter(init.uniform(shape, fan_in), copy=False)
        self.bias: Parameter | None
        self.register_parameter("bias", Parameter(init.uniform((out_channels,), fan_in), copy=False) if bias else None)

    def forward(self, x: Any) -> Any:
        return self.forward_fused(x, None)

    def forward_fused(self, x: Any, activation: str | None, residual: Any = None) -> Any:
        """activation(self(x) + residual), in one kernel where functional.conv2d can."""
        x = x if isinstance(x, Tensor) else as_array(x, "x")
        expect_channels(self, x, self.in_channels)
        return functional.conv2d(
            x,
            beside(x, self.weight),
            beside(x, self.bias),
            self.stride,
            self.padding,
            self.dilation,
            self.groups,
            activation=activation,
            residual=residual,
            packed=self.packed_weight(),
        )

    def extra_repr(self) -> str:
        text = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"
        text += f", padding={self.padding}" if self.padding != 0 else ""
        text += f", dilation={self.dilation}" if self.dilation != (1, 1) else ""
        text += f", groups={self.groups}" if self.groups != 1 else ""
        return text + (", bias=False" if self.bias is None else "")


class ConvTranspose2d(_Packing):
    """2-D transposed convolution; see functional.conv_transpose2d. PyTorch's arguments, names and initialisation.

    >>> import numpy as np, fastconv as fc
    >>> fc.nn.ConvTranspose2d(8, 4, 2, stride=2)(np.zeros((1, 8, 5, 5), np.float32)).shape
    (1, 4, 10, 10)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        output_padding: Any = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Any = 1,
    ) -> None:
        super().__init__()
        self.kernel_size = pair(kernel_size, "kernel_size", 1)
        self.stride, self.dilation = pair(stride, "stride", 1), pair(dilation, "dilation", 1)
        self.padding, self.output_padding = pair(padding, "padding", 0), pair(output_padding, "output_padding", 0)
        if groups < 1 or in_channels % groups or out_channels % groups:
            raise ShapeError(f"groups: expected a divisor of {in_channels} and {out_channels} channels, got {groups}")
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        shape = (in_channels, out_channels // groups, *self.kernel_size)
        fan_in = shape[1] * shape[2] * shape[3]  # PyTorch's, which looks at the weight's second axis here, too
        self.weight = Parameter(init.uniform(shape, fan_in), copy=False)
        self.bias: Parameter | None
        self.register_parameter("bias", Parameter(init.uniform((out_channels,), fan_in), copy=False) if bias else None)

    def forward(self, x: Any) -> Any:
        return self.forward_fused(x, None)

    def forward_fused(self, x: Any, activation: str | None, residual: Any = None) -> Any:
        """activation(self(x) + residual); without a residual in one call where functional.conv_transpose2d can."""
        x = x if isinstance(x, Tensor) else as_array(x, "x")
        expect_channels(self, x, self.in_channels)
        y = functional.conv_transpose2d(
            x,
            beside(x, self.weight),
            beside(x, self.bias),
            self.stride,
            self.padding,
            self.output_padding,
            self.groups,
            self.dilation,
            activation=activation if residual is None else None,
            packed=self.packed_weight(),
        )
        return y if residual is None else functional.add(y, residual, activation)

    def extra_repr(self) -> str:
        text = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"
        text += f", padding={self.padding}" if self.padding != (0, 0) else ""
        text += f", output_padding={self.output_padding}" if self.output_padding != (0, 0) else ""
        text += f", dilation={self.dilation}" if self.dilation != (1, 1) else ""
        text += f", groups={self.groups}" if self.groups != 1 else ""
        return text + (", bias=False" if self.bias is None else "")

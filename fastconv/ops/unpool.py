"""Max unpooling: the maxima go back to where they were."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..errors import ShapeError
from ._arrays import Array, dtype_name, empty_nhwc, find_kernel, from_nhwc, image_batch, is_channels_last, pair, to_nhwc
from .pool import index_batch


@dataclass(frozen=True)
class UnpoolProblem:
    """Elements of (N, C, P, Q) with positions in (N, C, H, W)."""

    n: int
    c: int
    p: int
    q: int
    h: int
    w: int
    dtype: str

    @property
    def one_image(self) -> UnpoolProblem:
        """The same for a batch of one."""
        return replace(self, n=1)

    def __str__(self) -> str:
        return f"mb{self.n}ic{self.c}ih{self.p}iw{self.q} to {self.h}x{self.w}"


def max_unpool2d(
    x: Any, indices: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, output_size: Any = None
) -> Array:
    """Puts the maxima that `max_pool2d` found back to their positions; zeros elsewhere. torch's arguments and meaning.

    Args:
        x: (N, C, P, Q) or (C, P, Q).
        indices: of x's shape, int64: positions h W + w, as max_pool2d(..., return_indices=True) gives them. Where two
            elements name one position (windows overlapped), the last in row-major order stays, on every device.
        kernel_size, stride, padding: those of the pooling; they say how large the result is, where
        output_size is None: H = (P - 1) stride - 2 padding + kernel_size. Else (H, W), or a shape that ends with it; it
            must be less than a stride away from that.

    Returns:
        (N, C, H, W) in the memory format of x. An index outside the image raises ShapeError on the CPU and under the
        executor; on a GPU, where looking would mean waiting, it writes nothing.

    >>> import numpy as np, fastconv as fc
    >>> y, at = fc.ops.max_pool2d(np.float32([[[1, 2], [4, 3]]]), 2, return_indices=True)
    >>> fc.ops.max_unpool2d(y, at, 2)
    array([[[0., 0.],
            [4., 0.]]], dtype=float32)
    """
    images, single = image_batch(x, "x")
    h, w = _output_size(images.shape, kernel_size, stride, padding, output_size)
    at = _positions(indices, images, single, "x", h * w)
    n, c, p, q = images.shape
    y = empty_nhwc(images, (n, c, h, w))
    problem = UnpoolProblem(n, c, p, q, h, w, dtype_name(images.dtype))
    find_kernel("max_unpool2d", images, problem).run(problem, to_nhwc(images), at, y)
    result = from_nhwc(y, is_channels_last(images))
    return result[0] if single else result


def max_unpool2d_grad(grad: Any, indices: Any) -> Array:
    """The gradient of `max_unpool2d` with respect to x: that of the result, (N, C, H, W) or (C, H, W), at the indices.

    As in PyTorch each of several elements that name one position gets the gradient there, though one of them alone
    shows. Of the shape of indices, in the memory format of grad.
    """
    images, single = image_batch(grad, "grad")
    n, c, h, w = images.shape
    at = _positions(indices, images, single, None, h * w)
    if at.shape[0] != n or at.shape[3] != c:
        raise ShapeError(f"indices: expected those of {n} images of {c} channels, got shape {indices.shape}")
    p, q = at.shape[1:3]
    gx = empty_nhwc(images, (n, c, p, q))
    problem = UnpoolProblem(n, c, p, q, h, w, dtype_name(images.dtype))
    find_kernel("max_unpool2d_grad", images, problem).run(problem, to_nhwc(images), at, gx)
    result = from_nhwc(gx, is_channels_last(images))
    return result[0] if single else result


def _positions(indices: Any, images: Array, single: bool, like: str | None, pixels: int) -> Array:
    """Dense NHWC indices, of the shape of `images` where `like` names them, inside an image of so many pixels."""
    at = index_batch(indices, images, single, like or "grad")
    if like and at.shape != images.shape:
        raise ShapeError(f"indices: expected the shape of {like} {images.shape}, got {at.shape}")
    if isinstance(at, np.ndarray) and at.size and not (at.min() >= 0 and at.max() < pixels):
        wrong = at.max() if at.min() >= 0 else at.min()
        raise ShapeError(f"indices: expected 0 to {pixels - 1}, positions in the result, got {wrong}")
    return to_nhwc(at)


def _output_size(
    shape: tuple[int, ...], kernel_size: Any, stride: Any, padding: Any, output_size: Any
) -> tuple[int, int]:
    kernel = pair(kernel_size, "kernel_size", 1)
    steps = kernel if stride is None else pair(stride, "stride", 1)
    sides = pair(padding, "padding", 0)
    height, width = ((shape[2 + i] - 1) * steps[i] - 2 * sides[i] + kernel[i] for i in (0, 1))
    if output_size is None:
        if min(height, width) < 1:
            raise ShapeError(f"padding: expected to leave a result of at least 1 x 1, which is {height} x {width}")
        return height, width
    ends = output_size[-2:] if isinstance(output_size, (tuple, list)) and len(output_size) > 2 else output_size
    wanted = pair(ends, "output_size", 1)
    if not all(abs(wanted[i] - (height, width)[i]) < steps[i] for i in (0, 1)):
        raise ShapeError(
            f"output_size: expected less than the stride {steps} away from {(height, width)}, got {output_size!r}"
        )
    return wanted

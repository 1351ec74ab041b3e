"""Tensor maps as plain numbers: the walk that the hardware makes of them is compared with index arithmetic.

The walk is written from the documentation of cuTensorMapEncodeIm2col and of cp.async.bulk.tensor: pixels go W, H, N
through the box of start pixels, each is displaced by the instruction's offsets, and what lies outside is zero.
"""

from __future__ import annotations

import numpy as np
import pytest

from fastconv import _core

from .random_problems import complete, random_problems

FLOAT32, FLOAT16 = 0, 1
PROBLEMS = 400


def walk(tensor_map, start, count):
    """(w, h, n) of the pixels that one column holds, from a start pixel on."""
    _, width, height, _ = tensor_map.extents
    _, step_w, step_h, _ = tensor_map.element_strides
    left, top = tensor_map.lower
    right, bottom = width + tensor_map.upper[0], height + tensor_map.upper[1]
    w, h, n = start
    pixels = []
    for _ in range(count):
        assert left <= w < right and top <= h < bottom
        pixels.append((w, h, n))
        w += step_w
        if w >= right:
            w, h = left, h + step_h
        if h >= bottom:
            h, n = top, n + 1
    return np.array(pixels).T


def load(tensor, pixels, offset_w, offset_h):
    """tensor[n, h + offset_h, w + offset_w] with zeros outside."""
    images, height, width = tensor.shape
    w, h, n = pixels
    w, h = w + offset_w, h + offset_h
    inside = (w >= 0) & (w < width) & (h >= 0) & (h < height) & (n < images)
    return np.where(inside, tensor[np.minimum(n, images - 1), h % height, w % width], 0)


def test_the_input_of_a_convolution():
    for problem, f in random_problems(PROBLEMS, seed=1, largest_pad=3):
        tensor_map = _core.tensor_map_input(problem, FLOAT16, 8, 64, 0)
        assert tensor_map.extents == [f["c"], f["w"], f["h"], f["n"]], f
        assert tensor_map.strides == [2, 16, 16 * f["w"], 16 * f["w"] * f["h"]], f
        assert tensor_map.refusal is None, f
        x = np.arange(1, f["n"] * f["h"] * f["w"] + 1).reshape(f["n"], f["h"], f["w"])
        padded = np.pad(x, ((0, 0), (30, 30), (30, 30)))
        outputs = f["n"] * f["p"] * f["q"]
        first = (outputs * 7 // 11, 0)[f["r"] % 2]  # a tile begins anywhere
        n, p, q = np.unravel_index(np.arange(first, outputs), (f["n"], f["p"], f["q"]))
        start = (q[0] * f["stride_w"] - f["pad_left"], p[0] * f["stride_h"] - f["pad_top"], n[0])
        pixels = walk(tensor_map, start, outputs - first + 5)  # and may end beyond the last image
        for r in range(f["r"]):
            for s in range(f["s"]):
                loaded = load(x, pixels, s * f["dilation_w"], r * f["dilation_h"])
                h = p * f["stride_h"] - f["pad_top"] + r * f["dilation_h"]
                w = q * f["stride_w"] - f["pad_left"] + s * f["dilation_w"]
                assert (loaded[:-5] == padded[n, h + 30, w + 30]).all(), (f, r, s)
                assert (loaded[-5:] == 0).all(), (f, r, s)


def test_the_gradient_of_the_input():
    """Every phase's rows are written, by the sum over its taps, as scattering dy through the filter gives."""
    rng = np.random.default_rng(2)
    for problem, f in random_problems(PROBLEMS, seed=3, largest_pad=4):
        dy = rng.integers(-4, 5, (f["n"], f["p"], f["q"]))
        weight = rng.integers(-4, 5, (f["r"], f["s"]))
        expected = np.zeros((f["n"], f["h"] + 80, f["w"] + 80), int)
        for r in range(f["r"]):
            for s in range(f["s"]):
                top, left = r * f["dilation_h"] - f["pad_top"] + 40, s * f["dilation_w"] - f["pad_left"] + 40
                rows = slice(top, top + f["p"] * f["stride_h"], f["stride_h"])
                columns = slice(left, left + f["q"] * f["stride_w"], f["stride_w"])
                expected[:, rows, columns] += dy * weight[r, s]
        expected = expected[:, 40 : 40 + f["h"], 40 : 40 + f["w"]]
        dx = np.full(expected.shape, 10**6)
        for a in range(f["stride_h"]):
            rows = axis_of(f, "h", "p", "r", "pad_top", a)
            for b in range(f["stride_w"]):
                columns = axis_of(f, "w", "q", "s", "pad_left", b)
                phase = dx[:, a :: f["stride_h"], b :: f["stride_w"]]
                assert phase.shape[1:] == (rows.extent, columns.extent), f
                phase[...] = 0
                if phase.size and rows.taps and columns.taps:
                    phase[...] = gradient_phase(problem, rows, columns, dy, weight).reshape(phase.shape)
        assert (dx == expected).all(), f


def axis_of(f, extent, out, filter_extent, pad, phase):
    stride, dilation = f[f"stride_{extent}"], f[f"dilation_{extent}"]
    return _core.gradient_axis(f[extent], f[out], f[filter_extent], stride, f[pad], dilation, phase)


def gradient_phase(problem, rows, columns, dy, weight):
    tensor_map = _core.tensor_map_gradient(problem, FLOAT16, rows, columns, 8, 64, 0)
    # The corners span as many start pixels as the phase has elements.
    for i, axis in enumerate((columns, rows)):
        assert tensor_map.extents[i + 1] + tensor_map.upper[i] - tensor_map.lower[i] == axis.extent
    assert tensor_map.element_strides == [1, 1, 1, 1]
    pixels = walk(tensor_map, (*tensor_map.lower, 0), len(dy) * rows.extent * columns.extent)
    total = np.zeros(pixels.shape[1], int)
    for j in range(rows.taps):
        for i in range(columns.taps):
            tap = weight[rows.first + rows.step * j, columns.first + columns.step * i]
            offset_h, offset_w = (rows.taps - 1 - j) * rows.dilation, (columns.taps - 1 - i) * columns.dilation
            assert 0 <= offset_h <= 255 and 0 <= offset_w <= 255
            total += tap * load(dy, pixels, offset_w, offset_h)
    return total


def test_the_gradient_of_the_weight_uses_the_map_of_the_input():
    """dw[r, s] = sum over output pixels of dy * x: the same walk, cut into columns of `pixels`."""
    rng = np.random.default_rng(4)
    for problem, f in random_problems(PROBLEMS // 4, seed=5, largest_pad=3):
        x = rng.integers(-4, 5, (f["n"], f["h"], f["w"]))
        dy = rng.integers(-4, 5, f["n"] * f["p"] * f["q"])
        tensor_map = _core.tensor_map_input(problem, FLOAT16, 64, 16, 128)
        padded = np.pad(x, ((0, 0), (30, 30), (30, 30)))
        for r in range(f["r"]):
            for s in range(f["s"]):
                dw = 0
                for begin in range(0, len(dy), tensor_map.pixels):
                    n, p, q = np.unravel_index(begin, (f["n"], f["p"], f["q"]))
                    start = (q * f["stride_w"] - f["pad_left"], p * f["stride_h"] - f["pad_top"], n)
                    loaded = load(
                        x, walk(tensor_map, start, tensor_map.pixels), s * f["dilation_w"], r * f["dilation_h"]
                    )
                    part = dy[begin : begin + tensor_map.pixels]
                    dw += (part * loaded[: len(part)]).sum()
                top, left = r * f["dilation_h"] - f["pad_top"] + 30, s * f["dilation_w"] - f["pad_left"] + 30
                window = padded[
                    :,
                    top : top + f["p"] * f["stride_h"] : f["stride_h"],
                    left : left + f["q"] * f["stride_w"] : f["stride_w"],
                ]
                assert dw == (window.reshape(-1) * dy).sum(), (f, r, s)


def test_the_weight_keeps_taps_apart():
    problem = _core.ConvProblem(**complete({"c": 48, "k": 40, "r": 2, "s": 5, "groups": 2}))
    tensor_map = _core.tensor_map_weight(problem, FLOAT16, 64, 128, 128)
    assert (tensor_map.extents, tensor_map.strides) == ([24, 10, 40], [2, 48, 480])
    assert (tensor_map.box, tensor_map.lower, tensor_map.upper) == ([64, 1, 128], [], [])
    assert tensor_map.refusal is None and tensor_map.footprint == 24 * 10 * 40 * 2


def test_rows_may_be_a_slice_of_channels():
    tensor_map = _core.tensor_map_rows(FLOAT32, 100, 32, 96, 128, 32, 128)
    assert (tensor_map.extents, tensor_map.strides, tensor_map.box) == ([32, 100], [4, 384], [32, 128])
    assert tensor_map.refusal is None and tensor_map.footprint == 99 * 384 + 128


def input_map(channels=64, pixels=128, swizzle=128, **changes):
    problem = _core.ConvProblem(**complete({"c": 64} | changes))
    return _core.tensor_map_input(problem, FLOAT16, channels, pixels, swizzle)


@pytest.mark.parametrize(
    ("tensor_map", "reason"),
    [
        (input_map(), None),
        (input_map(c=20), "bytes between rows: 40: a tensor map takes multiples of 16"),
        (input_map(stride_w=8, w=30), None),
        (input_map(stride_w=9, w=30), "stride 9: a tensor map takes 1..8"),
        (input_map(r=3, pad_top=128, h=9), None),
        (input_map(r=3, pad_top=129, h=9), "top corner -129: a tensor map takes -128..127"),
        (input_map(s=2, dilation_w=128, w=200), None),
        (input_map(s=2, dilation_w=129, w=200), "right corner -129: a tensor map takes -128..127"),
        (input_map(r=256, pad_top=128, pad_bottom=128, h=2), None),
        (input_map(r=257, pad_top=128, pad_bottom=128, h=2), "row offset 256: a tensor map takes up to 255"),
        (input_map(channels=128), "bytes of a box's row: 256: a tensor map takes at most its swizzle's span"),
        (input_map(channels=20, swizzle=0), "bytes of a box's row: 40: a tensor map takes multiples of 16"),
        (input_map(channels=264, swizzle=0), "channels a pixel 264: a tensor map takes 1..256"),
        (input_map(pixels=1025), "pixels a column 1025: a tensor map takes 1..1024"),
        (input_map(swizzle=48), "swizzle 48: a tensor map takes 0, 32, 64 or 128"),
        (_core.tensor_map_rows(FLOAT16, 1, 64, 64, 257, 64, 128), "box 257: a tensor map takes 1..256"),
        (_core.tensor_map_rows(FLOAT16, 0, 64, 64, 64, 64, 128), "extent 0: a tensor map takes 1..2^31"),
    ],
)
def test_limits_are_refused_with_the_reason(tensor_map, reason):
    assert tensor_map.refusal == reason

"""Random convolutions for the tests of tensor maps."""

from __future__ import annotations

import numpy as np

from fastconv import _core

SINGLE = ["n", "r", "s", "stride_h", "stride_w", "dilation_h", "dilation_w", "groups"]


def complete(changes):
    """All fields of a ConvProblem: what is not given is 1, 8 or no padding."""
    fields = dict.fromkeys(SINGLE, 1) | dict.fromkeys("chwk", 8) | {"pad_top": 0, "pad_left": 0} | changes
    bottom, right = fields.pop("pad_bottom", fields["pad_top"]), fields.pop("pad_right", fields["pad_left"])
    for out, extent, filter_extent, pads in (
        ("p", "h", "r", fields["pad_top"] + bottom),
        ("q", "w", "s", fields["pad_left"] + right),
    ):
        reach = (fields[filter_extent] - 1) * fields[f"dilation_{extent}"] + 1
        fields[out] = (fields[extent] + pads - reach) // fields[f"stride_{extent}"] + 1
    return fields


def random_problems(count, seed, largest_pad, most_channels=8):
    """Filters that are not square, extents, strides, dilations and paddings that differ between rows and columns."""
    rng = np.random.default_rng(seed)
    most = {"h": 14, "w": 14, "r": 5, "s": 5, "n": 3}
    most |= dict.fromkeys(("stride_h", "stride_w", "dilation_h", "dilation_w"), 4)
    while count:
        changes = {name: int(rng.integers(1, bound + 1)) for name, bound in most.items()}
        for name in ("pad_top", "pad_bottom", "pad_left", "pad_right"):
            changes[name] = int(rng.integers(0, largest_pad + 1))
        for name in "ck" if most_channels > 8 else "":
            changes[name] = 8 * int(rng.integers(1, most_channels // 8 + 1))
        fields = complete(changes)
        if fields["p"] > 0 and fields["q"] > 0:
            count -= 1
            yield _core.ConvProblem(**fields), fields

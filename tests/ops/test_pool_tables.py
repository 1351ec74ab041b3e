"""Which windows the gradients of pooling look at, for windows of every kind."""

from __future__ import annotations

import numpy as np

from fastconv.ops.pool import _adaptive, _sliding, holders


def test_holders_name_every_window():
    generator = np.random.default_rng(0)
    for _ in range(300):
        extent, kernel, stride, dilation = (int(v) for v in generator.integers(1, (20, 6, 5, 4)))
        padding, ceil_mode = int(generator.integers(0, kernel // 2 + 1)), bool(generator.integers(2))
        tables = [_adaptive(extent, kernel)]
        if extent + 2 * padding > dilation * (kernel - 1):
            tables.append(_sliding(extent, kernel, stride, padding, dilation, ceil_mode, True))
        for index, (start, end, _) in enumerate(tables):
            first, last = holders(start, end, extent)
            for i in range(extent):
                step = dilation if index else 1
                held = [p for p in range(len(start)) if start[p] <= i < end[p] and (i - start[p]) % step == 0]
                assert set(held) <= set(range(first[i], last[i]))
                if step == 1:
                    assert len(held) == last[i] - first[i]

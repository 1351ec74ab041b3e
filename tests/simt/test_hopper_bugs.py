"""Every seeded bug of sm_90's instructions is reported, in every order of threads and copies, with its kind and line."""

from __future__ import annotations

import re

import numpy as np
import pytest

from fastconv.backends import simt
from fastconv.errors import KernelError

from .hopper import PRELUDE, integers, launch, rows_map
from .hopper_bugs import CLUSTER_BUGS, PIPELINE_BUGS, STORE_BUGS
from .running import VARIANTS

pytestmark = pytest.mark.skipif(simt.available() is not None, reason=str(simt.available()))


def reported(bug, folder, args, **launched):
    source = (PRELUDE + bug.body).splitlines()
    for order, copies in VARIANTS:
        where = f"{order}, {copies}"
        with pytest.raises(KernelError) as caught:
            launch(folder, bug.body, args(), **launched, order=order, copies=copies, seed=5, numerics="float32")
        text = str(caught.value)
        assert caught.value.kind in bug.kinds, f"{where}: {text}"
        assert all(part in text for part in bug.also), f"{where}: {text}"
        if bug.line:
            named = {int(line) for line in re.findall(r"kernel\.cu:(\d+)", text)}
            assert any(bug.line in source[line - 1] for line in named), f"{where}: {text}"


@pytest.mark.parametrize("bug", PIPELINE_BUGS, ids=lambda bug: bug.name)
def test_pipelines(bug, tmp_path):
    a, b = integers((64, 320), 1), integers((24, 320), 2)

    def args():
        return rows_map(a, 64, 64), rows_map(b, 24, 64), np.zeros((64, 24), np.float32), np.int32(5)

    reported(bug, tmp_path, args, block=bug.block, shared=2 * (64 + 24) * 128 + 1024)


@pytest.mark.parametrize("bug", CLUSTER_BUGS, ids=lambda bug: bug.name)
def test_clusters(bug, tmp_path):
    a, b = integers((128, 320), 1), integers((32, 320), 2)

    def args():
        return rows_map(a, 64, 64), rows_map(b, 16, 64), np.zeros((128, 32), np.float32), np.int32(5)

    reported(bug, tmp_path, args, block=160, grid=2, cluster=2, shared=2 * (64 + 32) * 128)


@pytest.mark.parametrize("bug", STORE_BUGS, ids=lambda bug: bug.name)
def test_stores(bug, tmp_path):
    x = integers((64, 64), 3)
    reported(bug, tmp_path, lambda: (rows_map(np.zeros((50, 64), np.float16), 64, 64), x), shared=64 * 128)

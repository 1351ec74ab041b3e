"""The walk of im2col maps, by the executor's bulk copies: every tap of random problems holds what the definition says."""

from __future__ import annotations

import pytest

from fastconv.backends import simt

from . import im2col_walk

pytestmark = pytest.mark.skipif(simt.available() is not None, reason=str(simt.available()))

PROBLEMS = 320


@pytest.fixture(scope="module")
def walk(tmp_path_factory):
    return im2col_walk.kernel(tmp_path_factory.mktemp("walk"))


@pytest.mark.parametrize("of", list(im2col_walk.CHECKS))
def test_tiles_of_random_problems(walk, of):
    with simt.options(order="random", copies="random", seed=1):
        for seed in range(PROBLEMS):
            im2col_walk.CHECKS[of](walk, seed)

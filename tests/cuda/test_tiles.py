"""The choice of tiles, over the layers of the zoo: every output once, every product once."""

from __future__ import annotations

import csv
import dataclasses
import itertools

import pytest

from fastconv.backends.gpu import conv, hopper, tiles
from fastconv.bench.suites import list_suites, resolve
from fastconv.problem import ConvProblem

PRECISIONS = ("float16", "tf32", "float32", "float64")


NETWORKS = ("densenet121", "efficientnet_b0", "googlenet", "inception_v3", "mobilenet_v2", "resnet18", "resnet50")


def suite_problems():
    layers = [layer.problem for name in (*list_suites(), *NETWORKS) for layer in resolve(name)]
    return [problem for problem in layers if isinstance(problem, ConvProblem)]


def covered(extent, tile):
    """Tiles of an extent as ranges: they must partition it."""
    ranges = [(start, min(start + tile, extent)) for start in range(0, extent, tile)]
    assert ranges[0][0] == 0 and ranges[-1][1] == extent
    assert all(a[1] == b[0] for a, b in itertools.pairwise(ranges))
    return len(ranges)


def check(problem, precision):
    """Grid, steps and splits as the kernels compute them from the tile."""
    d = problem
    group_c, group_k, pixels = d.c // d.groups, d.k // d.groups, d.n * d.p * d.q
    choice = conv.fprop_tile(d, precision, 132)
    assert choice.reason and choice.clocks > 0
    assert covered(pixels, choice.tile.m) * covered(group_k, choice.tile.n) < 1 << 31
    dgrad = conv.dgrad_tile(d, precision, 132).tile
    classes = [(a, b) for a in range(d.stride[0]) for b in range(d.stride[1]) if a < d.h and b < d.w]
    of_classes = [d.n * -(-(d.h - a) // d.stride[0]) * -(-(d.w - b) // d.stride[1]) for a, b in classes]
    assert sum(of_classes) == d.n * d.h * d.w
    assert all(covered(count, dgrad.m) for count in of_classes) and covered(group_c, dgrad.n)
    tile, splits, run = conv.wgrad_tile(d, precision)
    assert run % tile.k == 0 and (splits - 1) * run < pixels <= splits * run
    for used, size in ((choice.tile, 16), (dgrad, 16), (tile, 16)):
        assert (
            used.threads in (128, 256) and used.shared_bytes(tiles.ITEM_SIZE[precision], max(4, size // 4)) <= 99 << 10
        )


@pytest.mark.parametrize("precision", PRECISIONS)
def test_tiles_partition_every_layer_of_the_suites(precision):
    for problem in suite_problems():
        check(dataclasses.replace(problem, name=""), precision)


@pytest.mark.data
@pytest.mark.parametrize("precision", PRECISIONS)
def test_tiles_partition_every_layer_of_the_zoo(data, precision):
    with (data / "zoo" / "zoo_conv_layers.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) > 3000
    for row in rows:
        check(zoo_problem(row), precision)


def zoo_problem(row):
    number = {key: int(value) for key, value in row.items() if key not in ("model", "layer")}
    problem = ConvProblem(
        *(number[key] for key in "NCHWKRS"),
        stride=(number["sh"], number["sw"]),
        padding=((number["ph"],) * 2, (number["pw"],) * 2),
        dilation=(number["dh"], number["dw"]),
        groups=number["groups"],
    )
    assert (problem.p, problem.q, problem.macs) == (number["P"], number["Q"], number["macs"])
    return problem


def check_hopper(problem):
    """Whether hopper_fprop takes a layer; if so, that the tiles of its clusters are every output once."""
    d = dataclasses.replace(problem, dtype="float16")
    if hopper.refusal(d) is not None:
        return False
    choice = hopper.choose(d, 132)
    tile = choice.tile
    assert choice.reason and choice.clocks > 0 and tile.shared_bytes + 1024 <= 227 << 10
    groups, across = covered(d.n * d.p * d.q, tile.cluster * tile.m), covered(d.k, tile.n)
    source, grid, map_x, map_w = hopper._launch(d, tile, 132)
    clusters = grid // tile.cluster
    assert grid % tile.cluster == 0 and grid <= 132 and map_x.refusal is None and map_w.refusal is None
    assert (map_x.pixels or map_x.box[1]) == tile.m and map_w.box == [64, 1, tile.n // tile.cluster]
    assert sum(len(range(first, groups * across, clusters)) for first in range(clusters)) == groups * across
    assert ("true" in source.expression) == (map_x.pixels > 0)
    return True


def test_hopper_takes_most_of_the_dense_layers_of_the_suites():
    layers = [dataclasses.replace(problem, name="") for problem in suite_problems()]
    taken = [check_hopper(problem) for problem in layers]
    fit = [problem.groups == 1 and problem.c % 8 == 0 and problem.k % 8 == 0 for problem in layers]
    assert taken == fit and sum(fit) > len(fit) / 2


@pytest.mark.data
def test_hopper_takes_the_dense_layers_of_the_zoo(data):
    with (data / "zoo" / "zoo_conv_layers.csv").open() as file:
        layers = [zoo_problem(row) for row in csv.DictReader(file)]
    for problem in layers:
        assert check_hopper(problem) == (problem.groups == 1 and problem.c % 8 == 0 and problem.k % 8 == 0), problem


def test_the_choice_of_hopper_follows_the_problem():
    """Large products take a cluster's largest tiles, few filters narrow ones; what DRAM bounds says so."""

    def choice(text):
        return hopper.choose(ConvProblem.parse(text, "float16"), 132)

    large = choice("mb64ic256ih56oc256kh3ph1")
    assert large.tile.m * large.tile.n == 128 * 256 and large.tile.cluster == 2 and "100%" in large.reason
    assert choice("mb64ic64ih56oc64kh3ph1").tile.n == 64
    assert choice("mb32ic192ih28oc192kh3ph1").tile.n == 192
    assert "DRAM" in choice("mb256ic64ih56oc256kh1").reason
    assert choice("mb1ic256ih14oc256kh3ph1").tile == hopper.Tile(128, 64, 8, 1)


def test_the_choice_follows_the_problem():
    """Large products take large tiles; few pixels or filters take small ones; all say why."""
    large = conv.fprop_tile(ConvProblem.parse("mb32ic256ih56oc256kh3ph1", "float16"), "float16", 132)
    assert (large.tile.m, large.tile.n) == (128, 128) and "waves" in large.reason
    few_filters = conv.fprop_tile(ConvProblem.parse("mb32ic64ih56oc32kh3ph1", "float16"), "float16", 132)
    assert few_filters.tile.n == 32 and "100%" in few_filters.reason
    one_image = conv.fprop_tile(ConvProblem.parse("mb1ic256ih14oc256kh3ph1", "float16"), "float16", 132)
    assert one_image.tile.m * one_image.tile.n < 128 * 128
    short = conv.fprop_tile(ConvProblem.parse("mb8ic32ih28oc64kh3ph1", "float16"), "float16", 132)
    assert short.tile.k == 32


def test_splits_do_not_depend_on_the_device_or_the_tiling_of_other_axes():
    problem = ConvProblem.parse("mb8ic64ih56oc64kh3ph1", "float16")
    assert conv.wgrad_tile(problem, "float16") == conv.wgrad_tile(problem, "float16", True)
    assert tiles.split_pixels(100, 32, 1) == (1, 256)
    assert tiles.split_pixels(25088, 32, 9) == (28, 896)
    assert tiles.split_pixels(0, 32, 1) == (1, 256)

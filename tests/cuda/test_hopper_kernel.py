"""hopper_fprop in the executor: exact on integers for every tile, in every order of threads and copies; its bits do not
depend on tile, batch or cluster; and every step of its synchronisation is needed."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

import fastconv as fc
from fastconv.backends import placement, simt
from fastconv.backends.cpu import ACTIVATION_CODE
from fastconv.backends.gpu import conv, hopper
from fastconv.backends.source_tree import source_root
from fastconv.problem import ConvProblem

from ..conv_check import integers, numpy_conv2d, numpy_input_grad
from ..simt.running import VARIANTS
from . import hopper_check
from .hopper_check import check, nhwc, run

pytestmark = pytest.mark.skipif(simt.available() is not None, reason=str(simt.available()))

TILES = pytest.mark.parametrize("tile", hopper.TILES, ids=lambda t: f"{t.m}x{t.n}x{t.cluster}")

# Small, and each awkward in its own way.
PROBLEMS = (
    "mb3ic8ih9iw7oc40kh3ph1",  # tiles cross images; channels and filters fill no tile
    "mb1ic72ih11iw13oc136kh5kw3ph2pw0",  # a channel block of 8, filters past a tile, not square, "valid" columns
    "mb2ic136ih7iw12oc8kh2kw3sh2sw1ph0pw1",  # three channel blocks; strides differ
    "mb1ic64ih12iw9oc72kh3dh1dw2ph2pw3",  # dilations differ
    "mb2ic16ih13oc24kh1sh2",  # 1 x 1, stride 2
    "mb5ic72ih8iw9oc200kh1",  # 1 x 1: plain rows
)
# Of stride 1: mirrored filters, "full" padding, dilations that differ.
GRADIENTS = (
    "mb3ic40ih9iw7oc8kh3ph1",
    "mb1ic24ih6oc16kh2kw3ph1pw2",
    "mb1ic136ih11iw13oc72kh5kw3ph2pw0",
    "mb1ic72ih12iw9oc136kh3dh1dw2ph2pw3",
    "mb2ic200ih8iw9oc72kh1",
)
PAST_THE_FILTER = ConvProblem(2, 24, 9, 6, 16, 3, 2, padding=((0, 3), (1, 2)))  # at the bottom and on the right
ASYMMETRIC = ConvProblem(2, 24, 9, 6, 16, 3, 2, stride=(2, 1), padding=((0, 2), (3, 0)), dtype="float16")


@pytest.fixture
def few(monkeypatch):
    """A device of two multiprocessors: every block takes several tiles."""
    monkeypatch.setattr(simt, "processors", lambda: 2)


@TILES
@pytest.mark.parametrize("dtype", hopper.DTYPES)
@pytest.mark.parametrize("device", ["simt", pytest.param("cuda", marks=pytest.mark.gpu)], indirect=True)
def test_every_tile_is_exact(device, tile, dtype):
    if reason := placement.BACKENDS[device.name].lacks(hopper.ARCHS):
        pytest.skip(reason)
    for text in PROBLEMS:
        problem = ConvProblem.parse(text, dtype)
        check(problem, tile, on=device)
        check(problem, tile, fused=False, on=device)
    check(replace(ASYMMETRIC, dtype=dtype), tile, activation="relu6", on=device)


@TILES
def test_blocks_take_tile_after_tile(tile, few):
    problem = ConvProblem.parse("mb4ic72ih17iw15oc328kh2sh1sw1ph1pw0", "float16")
    tiles = -(-problem.n * problem.p * problem.q // (tile.cluster * tile.m)) * -(-problem.k // tile.n)
    assert tiles >= 4
    check(problem, tile)
    check(problem, tile, fused=False)


@pytest.mark.parametrize(("order", "copies"), VARIANTS)
@pytest.mark.parametrize("fused", [True, False])
def test_every_order_of_threads_and_copies(order, copies, fused, few):
    problem = ConvProblem.parse("mb3ic72ih17iw11oc200kh3kw2ph1sh2", "float16")
    with simt.options(order=order, copies=copies, seed=9):
        for tile in (hopper.TILES[0], hopper.TILES[4]):
            check(problem, tile, fused=fused)


@pytest.mark.parametrize("first", range(0, 64, 16))
def test_random_problems(first):
    for seed in range(first, first + 16):
        hopper_check.check_random(seed)


@pytest.mark.parametrize("activation", [name for name in ACTIVATION_CODE if name])
def test_activations_are_those_of_the_other_kernels(activation):
    problem = ConvProblem.parse("mb1ic16ih6oc24kh3ph1", "float16")
    x, w = integers(problem.x_shape, 0, "float16"), integers(problem.weight_shape, 1, "float16")
    with fc.device("simt"):
        ours, others = (
            fc.ops.conv2d(x, w, padding=1, activation=activation, algo=algo) for algo in ("wgmma", "implicit_gemm")
        )
    assert ours.tobytes() == others.tobytes()


def test_bits_do_not_depend_on_tile_cluster_or_batch():
    rng = np.random.default_rng(5)
    problem = ConvProblem.parse("mb3ic72ih7oc136kh3ph1", "float16")
    x, w = (rng.standard_normal(shape).astype(np.float16) for shape in (problem.x_shape, problem.weight_shape))
    alone = replace(problem, n=1)
    for numerics in ("float32", "hopper"):
        with simt.options(numerics=numerics):
            results = {run(problem, x, w, tile=tile).tobytes() for tile in hopper.TILES}
            images = b"".join(run(alone, x[i : i + 1], w).tobytes() for i in range(3))
        assert results == {images}


def test_bits_of_the_gradient_do_not_depend_on_tile_or_cluster():
    rng = np.random.default_rng(6)
    problem = ConvProblem.parse("mb2ic136ih7oc72kh3ph1", "float16")
    grad, w = (rng.standard_normal(shape).astype(np.float16) for shape in (problem.y_shape, problem.weight_shape))
    results = set()
    for tile in hopper.TILES:
        dx = np.empty((2, 7, 7, 136), np.float16)
        operands = (nhwc(grad), nhwc(w), None, None, dx, None, tile, True)
        hopper.fprop(simt, hopper.gradient_problem(problem), *operands)
        results.add(dx.tobytes())
    assert len(results) == 1


@pytest.mark.parametrize("text", ["mb1ic72ih5oc40kh3ph1", "mb1ic72ih5oc40kh1"])
def test_inf_and_nan_reach_only_the_pixels_that_see_them(text):
    """Channels past the last are zeros on both sides: 0 x Inf of the next tap, filter or pixel would be NaN."""
    problem = ConvProblem.parse(text, "float16")
    x, w = integers(problem.x_shape, 0, "float16"), integers(problem.weight_shape, 1, "float16")
    expected = numpy_conv2d(x, w, problem).astype(np.float16)
    reach = problem.r // 2
    x[0, 71, 0, 0], x[0, 0, 4, 4] = np.inf, np.nan
    w[39, 0, -1, -1] = np.inf
    y = run(problem, x, w, tile=hopper.TILES[-1]).transpose(0, 3, 1, 2)
    clean = np.ones(y.shape, bool)
    clean[:, :, : reach + 1, : reach + 1] = clean[:, :, 4 - reach :, 4 - reach :] = clean[:, 39] = False
    np.testing.assert_array_equal(y[clean], expected[clean])
    assert np.isnan(y[0, :39, 4, 4]).all()
    assert not np.isfinite(y[0, :, 0, 0][w[:, 71, reach, reach] != 0]).any()


@TILES
def test_results_go_into_a_slice_of_channels(tile):
    """Concatenation for nothing: y is 40 of 72 channels, and so is the residual; the others stay as they are."""
    problem = ConvProblem.parse("mb2ic16ih9oc40kh3ph1", "float16")
    x, w = integers(problem.x_shape, 0, "float16"), integers(problem.weight_shape, 1, "float16")
    whole = np.full((2, 9, 9, 72), 55, np.float16)
    others = integers((2, 9, 9, 56), 2, "float16")
    hopper.fprop(simt, problem, nhwc(x), nhwc(w), None, others[..., 8:48], whole[..., 24:64], None, tile)
    expected = nhwc(numpy_conv2d(x, w, problem)) + others[..., 8:48]
    np.testing.assert_array_equal(whole[..., 24:64], expected.astype(np.float16))
    assert (whole[..., :24] == 55).all() and (whole[..., 64:] == 55).all()


def test_a_residual_may_be_where_the_result_goes(few):
    problem = ConvProblem.parse("mb2ic16ih17oc136kh3ph1", "float16")
    x, w = integers(problem.x_shape, 0, "float16"), integers(problem.weight_shape, 1, "float16")
    y = nhwc(integers(problem.y_shape, 2, "float16"))
    expected = nhwc(numpy_conv2d(x, w, problem)) + y
    hopper.fprop(simt, problem, nhwc(x), nhwc(w), None, y, y, None, hopper.TILES[0])
    np.testing.assert_array_equal(y, expected.astype(np.float16))


@TILES
@pytest.mark.parametrize("dtype", hopper.DTYPES)
@pytest.mark.parametrize("device", ["simt", pytest.param("cuda", marks=pytest.mark.gpu)], indirect=True)
def test_the_gradient_of_every_tile_is_exact(device, tile, dtype):
    if reason := placement.BACKENDS[device.name].lacks(hopper.ARCHS):
        pytest.skip(reason)
    for text in GRADIENTS:
        hopper_check.check_gradient(ConvProblem.parse(text, dtype), tile, on=device)
    hopper_check.check_gradient(replace(PAST_THE_FILTER, dtype=dtype), tile, on=device)


@pytest.mark.parametrize(("order", "copies"), VARIANTS)
def test_the_gradient_in_every_order_of_threads_and_copies(order, copies, few):
    with simt.options(order=order, copies=copies, seed=9):
        for tile in (hopper.TILES[0], hopper.TILES[4]):
            hopper_check.check_gradient(ConvProblem.parse("mb3ic136ih11iw9oc72kh3kw2ph1", "float16"), tile)


def test_the_gradient_is_the_default_where_it_applies():
    problem = ConvProblem.parse("mb2ic64ih9oc72kh3ph1", "float16")
    grad, w = integers(problem.y_shape, 0, "float16"), integers(problem.weight_shape, 1, "float16")
    rows = {kernel.algo: kernel for kernel in fc.backends.registry.kernels("conv2d_input_grad", "simt")}
    assert rows["wgmma"].refusal(replace(problem, stride=(2, 1))) == "stride (2, 1): takes (1, 1)"
    beyond = "padding of 3 rows and 0 columns: takes up to what the filter reaches"
    assert rows["wgmma"].refusal(replace(problem, padding=((3, 0), (0, 0)))) == beyond
    with fc.device("simt"):
        assert fc.backends.registry.choose("conv2d_input_grad", "simt", problem).kernel.algo == "wgmma"
        dx = fc.ops.conv2d_input_grad(grad, w, problem.x_shape, padding=1)
    np.testing.assert_array_equal(dx, numpy_input_grad(grad, w, problem).astype(np.float16))


def test_linear_layers():
    x, w, bias = (
        integers((3, 50, 72), 0, "bfloat16"),
        integers((136, 72), 1, "bfloat16"),
        integers((136,), 2, "float32"),
    )
    with fc.device("simt"):
        assert fc.ops.explain("linear", x, w).choice == "wgmma"
        y = fc.ops.linear(x, w, bias.astype(x.dtype), algo="wgmma")
    expected = x.astype(float) @ w.astype(float).T + bias.astype(float)
    np.testing.assert_array_equal(y, expected.astype(x.dtype))


@pytest.mark.parametrize(
    ("text", "dtype", "reason"),
    [
        ("mb1ic64ih9oc64kh3", "float32", "dtype float32: takes float16, bfloat16"),
        ("g2mb1ic64ih9oc64kh3", "float16", "2 groups: takes one"),
        ("mb1ic60ih9oc64kh3", "float16", "60 channels, 64 filters: takes multiples of 8"),
        ("mb1ic64ih9oc63kh3", "float16", "64 channels, 63 filters: takes multiples of 8"),
        ("mb1ic8ih30oc8kh1sh9", "float16", "stride 9: a tensor map takes 1..8"),
        ("mb1ic8ih9oc8kh3ph129", "float16", "left corner -129: a tensor map takes -128..127"),
        ("mb1ic8ih600oc8kh3dh128ph90", "float16", "right corner -168: a tensor map takes -128..127"),
        ("mb1ic8ih2iw9oc8kh257kw1ph128pw0", "float16", "row offset 256: a tensor map takes up to 255"),
    ],
)
def test_what_it_refuses_and_why(text, dtype, reason):
    problem = ConvProblem.parse(text, dtype)
    kernel = next(k for k in fc.backends.registry.kernels("conv2d", "simt") if k.algo == "wgmma")
    assert kernel.refusal(problem) == reason


def test_it_is_the_default_where_it_applies_and_explains_itself():
    x, w = integers((2, 64, 9, 9), 0, "float16"), integers((64, 64, 3, 3), 1, "float16")
    with fc.device("simt"):
        told = fc.ops.explain("conv2d", x, w, padding=1)
        assert told.choice == "wgmma" and "wgmma" in str(told)
        assert fc.ops.conv2d(np.zeros((0, 64, 9, 9), np.float16), w).shape == (0, 64, 7, 7)
    large = hopper.choose(ConvProblem.parse("mb64ic256ih28oc256kh3ph1", "float16"), 132)
    assert "waves" in large.reason and "100% of the products useful" in large.reason
    assert (
        conv.fprop_tile(ConvProblem.parse("mb64ic256ih28oc256kh3ph1", "float16"), "float16", 132).clocks > large.clocks
    )


# ------------------------------------------------------------------------------------------------ what is left out

WITHOUT = {
    "the wait for a free stage": ("ptx::mbarrier_wait(&empty[ring.stage], ring.parity ^ 1);", "", "mbarrier"),
    "the wait for a full stage": ("ptx::mbarrier_wait(&full[ring.stage], ring.parity);", "", "uninitialised|race"),
    "half of the bytes": ("(barrier, kStageBytes)", "(barrier, kBytesX)", "mbarrier|race|deadlock"),
    "wgmma.fence": ("ptx::wgmma_fence();", "", "wgmma"),
    "the wait before a stage is freed": ("ptx::wgmma_wait<1>();", "", "race"),
    "the wait before sums are read": ("ptx::wgmma_wait<0>();", "", "wgmma"),
    "freeing stages": ("free_stage(before);\n        }", "}", "deadlock"),
    "the other block's consumers": ("(&empty[i], 8 * kCluster)", "(&empty[i], 8)", "mbarrier|race"),
    "the first cluster barrier": (
        "    ptx::cluster_arrive();\n    ptx::cluster_wait();\n  } else",
        "    __syncthreads();\n  } else",
        "race",
    ),
    "the fence of the mbarriers": ("ptx::fence_mbarrier_init();", "", "proxy"),
    "the wait for a staging buffer": ("if (leads) ptx::store_wait_read<kBuffers - 1>();", "", "race"),
    "telling others of it": (
        "store_wait_read<kBuffers - 1>();\n          ptx::barrier_sync(barrier, 128);",
        "store_wait_read<kBuffers - 1>();",
        "race",
    ),
    "the fence before a store": ("ptx::fence_proxy_async();", "", "proxy"),
    "the barrier before a store": (
        "ptx::fence_proxy_async();\n        ptx::barrier_sync(barrier, 128);",
        "ptx::fence_proxy_async();",
        "race",
    ),
    "the wait before exit": ("if (leads) ptx::store_wait<0>();", "", "early exit"),
    "the last cluster barrier": (
        "  if (kCluster > 1) {\n    ptx::cluster_arrive();\n    ptx::cluster_wait();\n  }\n}",
        "}",
        "early exit",
    ),
    "the wait for the residual": (
        "ptx::mbarrier_wait(&residual_came[consumer * kBuffers + piece % kBuffers], came >> piece % kBuffers & 1);",
        "",
        "race|uninitialised",
    ),
    "the wait before the next tile's residual": ("ptx::store_wait_read<0>();  // of the tile before", "", "race"),
    "the wait before a later piece's residual": ("ptx::store_wait_read<0>();\n            load", "load", "race"),
}  # fmt: skip


@pytest.mark.parametrize("left_out", list(WITHOUT))
def test_nothing_of_its_synchronisation_can_be_left_out(left_out, few, tmp_path, monkeypatch):
    """The kernel without one of its waits, fences and barriers is reported, in an order in which it may well come right."""
    line, instead, kind = WITHOUT[left_out]
    text = (source_root() / "cuda" / "conv" / "hopper_fprop.cuh").read_text()
    assert text.count(line) == 1
    file = tmp_path / "kernel.cu"
    file.write_text(text.replace(line, instead))
    tile = hopper.TILES[0]
    source = replace(hopper.kernel_source("float16", tile, True), file=str(file))
    monkeypatch.setattr(hopper, "kernel_source", lambda *which: source)
    hopper._launch.cache_clear()
    problem = ConvProblem.parse("mb4ic72ih15oc136kh3ph1", "float16")
    try:
        with pytest.raises(simt.KernelError) as caught:
            check(problem, tile, fused="residual" in left_out)
        assert re.search(kind, caught.value.kind), caught.value
    finally:
        hopper._launch.cache_clear()

"""The kernel table: choice, refusals, forcing, tuning files, kernels of one's own."""

from __future__ import annotations

import json

import numpy as np
import pytest

import fastconv as fc
from fastconv.backends import cpu, registry
from fastconv.problem import ConvProblem
from tests.shapes import network_layers, three_by_three

X, W = np.ones((1, 4, 8, 8), np.float32), np.ones((4, 4, 3, 3), np.float32)


@pytest.fixture
def pointwise():
    """A kernel of a user's: 1 x 1 convolutions only, by NumPy, and absurdly cheap by its own account."""

    def run(problem, x, weight, bias, residual, y, activation):
        y[...] = x @ weight.krsc()[:, 0, 0].T

    def refuses(problem):
        return None if (problem.r, problem.s) == (1, 1) else f"kernel {problem.r}x{problem.s}: takes 1x1"

    yield registry.register(
        registry.Kernel("conv2d", "cpu", "pointwise", run, ("float32",), refuses, cost=lambda problem: 0.0)
    )
    registry.unregister("conv2d", "cpu", "pointwise")


def test_networks_get_winograd_where_tiles_are_many_and_the_implicit_gemm_elsewhere(isa):
    """3 x 3, stride 1, planes of 14 x 14 and more; against 1 x 1 and strided 3 x 3. Smaller planes are near a tie."""
    dense = {problem: "winograd" for _, problem in three_by_three() if problem.stride == (1, 1) and problem.p >= 14}
    layers = network_layers("resnet50")
    rest = {
        problem: "implicit_gemm" for problem in layers if problem.r == 1 or (problem.r, problem.stride) == (3, (2, 2))
    }
    assert len(dense) > 8 and len(rest) > 15
    for problem, algo in {**dense, **rest}.items():
        assert registry.choose("conv2d", "cpu", problem).kernel.algo == algo, problem


def test_the_choice_follows_the_isa():
    """A kernel that is cheap on one instruction set only is taken on that one only."""

    def cost(problem):
        return 0.0 if cpu.isa() == "portable" else float("inf")

    registry.register(registry.Kernel("conv2d", "cpu", "old", print, cost=cost))
    try:
        problem = ConvProblem.parse("ic8ih8oc8kh3")
        for isa in cpu.supported_isas():
            with cpu.force_isa(isa):
                assert (registry.choose("conv2d", "cpu", problem).kernel.algo == "old") == (isa == "portable")
    finally:
        registry.unregister("conv2d", "cpu", "old")


def test_a_layers_name_is_no_part_of_its_tuning_key():
    key = registry.tuning_key("conv2d", "cpu", ConvProblem.parse('ic8ih8oc8kh3n"layer1"'))
    assert key == registry.tuning_key("conv2d", "cpu", ConvProblem.parse("ic8ih8oc8kh3"))


def test_a_kernel_of_ones_own_is_chosen_forced_and_explained(pointwise):
    w = np.ones((2, 4, 1, 1), np.float32)
    assert fc.ops.algorithms("conv2d", X, w)[-1] == "pointwise"
    assert (fc.ops.conv2d(X, w) == 4).all()
    assert fc.ops.explain("conv2d", X, w).choice == "pointwise"
    assert "pointwise" not in fc.ops.algorithms("conv2d", X, W)
    text = str(fc.ops.explain("conv2d", X, W, padding=1))
    assert "refuses: kernel 3x3: takes 1x1" in text
    with pytest.raises(fc.AlgorithmError, match="'pointwise' does not take this conv2d: kernel 3x3: takes 1x1"):
        fc.ops.conv2d(X, W, algo="pointwise")
    with pytest.raises(fc.AlgorithmError, match="dtype float64: takes float32"):
        fc.ops.conv2d(X.astype(np.float64), w.astype(np.float64), algo="pointwise")


def test_where_nothing_accepts_every_reason_is_given():
    registry.register(registry.Kernel("test_op", "cpu", "never", print, refuses=lambda problem: "it is Sunday"))
    try:
        with pytest.raises(fc.AlgorithmError, match=r"no test_op kernel on device 'cpu' takes .*never: it is Sunday"):
            registry.choose("test_op", "cpu", ConvProblem.parse("ic1ih1oc1"))
    finally:
        registry.unregister("test_op", "cpu", "never")


def test_explain_names_choice_workspace_conversions_and_floor():
    text = str(fc.ops.explain("conv2d", X, W, padding=1))
    for part in ("-> implicit_gemm", "im2col_gemm", "workspace", "lowest predicted cost", "x to channels-last",
                 "weight, packed by this call", "MFLOP", "FLOP a byte"):  # fmt: skip
        assert part in text
    prepared = fc.ops.prepare_weight(W)
    assert "converts nothing" in str(fc.ops.explain("conv2d", fc.ops.channels_last(X), prepared, padding=1))
    assert fc.ops.explain("conv2d", X, W, algo="reference").reason == "algo='reference' was asked for"
    assert fc.ops.explain("linear", X[0, 0], W[0, 0, :, :1].T.repeat(8, 1)[:, :8]).choice == "dot"


def test_a_tuning_file_overrides_the_heuristic(tmp_path):
    problem = ConvProblem.parse("mb1ic4ih8oc4oh8kh3ph1")
    key = registry.tuning_key("conv2d", "cpu", problem)
    path = tmp_path / "tuning.json"
    path.write_text(json.dumps({registry.machine_key(): {key: "im2col_gemm"}, "another machine": {key: "reference"}}))
    try:
        assert registry.load_tuning(path) == 1
        choice = registry.choose("conv2d", "cpu", problem)
        assert (choice.kernel.algo, choice.reason) == ("im2col_gemm", "the tuning file says so")
        assert fc.ops.explain("conv2d", X, W, padding=1).choice == "im2col_gemm"
    finally:
        registry.load_tuning(None)
    assert registry.choose("conv2d", "cpu", problem).kernel.algo == "implicit_gemm"


def test_a_tuning_entry_is_for_its_instruction_set_and_threads(tmp_path, threads):
    problem = ConvProblem.parse("mb1ic4ih8oc4oh8kh3ph1")
    threads(2)
    isas = cpu.supported_isas()
    entries = {}
    for name in isas:
        with cpu.force_isa(name):
            entries[registry.tuning_key("conv2d", "cpu", problem)] = "im2col_gemm" if name == isas[-1] else "reference"
    assert len(entries) == len(isas)
    path = tmp_path / "tuning.json"
    path.write_text(json.dumps({registry.machine_key(): entries}))

    def chosen():
        return registry.choose("conv2d", "cpu", problem).kernel.algo

    try:
        registry.load_tuning(path)
        for count, expected in ((2, "im2col_gemm"), (1, "implicit_gemm"), (3, "implicit_gemm"), (2, "im2col_gemm")):
            threads(count)
            with cpu.force_isa(isas[-1]):
                assert chosen() == expected
        for name in isas[:-1]:
            with cpu.force_isa(name):
                assert chosen() == "reference"
    finally:
        registry.load_tuning(None)


def test_a_tuning_file_of_an_earlier_version_is_refused(tmp_path):
    path = tmp_path / "tuning.json"
    path.write_text('{"machine": {"conv2d/cpu/float32/mb1ic4ih8oc4oh8kh3ph1": "reference"}}')
    with pytest.raises(fc.FileFormatError, match=r"number of threads.*earlier versions.*fastconv tune"):
        registry.load_tuning(path)


@pytest.mark.parametrize("content", ["{", "[]", '{"machine": 3}'])
def test_a_bad_tuning_file_is_one_clear_error(tmp_path, content):
    path = tmp_path / "tuning.json"
    path.write_text(content)
    with pytest.raises(fc.FileFormatError, match=r"tuning file .*tuning.json"):
        registry.load_tuning(path)
    with pytest.raises(fc.FileFormatError, match="No such file"):
        registry.load_tuning(tmp_path / "missing.json")

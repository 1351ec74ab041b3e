"""bench.gpu without a GPU: its plan, statistics and page, and the whole flow over a fake machine that breaks."""

from __future__ import annotations

import doctest
import importlib
import json
from dataclasses import replace

import numpy as np
import pytest

from bench.gpu import __main__ as command
from bench.gpu import correctness, layers, plan, report, samples, worker
from fastconv.backends import placement, registry, simt
from fastconv.problem import ConvProblem

from .fake import Machine

FAKE = "tests.bench_gpu.fake"


@pytest.mark.parametrize("name", ["plan", "samples", "facts"])
def test_examples(name):
    assert doctest.testmod(importlib.import_module(f"bench.gpu.{name}")).failed == 0


def test_the_plan_begins_with_what_matters_and_holds_every_layer_and_kernel():
    units = plan.units(plan.NETWORKS, plan.BATCHES)
    assert len({unit.id for unit in units}) == len(units)
    parts = list(dict.fromkeys(unit.part for unit in units))
    expected = ["facts", "ceilings", "compile", "correctness", "overhead", "layers", "precision", "gradients"]
    assert parts == expected
    first = next(unit for unit in units if unit.part == "layers").arguments
    assert (first["network"], first["batch"], first["algos"], first["dtype"]) == ("resnet50", 32, "all", "float16")
    of_layers = [unit.arguments for unit in units if unit.part == "layers"]
    counts = {name: sum(a["network"] == name and a["batch"] == 1 for a in of_layers) for name in plan.NETWORKS}
    assert counts == {"resnet50": 23, "vgg16": 9, "mobilenetv1": 19, "googlenet": 49}
    assert sum(a["count"] for a in of_layers if a["network"] == "resnet50" and a["batch"] == 256) == 53
    for arguments in of_layers:
        problem = ConvProblem.parse(arguments["problem"], "float16")
        assert problem.n == arguments["batch"]
        (top, bottom), (left, right) = problem.padding
        assert top == bottom and left == right  # as PyTorch needs it
    checked = {tuple(unit.arguments.values()) for unit in units if unit.part == "correctness"}
    table = {(k.op, k.algo, dtype) for k in registry._table if k.device == "cuda" for dtype in k.dtypes}
    assert checked == table
    assert json.loads(json.dumps([unit.as_dict() for unit in units])) and plan.Unit(**units[-1].as_dict()) == units[-1]


def test_statistics():
    assert samples.summary([3.0, 1.0, 2.00004]) == {"median": 2.0, "min": 1.0, "samples": [3.0, 1.0, 2.0]}
    for nothing in ([], [float("nan")]):
        with pytest.raises(ValueError, match="finite"):
            samples.summary(nothing)


ARGUMENTS = next(unit for unit in plan.units(["resnet50"], [32]) if unit.part == "layers").arguments


def test_a_layer_is_right_before_it_is_timed():
    record = layers.measure(Machine(), ARGUMENTS)
    rows = record["contenders"]
    assert "wrong result: relative error nan" in rows["slow"]["failed"] and "warm" not in rows["slow"]
    assert "too | many" in rows["raising"]["failed"]
    assert rows["implicit_gemm"]["warm"]["calls"] >= 1 and len(rows["implicit_gemm"]["cold"]["samples"]) >= 3
    json.dumps(record, allow_nan=False)
    found = report.compare(record, {"copy_gb_s": 4000.0, "float16_tflops": 700.0}, "warm")
    assert found["ratio"] == pytest.approx(2, rel=1e-3) and found["of_peak"] == pytest.approx(0.5, rel=1e-3)
    assert (found["algo"], found["best_algo"], found["cudnn_name"]) == (
        "implicit_gemm",
        "stem",
        "cudnn conv+bias+relu_",
    )
    assert found["ratio_alone"] == pytest.approx(1.5, rel=1e-3)
    assert found["floor"] == pytest.approx(max(record["flops"] / 700e6, record["min_bytes"] / 4e6), rel=1e-6)
    assert report.compare(record, {"copy_gb_s": "an error"}, "cold")["of_floor"] is None
    del rows["cudnn conv+bias+relu_"]["warm"]
    assert report.compare(record, {}, "warm") is None


class Clock:
    """Time that passes a second whenever it is asked."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        self.now += 1.0
        return self.now


def test_a_part_that_takes_long_is_put_off_and_what_does_not_fit_is_left(tmp_path):
    log = worker.Log(tmp_path / "log")
    layer = [unit for unit in plan.units(["resnet50"], [32]) if unit.part == "layers"][:4]
    units = [*(replace(unit, id=f"a{i}", part="a", seconds=1) for i, unit in enumerate(layer))]
    units += [replace(layer[0], id="b", part="b", seconds=1), replace(layer[0], id="long", part="b", seconds=1e6)]
    content = {"deadline": 1e5, "caps": {"a": 5.0}, "units": [unit.as_dict() for unit in units]}
    assert worker.work(content, Machine(), log, Clock()) == 0
    begun = [json.loads(line)["unit"] for line in log.path.read_text().splitlines() if '"begin"' in line]
    assert begun == ["a0", "a1", "a2", "b", "a3"]


def run(tmp_path, *more):
    status = command.main(["--machine", FAKE, "--out", str(tmp_path), "--batches", "32", "--networks", "vgg16", *more])
    return status, json.loads((tmp_path / "gpu.json").read_text()), (tmp_path / "gpu.md").read_text()


PARTS = ("--parts", "ceilings", "compile", "overhead", "layers")


def test_the_whole_flow(tmp_path, capfd):
    status, content, page = run(tmp_path, *PARTS, "--seconds", "100")
    assert status == 0 and not content["failures"] and not content["skipped"] and content["restarts"] == 0
    assert len(content["results"]["layers"]) == 9
    assert "vgg16 | 32 | float16 | fprop | 9 of 9 | 2.00" in page and "features.24" in page
    assert "Fake GPU" in page and "nan" not in page
    assert "## Networks" in capfd.readouterr().out


@pytest.mark.parametrize("mishap", ["crash", "lose", "raise", "hang"])
def test_one_bad_layer_costs_itself_alone(mishap, tmp_path, monkeypatch):
    monkeypatch.setenv("FAKE_MISHAP", f"ic256ih56oc256={mishap}")
    units = plan.units(["vgg16"], [32])
    if mishap == "hang":
        monkeypatch.setattr(
            command.plan, "units", lambda *_: [replace(u, limit=1.0) if u.part == "layers" else u for u in units]
        )
    status, content, page = run(tmp_path, *PARTS, "--seconds", "100")
    assert status == 1 and len(content["results"]["layers"]) == 8 and not content["skipped"]
    failed = [f for f in content["failures"] if "ic256ih56oc256" in f["unit"]]
    assert failed and content["restarts"] == (0 if mishap == "raise" else 1)
    expected = {"crash": "status 11", "lose": "planned: lose", "raise": "planned: raise", "hang": "hung for 1 s"}
    assert expected[mishap] in failed[0]["error"] and "failed: layers/vgg16" in page


def test_a_machine_without_a_gpu_leaves_a_page_that_says_so(tmp_path, monkeypatch):
    monkeypatch.setenv("FAKE_MISHAP", "start=")
    status, content, page = run(tmp_path, "--seconds", "60")
    assert status == 1 and "no device at all" in content["failures"][0]["error"] and "no device at all" in page
    assert content["restarts"] == 0 and len(content["skipped"]) > 20


def test_time_that_is_over_leaves_the_rest_skipped(tmp_path):
    status, content, page = run(tmp_path, *PARTS, "--seconds", "1")
    assert status == 1 and content["skipped"] and "skipped for lack of time" in page and content["wall_s"] < 30


def test_a_page_that_cannot_be_made_does_not_cost_the_json(tmp_path, monkeypatch):
    monkeypatch.setattr(report, "page", lambda content: 1 / 0)
    command.write({"results": {}}, tmp_path)
    assert (tmp_path / "gpu.json").exists() and "ZeroDivisionError" in (tmp_path / "gpu.md").read_text()


needs_executor = pytest.mark.skipif(simt.available() is not None, reason=str(simt.available()))


@needs_executor
@pytest.mark.parametrize(
    ("op", "algo", "dtype"),
    [
        ("conv2d", "implicit_gemm", "float16"),
        ("conv2d", "implicit_gemm_tf32", "float32"),
        ("conv2d_input_grad", "implicit_gemm", "bfloat16"),
        ("conv2d_weight_grad", "depthwise", "float32"),
    ],
)
def test_correctness_of_convolutions_in_the_executor(op, algo, dtype):
    texts = ("mb2ic3ih5oc4kh3", "mb1ic16ih6oc33oh3kh2sh2", "mb2ic9ih7oc9oh7kh3ph1g9")
    found = correctness.check("simt", op, algo, dtype, [ConvProblem.parse(text) for text in texts])
    assert found["failures"] == [] and found["passed"] >= 2


@needs_executor
def test_an_unwritten_or_wrong_element_is_found(monkeypatch):
    row = registry.choose("conv2d", "simt", ConvProblem.parse("mb1ic8ih5oc8kh3")).kernel

    def leaves_one_out(problem, x, weight, bias, residual, y, activation):
        last = y.reshape(-1)[-1].copy()
        row.run(problem, x, weight, bias, residual, y, activation)
        y.reshape(-1)[-1] = last

    registry.register(replace(row, algo="leaves_one_out", run=leaves_one_out))
    try:
        found = correctness.check("simt", "conv2d", "leaves_one_out", "float32", [ConvProblem.parse("mb1ic8ih5oc8kh3")])
    finally:
        registry.unregister("conv2d", "simt", "leaves_one_out")
    assert found["failed"] == 3 and "first at (0, 7, 2, 2): got nan" in found["failures"][0]
    assert "relative error nan" in found["failures"][1]


@needs_executor
@pytest.mark.parametrize(
    "op",
    [
        "batch_norm_grad",
        "avg_pool2d",
        "cross_entropy",
        "adam_update",
        "rmsprop_update",
        "adagrad_update",
        "adadelta_update",
        "max_unpool2d",
        "max_unpool2d_grad",
        "resample",
        "loss",
        "loss_grad",
        "scale_channels_grad",
        "linear",
        "softmax_grad",
    ],
)
def test_correctness_of_the_rest_in_the_executor(op):
    pytest.importorskip("torch")
    plain = placement.BACKENDS["simt"].empty
    for row in registry.kernels(op, "simt"):
        with simt.options(check=False):
            found = correctness.check("simt", op, row.algo, "float16")
        assert found["failures"] == [] and found["passed"] >= 2
    assert placement.BACKENDS["simt"].empty is plain and len(registry.kernels("avg_pool2d", "simt")) == 2


def test_every_operation_has_a_check():
    pytest.importorskip("torch")
    references = importlib.import_module("bench.gpu.references")
    ops = {row.op for row in registry._table if row.device == "cuda"}
    assert ops <= {*references.CHECKS, *plan.CONVOLUTIONS}
    assert np.isfinite(list(correctness.TOLERANCE.values())).all()

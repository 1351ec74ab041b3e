"""The command line: what it prints, what it writes, how it fails."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys

import numpy as np
import pytest

import fastconv as fc
from fastconv.backends import registry
from fastconv.bench import tuning
from fastconv.bench.work import DIRECTIONS
from fastconv.cli import main
from fastconv.problem import ConvProblem

SMALL = "mb1ic8ih9oc16oh9kh3ph1"


def test_info(capsys):
    assert main(["info"]) == 0
    text = capsys.readouterr().out
    for part in ("fastconv", "isa", "GFLOP/s, measured", "GB/s", "implicit_gemm", "fastconv models", "deepbench"):
        assert part in text


def test_bench_of_a_problem_writes_everything(capsys, tmp_path, threads):
    threads(1)
    pytest.importorskip("matplotlib")
    files = [tmp_path / name for name in ("r.json", "r.csv", "r.png")]
    options = ["--algo", "all", "--seconds", "0.02", "--batch", "2", "--threads", "2", "--dtype", "float16"]
    options += ["--json", str(files[0]), "--csv", str(files[1]), "--plot", str(files[2])]
    assert main(["bench", SMALL, *options]) == 0
    text = capsys.readouterr().out
    for algo in ("implicit_gemm *", "im2col_gemm", "reference", "mb2ic8ih9oc16oh9kh3ph1"):
        assert algo in text
    result = json.loads(files[0].read_text())
    assert (result["schema"], result["dtype"], result["machine"]["threads"]) == (1, "float16", 2)
    assert [row["contender"] for row in result["rows"]] == ["winograd", "implicit_gemm", "im2col_gemm", "reference"]
    for row in result["rows"]:
        assert row["error"] < 1e-3 and 0 < row["min_s"] <= row["median_s"] and row["samples"] >= 1
        assert row["flops"] == 2 * 2 * 16 * 81 * 72
    with files[1].open() as file:
        assert len(list(csv.DictReader(file))) == 4
    assert files[2].read_bytes().startswith(b"\x89PNG")


def test_bench_of_a_model(capsys, threads):
    threads(1)
    assert main(["bench", "lenet5", "--seconds", "0.01"]) == 0
    text = capsys.readouterr().out
    for part in ("features.0", "classifier.1", "dot *", "registry's choice", "whole forward"):
        assert part in text


def test_a_convolution_algorithm_leaves_linear_layers_alone(capsys, threads):
    threads(1)
    assert main(["bench", "lenet5", "--seconds", "0.01", "--algo", "im2col_gemm"]) == 0
    text = capsys.readouterr().out
    assert "im2col_gemm" in text and "dot *" in text and "implicit_gemm" not in text


def test_narrow_terminals_get_a_narrow_table(threads):
    from rich.console import Console

    from fastconv import bench
    from fastconv.bench.probe import Probe

    threads(1)
    layers = bench.resolve('mb1ic8ih9oc16oh9kh3ph1n"a[bold]name"')
    report = bench.Report(
        "x", "float32", 1, bench.describe_machine(), bench.measure_layer(layers[0], Probe(), seconds=0.01)
    )
    for compact, width in ((True, 80), (False, 130)):
        console = Console(width=width, file=io.StringIO())
        console.print(report.table(compact))
        text = console.file.getvalue()
        for part in ("a[bold]name", "implicit_gemm *", "GFLOP/s", "of peak"):
            assert part in text
        assert max(map(len, text.splitlines())) <= width


def test_bench_beside_torch(capsys, threads):
    pytest.importorskip("torch")
    threads(1)
    assert main(["bench", SMALL, "--seconds", "0.01", "--peer", "torch"]) == 0
    text = capsys.readouterr().out
    assert "torch channels-last" in text and "torch contiguous" in text
    assert main(["bench", "lenet5", "--seconds", "0.01", "--peer", "torch"]) == 0
    assert "best peer" in capsys.readouterr().out


def test_bench_beside_several_peers(capsys, threads, monkeypatch):
    for module in ("onnx", "onnxruntime", "openvino"):
        pytest.importorskip(module)
    threads(1)
    options = ["bench", SMALL, "--seconds", "0.01", "--peer", "onnxruntime", "--peer", "openvino"]
    assert main(options) == 0
    text = capsys.readouterr().out
    for name in ("onnxruntime", "openvino contiguous", "openvino channels-last"):
        assert name in text
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert main(options) == 2
    assert "fastconv: peer onnxruntime: onnx and onnxruntime not installed (pip install" in capsys.readouterr().err


def test_tune_writes_what_the_registry_reads(capsys, threads, tmp_path, monkeypatch):
    threads(1)
    path = tmp_path / "tuning.json"
    path.write_text('{"elsewhere": {"a": "b"}}')
    monkeypatch.setattr(tuning, "LEAST_GAIN", 0.0)  # an entry for every layer, whichever is the fastest
    options = ["--gradients", "--seconds", "0.01", "--threads", "2", "--dtype", "float16", "--batch", "2"]
    assert main(["tune", SMALL, SMALL, *options, "--output", str(path)]) == 0
    text = capsys.readouterr().out
    for part in ("mb2ic8ih9oc16oh9kh3ph1", "choices changed", "geometric mean", f"FASTCONV_TUNING={path}"):
        assert part in text
    content = json.loads(path.read_text())
    assert content.pop("elsewhere") == {"a": "b"}
    (entries,) = content.values()
    problem = ConvProblem.parse("mb2ic8ih9oc16oh9kh3ph1", "float16")
    several = [op for op in DIRECTIONS.values() if len(tuning.candidates(op, problem)) > 1]
    assert list(entries) == [f"{op}/cpu/float16/{problem}" for op in several] and several[0] == "conv2d"
    try:
        assert registry.load_tuning(path) == len(several)
    finally:
        registry.load_tuning(None)


def test_tune_updates_the_file_of_the_environment(capsys, threads, tmp_path, monkeypatch):
    threads(1)
    path = tmp_path / "new.json"
    monkeypatch.setenv("FASTCONV_TUNING", str(path))
    assert main(["tune", "mb1ic8ih5oc4kh1", "--seconds", "0.01"]) == 0
    assert str(path) in capsys.readouterr().out and set(json.loads(path.read_text())) == {registry.machine_key()}


@pytest.fixture
def weights(tmp_path):
    path = tmp_path / "lenet.safetensors"
    fc.save(fc.models.create("lenet5"), path)
    return str(path)


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "image.png"
    pytest.importorskip("PIL.Image").fromarray(np.zeros((30, 40, 3), np.uint8)).save(path)
    return str(path)


def test_predict_with_labels(weights, image, tmp_path, capsys):
    labels = tmp_path / "labels.txt"
    labels.write_text("\n".join(f"digit-{i}" for i in range(10)))
    assert (
        main(
            ["predict", image, image, "--model", "lenet5", "--weights", weights, "--labels", str(labels), "--top", "3"]
        )
        == 0
    )
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 and lines[0] == lines[1] and lines[0].count("digit-") == 3 and lines[0].count("%") == 3


def test_every_failure_is_one_line_and_status_2(weights, image, tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("FASTCONV_TUNING", raising=False)
    text = tmp_path / "text.png"
    text.write_text("not an image")
    short = tmp_path / "short.txt"
    short.write_text("one\ntwo")
    predict = ["predict", image, "--model", "lenet5", "--weights", weights]
    cases = {
        "neither model nor problem": (["bench", "lenet6"], "'lenet6' is not a model, a suite or a problem"),
        "problem": (["bench", "mb1ic3ih5"], "'oc' is missing"),
        "impossible problem": (["bench", "mb1ic3ih5oc2kh9"], "does not fit"),
        "algorithm": (["bench", SMALL, "--algo", "fft"], "no conv2d kernel 'fft'"),
        "threads": (["bench", SMALL, "--threads", "-1"], "threads: expected an integer in 1..1024, got -1"),
        "batch": (["bench", "lenet5", "--batch", "-3"], "batch: expected at least 1, got -3"),
        "no threads": (["bench", SMALL, "--threads", "0"], "threads: expected an integer in 1..1024, got 0"),
        "seconds": (["bench", SMALL, "--seconds", "-1"], "seconds: expected a positive number, got -1"),
        "no end": (["bench", SMALL, "--seconds", "inf"], "seconds: expected a positive number, got inf"),
        "no filters": (["bench", "mb1ic8ih8oc0kh3"], "mb, ic and oc must be at least 1"),
        "json": (["bench", SMALL, "--json", str(tmp_path / "no" / "r.json")], "cannot be written"),
        "csv": (["bench", SMALL, "--csv", str(tmp_path)], "cannot be written"),
        "nowhere to write": (
            ["tune", SMALL],
            "output: expected a file to write to, as --output FILE or in FASTCONV_TUNING",
        ),
        "tuning file": (["tune", SMALL, "--output", str(short)], "not JSON"),
        "tuning folder": (["tune", SMALL, "--output", str(tmp_path / "no" / "t.json")], "cannot be written"),
        "nothing to tune": (["tune", "lenet6", "--output", str(tmp_path / "t.json")], "is not a model, a suite or a"),
        "model": ([*predict[:3], "lenet6", *predict[4:]], "model: expected one of"),
        "weights": ([*predict[:-1], "missing.safetensors"], "'missing.safetensors': no such file"),
        "other model's weights": (
            [*predict[:3], "deep_convnet", *predict[4:]],
            "state dict does not fit DeepConvNet: missing",
        ),
        "image": (["predict", "missing.png", *predict[2:]], "image 'missing.png': no such file"),
        "not an image": (["predict", str(text), *predict[2:]], "cannot be read"),
        "labels": ([*predict, "--labels", "missing.txt"], "labels 'missing.txt': cannot be read"),
        "label count": ([*predict, "--labels", str(short)], "labels: expected 10 lines, one a class, got 2"),
        "top": ([*predict, "--top", "0"], "top: expected at least 1, got 0"),
    }
    for name, (arguments, part) in cases.items():
        assert main(arguments) == 2, name
        captured = capsys.readouterr()
        lines = captured.err.strip().splitlines()
        assert len(lines) == 1 and lines[0].startswith("fastconv: ") and part in lines[0], (name, captured.err)


@pytest.mark.parametrize("arguments", [[], ["fly"], ["bench"], ["bench", "lenet5", "--dtype", "int8"]])
def test_wrong_usage_has_status_2_too(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2 and "usage: fastconv" in capsys.readouterr().err


def test_the_installed_commands():
    for command in (["-m", "fastconv"],):
        child = subprocess.run([sys.executable, *command, "--version"], check=False, capture_output=True, text=True)
        assert child.stdout.strip() == f"fastconv {fc.__version__}" and child.returncode == 0

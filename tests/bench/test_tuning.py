"""Tuning files: what is measured, what is written, what stays."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

import fastconv as fc
from fastconv.backends import registry
from fastconv.bench import resolve, tuning
from fastconv.bench.probe import Probe
from fastconv.problem import ConvProblem

PROBLEM = ConvProblem.parse("mb1ic8ih9oc16oh9kh3ph1")
OTHER = ConvProblem.parse("mb1ic8ih9oc16oh9kh1")


def tuned(problem, chosen, **seconds):
    return tuning.Tuned("conv2d", problem, chosen, seconds)


def key(problem, op="conv2d"):
    return registry.tuning_key(op, "cpu", problem)


def test_only_a_win_beyond_the_noise_is_an_entry():
    clear = tuned(PROBLEM, "implicit_gemm", implicit_gemm=2e-3, im2col_gemm=1e-3)
    assert (clear.best, clear.gain, clear.entry) == ("im2col_gemm", 2.0, "im2col_gemm")
    assert tuned(PROBLEM, "implicit_gemm", implicit_gemm=1.02e-3, im2col_gemm=1e-3).entry is None
    assert tuned(PROBLEM, "implicit_gemm", implicit_gemm=1e-3, im2col_gemm=2e-3).entry is None


def test_entries_of_other_problems_and_machines_stay(tmp_path):
    path = tmp_path / "tuning.json"
    machine = registry.machine_key()
    before = {"elsewhere": {key(PROBLEM): "reference"}, machine: {key(OTHER): "im2col_gemm", key(PROBLEM): "reference"}}
    path.write_text(json.dumps(before))
    tuning.store(path, [tuned(PROBLEM, "implicit_gemm", implicit_gemm=2e-3, im2col_gemm=1e-3)])
    after = json.loads(path.read_text())
    assert after == {**before, machine: {key(OTHER): "im2col_gemm", key(PROBLEM): "im2col_gemm"}}
    assert [file.name for file in tmp_path.iterdir()] == ["tuning.json"]
    # What is no longer a win is no longer an entry.
    tuning.store(path, [tuned(PROBLEM, "implicit_gemm", implicit_gemm=1e-3, im2col_gemm=1e-3)])
    assert json.loads(path.read_text())[machine] == {key(OTHER): "im2col_gemm"}


def test_the_registry_reads_what_is_written(tmp_path):
    path = tmp_path / "tuning.json"
    tuning.store(path, [tuned(PROBLEM, "implicit_gemm", implicit_gemm=2e-3, im2col_gemm=1e-3)])
    try:
        assert registry.load_tuning(path) == 1
        assert registry.choose("conv2d", "cpu", PROBLEM).reason == "the tuning file says so"
        with registry.untuned():
            assert registry.choose("conv2d", "cpu", PROBLEM).reason == "lowest predicted cost"
        assert registry.choose("conv2d", "cpu", PROBLEM).kernel.algo == "im2col_gemm"
    finally:
        registry.load_tuning(None)


def test_a_layer_is_measured_with_all_but_the_reference(threads):
    threads(1)
    (layer,) = resolve(str(PROBLEM))
    result = tuning.tune_layer(layer, Probe(), seconds=0.01)
    assert result is not None and set(result.seconds) == {"winograd", "implicit_gemm", "im2col_gemm"}
    assert result.chosen == registry.choose("conv2d", "cpu", PROBLEM).kernel.algo and min(result.seconds.values()) > 0


def test_the_reference_counts_where_nothing_else_is_there(monkeypatch):
    (layer,), rows = resolve(str(PROBLEM)), {row.algo: row for row in registry.kernels("conv2d", "cpu")}
    for names, expected in ((["reference"], "reference"), (["implicit_gemm", "reference"], "implicit_gemm")):
        monkeypatch.setattr(registry, "kernels", lambda op, device, names=names: [rows[name] for name in names])
        assert tuning.candidates("conv2d", PROBLEM) == [expected]
        assert tuning.tune_layer(layer, Probe()) is None  # nothing to choose from


def test_layers_of_several_names_are_measured_once():
    layers = tuning.layers_of(["lenet5", str(PROBLEM), "lenet5", str(PROBLEM)], batch=2, dtype="float16")
    problems = [layer.problem for layer in layers]
    assert len(problems) == len(set(problems)) and replace(PROBLEM, n=2, dtype="float16") in problems
    assert all(isinstance(problem, ConvProblem) and problem.n == 2 for problem in problems)


def test_summary_and_table_show_what_changed():
    results = [
        tuned(PROBLEM, "implicit_gemm", implicit_gemm=4e-3, im2col_gemm=1e-3),
        tuned(OTHER, "implicit_gemm", implicit_gemm=1e-3, im2col_gemm=2e-3),
    ]
    assert tuning.summary(results).startswith("1 of 2 choices changed; by predicted cost a layer takes 2.000 times")
    table = tuning.table(results)
    assert table.row_count == 1 and [column.header for column in table.columns][-1] == "gain"
    assert tuning.summary([]).startswith("nothing to tune")


def test_the_target(tmp_path, monkeypatch):
    monkeypatch.delenv("FASTCONV_TUNING", raising=False)
    with pytest.raises(
        fc.FileFormatError, match="output: expected a file to write to, as --output FILE or in FASTCONV_TU"
    ):
        tuning.target(None)
    monkeypatch.setenv("FASTCONV_TUNING", str(tmp_path / "from_environment.json"))
    assert tuning.target(None).name == "from_environment.json"
    bad = tmp_path / "bad.json"
    bad.write_text("[]")
    with pytest.raises(fc.FileFormatError, match="expected an object of objects"):
        tuning.target(str(bad))
    with pytest.raises(fc.FileFormatError, match="cannot be written"):
        tuning.store(tmp_path / "no" / "file.json", [])

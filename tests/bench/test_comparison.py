"""bench.peers on records that nobody measured: classes, means, resuming, pages."""

from __future__ import annotations

import csv
import doctest
import importlib
import json
from dataclasses import asdict

import numpy as np
import pytest

import fastconv as fc
from bench import performance
from bench.peers import __main__ as command
from bench.peers import comparison, pages, plan
from fastconv.bench import Row, resolve
from fastconv.errors import FileFormatError
from fastconv.problem import ConvProblem


@pytest.mark.parametrize("name", ["bench.tables", "bench.peers.comparison", "bench.peers.pages"])
def test_examples(name):
    assert doctest.testmod(importlib.import_module(name)).failed == 0


@pytest.mark.parametrize(
    ("problem", "expected"),
    [
        ("ic3ih224oc64kh3ph1", "3x3 stride 1, planes of 14 and more"),
        ("ic64ih14oc64kh3ph1", "3x3 stride 1, planes of 14 and more"),
        ("ic64ih14oc64kh3", "3x3, other"),  # 12 x 12 come out
        ("ic64ih56oc64kh3sh2ph1", "3x3, other"),
        ("ic64ih56oc64kh3ph2dh1", "3x3, other"),
        ("ic64ih56oc64kh1sh2", "1x1"),
        ("ic3ih224oc64kh7sh2ph3", "first layers (7x7/2, 11x11/4)"),
        ("ic3ih224oc64kh11sh4ph2", "first layers (7x7/2, 11x11/4)"),
        ("g64ic64ih14oc64kh3ph1", "depthwise"),
        ("g2ic64ih14oc64kh3ph1", "grouped"),
        ("ic64ih17oc64kh1kw7ph0pw3", "other"),
        ("ic64ih27oc192kh5ph2", "other"),
    ],
)
def test_classes(problem, expected):
    assert comparison.layer_class(ConvProblem.parse(problem)) == expected


def test_means():
    assert comparison.mean_of([]) is None
    mean = comparison.mean_of([0.8, 0.9, 1.25])
    assert mean is not None and (mean.least, mean.lost, mean.count) == (0.8, 1, 3)
    assert mean.mean == pytest.approx(0.9 ** (1 / 3))


def records(shape, direction, times, batch=1, threads=1):
    """What a job writes: contender -> least seconds, ours first."""
    problem = ConvProblem.parse(shape)
    return [
        {
            **{"shape": shape, "batch": batch, "threads": threads},
            **asdict(
                Row(
                    layer=shape,
                    problem=shape,
                    direction=direction,
                    count=1,
                    contender=name,
                    chosen=number == 0,
                    peer=number > 0,
                    error=1e-7,
                    min_s=seconds,
                    median_s=1.1 * seconds,
                    samples=5,
                    flops=problem.flops,
                    min_bytes=problem.min_bytes,
                    peak_flops=1e12,
                    bandwidth=1e10,
                )
            ),
        }
        for number, (name, seconds) in enumerate(times.items())
    ]


FIRST, SECOND = "mb1ic64ih56oc64oh56kh3ph1", "mb1ic64ih56oc256oh56kh1"


@pytest.fixture
def content():
    made = command.empty_content(command.Settings(["torch", "openvino"], 0.05, 5), {"onnxruntime": "not installed"})
    made["networks"] = {
        "one": [{"layer": "a", "shape": FIRST, "count": 2}],
        "two": [{"layer": "b", "shape": FIRST, "count": 1}, {"layer": "c", "shape": SECOND, "count": 3}],
    }
    for threads in (1, 2):
        made["rows"] += records(FIRST, "forward", {"fast": 1e-3, "torch": 3e-3, "openvino": 2e-3}, threads=threads)
        made["rows"] += records(SECOND, "forward", {"fast": 1e-3, "torch": 0.5e-3, "openvino": 2e-3}, threads=threads)
    made["rows"] += records(FIRST, "input_grad", {"slow": 1e-3, "torch": 1.5e-3})
    return made


def test_the_best_peer_decides(content):
    found = comparison.compare(content)
    assert len(found) == 5
    c = found[(SECOND, 1, 1, "forward")]
    assert (c.ours.contender, c.best_peer.contender, c.ratio) == ("fast", "torch", 0.5)
    assert [str(config) for config in comparison.configs(found.values())] == ["batch 1, 1 thread", "batch 1, 2 threads"]
    assert [c.ratio for c in pages.of_network(content, "one", found.values())] == [2.0, 2.0, 1.5]


def test_pages_say_what_is_lost_as_plainly_as_what_is_won(content):
    summary = pages.summary_page(content)
    assert "**Left out:** onnxruntime: not installed." in summary
    assert "| 1x1 | 0.50 (least 0.50; 1 of 1) | 0.50 (least 0.50; 1 of 1) |" in summary
    assert "| two | 1.00 (least 0.50; 1 of 2) |" in summary and "| one | 2.00 (least 2.00; 0 of 1) |" in summary
    assert "| torch | 1.22 (least 0.50; 1 of 2) |" in summary  # sqrt(3 * 0.5)
    page = pages.network_page(content, "two")
    first, second = [line for line in page.splitlines() if line.startswith(("| b |", "| c |"))][:2]
    assert first.endswith("| openvino | 2.00 |") and "| fast | 231.2 (23%) |" in first
    assert second.endswith("| torch | **0.50 lost** |")
    assert "## Gradient of the input, batch 1, 1 thread" in page and "Gradient of the weight" not in page


def test_the_performance_page(content):
    page = performance.page(content, "../bench/results/somewhere")
    assert "| two c | ic64ih56oc256oh56kh1 | **0.50 lost** (torch) | **0.50 lost** (torch) |" in page
    assert "| one a | ic64ih56oc64oh56kh3ph1 | 2.00 (openvino) | 2.00 (openvino) |" in page
    assert (
        "[two](../bench/results/somewhere/peers_two.md)" in page
        and "About 0.05 s, three turns and 5 samples at least" in page
    )


def test_pictures(content, tmp_path):
    pytest.importorskip("matplotlib")
    command.write_pages(content, tmp_path)
    names = {path.name for path in tmp_path.iterdir()}
    assert {"peers.md", "peers_one.md", "peers_forward.png", "roofline_forward_batch1_threads2.png"} <= names
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in tmp_path.glob("*.png"))


@pytest.fixture
def quick(monkeypatch, threads):
    """A runner that measures nothing; what it was asked for."""
    threads(1)
    asked = []

    def measure(job, probe, settings):
        asked.append(job.key)
        if len(asked) == quick_fails_at[0]:
            raise fc.AccuracyError("torch: wrong")
        shape, batch, count, direction = job.key
        return records(shape, direction, {"ours": 1e-3, "torch": 2e-3}, batch, count)

    quick_fails_at = [0]
    monkeypatch.setattr(command, "measure_job", measure)
    monkeypatch.setattr(command, "missing", lambda name: None)
    monkeypatch.setattr(command.pictures, "draw", lambda content, folder: None)
    return asked, quick_fails_at


def test_a_run_that_fails_is_resumed(quick, tmp_path, capsys):
    asked, fails_at = quick
    options = [str(tmp_path), "--networks", "alexnet", "--batches", "1", "--threads", "1"]
    options += ["--directions", "forward", "input_grad"]
    fails_at[0] = 4
    assert command.main(options) == 2
    assert "bench.peers: torch: wrong" in capsys.readouterr().err
    file = tmp_path / "peers.json"
    assert len(json.loads(file.read_text())["rows"]) == 2 * 3
    assert command.main([*options, "--resume"]) == 0
    assert len(asked) == 9 and asked[4:] == list(dict.fromkeys(asked))[3:]
    content = json.loads(file.read_text())
    assert len(content["rows"]) == 2 * 8 and (tmp_path / "peers_alexnet.md").exists()
    assert command.main([*options, "--resume"]) == 0 and len(asked) == 9
    assert command.main([*options, "--resume", "--seconds", "1"]) == 2
    assert "settings: expected" in capsys.readouterr().err


def test_what_cannot_be_resumed_says_so(tmp_path, content):
    file = tmp_path / "peers.json"
    for text in ("{", "[]", '{"schema": 1}'):
        file.write_text(text)
        with pytest.raises(FileFormatError, match="cannot be resumed"):
            command.resumed(file, content)


def test_the_plan_measures_a_shared_layer_once():
    jobs = plan.jobs(plan.NETWORKS, [1, 8], [1], ["forward", "weight_grad"])
    keys = [job.key for job in jobs]
    assert len(set(keys)) == len(keys)
    shapes = {entry["shape"] for entries in plan.contents(plan.NETWORKS).values() for entry in entries}
    assert {key[0] for key in keys if key[3] == "forward"} == shapes and len(shapes) > 270
    assert all(plan.has_gradients(job.problem) for job in jobs if job.direction == "weight_grad")


ZOO = {
    **{name: f"torchvision/{name}" for name in plan.NETWORKS[:-2] if name != "mobilenetv1"},
    "mobilenetv1": "timm/mobilenetv1_100",
}


@pytest.mark.data
@pytest.mark.parametrize("network", ZOO)
def test_suites_are_what_the_networks_run(data, network):
    """Layer for layer, against shapes recorded from the networks themselves."""
    counted: dict[ConvProblem, int] = {}
    with (data / "zoo" / "zoo_conv_layers.csv").open() as file:
        for row in csv.DictReader(file):
            if row["model"] == ZOO[network]:
                c, h, w, k, r, s, sh, sw, ph, pw, dh, dw, groups = (
                    int(row[key]) for key in (*"CHWKRS", "sh", "sw", "ph", "pw", "dh", "dw", "groups")
                )
                padding = ((ph, ph), (pw, pw))
                problem = ConvProblem(1, c, h, w, k, r, s, (sh, sw), padding, (dh, dw), groups)
                counted[problem] = counted.get(problem, 0) + 1
    found = {layer.problem: layer.count for layer in resolve(network) if isinstance(layer.problem, ConvProblem)}
    assert found == counted


def test_numbers_survive_the_file(tmp_path, content):
    file = tmp_path / "peers.json"
    command.write_json(content, file)
    assert json.loads(file.read_text()) == content
    assert np.isfinite([row["min_s"] for row in content["rows"]]).all()

"""Peers compute what we compute; what is missing or impossible is one clear error."""

from __future__ import annotations

import numpy as np
import pytest

import fastconv as fc
from fastconv.bench import measure, peers, probe, resolve
from fastconv.bench.work import Work, call_of, float64_result, random_work, relative_error
from fastconv.problem import parse_problem

PROBLEMS = [
    "mb2ic6ih9iw11oc8oh5ow6kh3sh2ph1",  # stride 2
    "g4mb1ic8ih7oc12oh7kh3ph1",  # groups
    "mb1ic3ih10oc5oh5kh3sh2ph0",  # padding behind only
]


def installed(peer):
    if reason := peers.missing(peer):
        pytest.skip(reason)


def values(y):
    return y if isinstance(y, np.ndarray) else y.double().numpy()


def assert_same(peer, work, modes):
    calls = peers.peer_calls(peer, work)
    assert set(calls) == set(modes)
    exact = float64_result(work)
    assert relative_error(call_of(work)(), exact) < 1e-5
    for name, call in calls.items():
        call()
        y = values(call())  # a second call gives the same: operands are not written to
        assert y.shape == exact.shape and relative_error(y, exact) < 1e-5, name


MODES = {
    "torch": ("torch channels-last", "torch contiguous", "torch prepacked"),
    "inductor": ("torch inductor",),
    "onnxruntime": ("onnxruntime",),
    "openvino": ("openvino contiguous", "openvino channels-last"),
}


@pytest.mark.parametrize("problem", PROBLEMS)
@pytest.mark.parametrize("peer", ["torch", "onnxruntime", "openvino"])
def test_a_peer_computes_what_ours_computes(peer, problem, threads):
    installed(peer)
    threads(2)
    assert_same(peer, random_work(parse_problem(problem)), MODES[peer])


def test_the_compiled_mode_computes_it_too(threads):
    installed("inductor")
    threads(1)
    assert_same("inductor", random_work(parse_problem(PROBLEMS[0])), MODES["inductor"])


@pytest.mark.parametrize("peer", ["torch", "onnxruntime", "openvino"])
def test_linear_layers(peer, threads):
    installed(peer)
    threads(1)
    assert_same(peer, random_work(parse_problem("mb3ic20oc7")), (peer,))


@pytest.mark.parametrize("direction", ["input_grad", "weight_grad"])
@pytest.mark.parametrize("problem", PROBLEMS)
def test_gradients(problem, direction, threads):
    installed("torch")
    threads(2)
    assert_same("torch", random_work(parse_problem(problem), direction), MODES["torch"][:2])


def test_a_direction_reads_its_operands_only():
    problem = parse_problem(PROBLEMS[0])
    present = {
        direction: [name for name in ("x", "weight", "bias", "grad") if getattr(work, name) is not None]
        for direction in ("forward", "input_grad", "weight_grad")
        if (work := random_work(problem, direction))
    }
    assert present == {
        "forward": ["x", "weight", "bias"],
        "input_grad": ["weight", "grad"],
        "weight_grad": ["x", "grad"],
    }
    for direction, refused in (("sideways", problem), ("input_grad", parse_problem("mb3ic20oc7"))):
        with pytest.raises(fc.AlgorithmError, match="direction: expected"):
            random_work(refused, direction)


def test_a_peer_that_is_missing_or_unknown(monkeypatch):
    with pytest.raises(fc.ModelError, match="peer: expected one of torch, inductor, onnxruntime, openvino, got 'blas'"):
        peers.missing("blas")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(fc.ModelError, match=r"peer openvino: onnx and openvino not installed \(pip install"):
        peers.peer_calls("openvino", random_work(parse_problem(PROBLEMS[0])))


@pytest.mark.parametrize("peer", ["inductor", "onnxruntime", "openvino"])
def test_a_dtype_that_a_peer_does_not_take(peer):
    installed(peer)
    with pytest.raises(fc.DTypeError, match=f"peer {peer}: expected float32"):
        peers.peer_calls(peer, random_work(parse_problem(PROBLEMS[0], "float16")))


def test_a_wrong_result_is_not_timed(monkeypatch, threads):
    threads(1)

    def wrong(peer: str, work: Work):
        return {peer: lambda: np.full(work.problem.y_shape, np.nan, np.float32)}

    monkeypatch.setattr(measure, "peer_calls", wrong)
    (layer,) = resolve(PROBLEMS[0])
    with pytest.raises(
        fc.AccuracyError, match=r"wrong: expected a relative error of at most 0.0001 on forward of mb2ic6"
    ):
        measure.measure_layer(layer, probe.Probe(), peers=["wrong"], seconds=0.001, tolerance=1e-4)


def test_running_threads_are_seen():
    import threading

    go_on = True

    def spin():
        while go_on:
            pass

    assert probe.other_running_threads() >= 0
    thread = threading.Thread(target=spin)
    thread.start()
    try:
        assert any(probe.other_running_threads() for _ in range(10_000))
    finally:
        go_on = False
        thread.join()

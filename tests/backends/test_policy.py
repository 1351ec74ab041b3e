"""The policies of the choice: allow_winograd and batch_invariant."""

from __future__ import annotations

import asyncio
import json
import threading
from dataclasses import replace

import numpy as np
import pytest

import fastconv as fc
from fastconv.backends import policy, registry
from fastconv.problem import ConvProblem, parse_problem

DENSE = ConvProblem.parse("mb1ic64ih28oc64oh28kh3ph1")
BATCH = 64


def chosen(problem, op="conv2d"):
    return registry.choose(op, "cpu", problem).kernel.algo


def operands(problem, seed=0):
    generator = np.random.default_rng(seed)
    x = generator.standard_normal(problem.x_shape, dtype=np.float32)
    return x, generator.standard_normal(problem.weight_shape, dtype=np.float32), {"padding": problem.padding}


@pytest.fixture
def batch_dependent(isa):
    """Problems, batch 1, whose choice on this instruction set is another one for a batch of 64: found by cost."""
    extents = ((c, k, h) for c in (64, 128, 512) for k in (64, 128, 512) for h in (3, 4, 5, 6, 7, 9))
    problems = [ConvProblem.parse(f"mb1ic{c}ih{h}oc{k}oh{h}kh3ph1") for c, k, h in extents]
    found = [problem for problem in problems if chosen(problem) != chosen(replace(problem, n=BATCH))]
    assert found
    return found[:: max(len(found) // 3, 1)][:3]


@pytest.fixture
def tuned(tmp_path):
    """Puts entries {problem: algorithm} of conv2d into force as a tuning file does."""

    def load(entries):
        path = tmp_path / "tuning.json"
        keys = {registry.tuning_key("conv2d", "cpu", problem): algo for problem, algo in entries.items()}
        path.write_text(json.dumps({registry.machine_key(): keys}))
        registry.load_tuning(path)

    yield load
    registry.load_tuning(None)


def test_without_winograd_the_choice_is_a_direct_method():
    for op in ("conv2d", "conv2d_input_grad"):
        assert chosen(DENSE, op) == "winograd"
        with fc.allow_winograd(False):
            assert chosen(DENSE, op) == "implicit_gemm"
        assert chosen(DENSE, op) == "winograd"


def test_it_acts_when_called_and_in_every_thread():
    seen = []
    try:
        fc.allow_winograd(False)
        worker = threading.Thread(target=lambda: seen.append(chosen(DENSE)))
        worker.start()
        worker.join()
    finally:
        fc.allow_winograd(True)
    assert seen == ["implicit_gemm"] and policy.current().winograd


SWITCHES = {
    fc.allow_winograd: (False, lambda: not policy.current().winograd),
    fc.batch_invariant: (True, lambda: policy.current().batch_invariant),
}


def elsewhere(function):
    """What a function returns in another thread."""
    results = []
    worker = threading.Thread(target=lambda: results.append(function()))
    worker.start()
    worker.join()
    return results[0]


@pytest.mark.parametrize("switch", SWITCHES)
def test_a_context_is_of_this_thread_and_a_call_of_the_process(switch):
    flag, in_force = SWITCHES[switch]
    with switch(flag):
        assert in_force() and not elsewhere(in_force)
        with switch(not flag):
            assert not in_force()
        assert in_force()
    assert not in_force()
    try:
        switch(flag)
        assert in_force() and elsewhere(in_force)
        with switch(not flag):
            assert not in_force() and elsewhere(in_force)
        assert in_force() and elsewhere(in_force)
    finally:
        switch(not flag)
    assert not in_force() and not elsewhere(in_force)


@pytest.mark.parametrize("switch", SWITCHES)
def test_contexts_that_begin_and_end_in_any_order_leave_the_default(switch):
    flag, in_force = SWITCHES[switch]
    contexts = [switch(flag), switch(not flag), switch(flag)]  # three threads, each between its call and its with
    for context in contexts:
        context.__enter__()
    assert in_force() and not elsewhere(in_force)
    for context in reversed(contexts):
        context.__exit__(None, None, None)
    assert not in_force() and not elsewhere(in_force)
    with (context := switch(flag)), context:  # the same one twice
        assert in_force()
    assert not in_force()


@pytest.mark.parametrize("switch", SWITCHES)
def test_many_threads_and_tasks_each_see_their_own(switch):
    flag, in_force = SWITCHES[switch]
    wrong = []

    def work(own):
        for _ in range(300):
            with switch(own):
                if in_force() != (own == flag):
                    wrong.append(own)

    workers = [threading.Thread(target=work, args=(own,)) for own in (True, False) * 3]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not wrong and not in_force()

    async def task(own):
        with switch(own):
            for _ in range(5):
                await asyncio.sleep(0)
                assert in_force() == (own == flag)

    async def both():
        await asyncio.gather(task(True), task(False))

    asyncio.run(both())
    assert not in_force()


def test_contexts_nest_and_end_with_errors():
    with pytest.raises(ZeroDivisionError), fc.allow_winograd(False):
        with fc.allow_winograd(True):
            assert chosen(DENSE) == "winograd"
        assert not policy.current().winograd
        raise ZeroDivisionError
    with pytest.raises(ZeroDivisionError), fc.batch_invariant():
        with fc.batch_invariant():
            pass
        assert policy.current().batch_invariant
        raise ZeroDivisionError
    assert policy.current() == policy.Policy(winograd=True, batch_invariant=False)


@pytest.mark.parametrize("flag", [0, None, "no"])
def test_a_flag_is_true_or_false(flag):
    for switch in SWITCHES:
        with pytest.raises(fc.AlgorithmError, match="flag: expected True or False, got"):
            switch(flag)
    assert policy.current().winograd


def test_winograd_asked_for_runs_and_explain_says_what_is_in_force():
    x, w, arguments = operands(DENSE)
    expected = fc.ops.conv2d(x, w, **arguments, algo="winograd")
    with fc.allow_winograd(False):
        np.testing.assert_array_equal(fc.ops.conv2d(x, w, **arguments, algo="winograd"), expected)
        assert "winograd" in fc.ops.algorithms("conv2d", x, w, **arguments)
        explanation = fc.ops.explain("conv2d", x, w, **arguments)
        assert explanation.choice == "implicit_gemm"
        refused = {candidate.algo: candidate.refusal for candidate in explanation.candidates}
        assert refused["winograd"] == "allow_winograd(False) is in force" and refused["implicit_gemm"] is None
        assert "winograd       refuses: allow_winograd(False) is in force" in str(explanation)
        asked = fc.ops.explain("conv2d", x, w, **arguments, algo="winograd")
        assert asked.choice == "winograd" and asked.candidates[0].refusal is None
        grouped = fc.ops.explain("conv2d", x, w[:, :32], **arguments, groups=2)  # a reason of its own comes first
        assert grouped.candidates[0].refusal == "takes one group"


def test_a_kernel_of_ones_own_may_be_left_out_too():
    registry.register(
        registry.Kernel("conv2d", "cpu", "fourier", print, ("float32",), cost=lambda problem: -1.0, direct=False)
    )
    try:
        assert chosen(DENSE) == "fourier"
        with fc.allow_winograd(False):
            assert chosen(DENSE) == "implicit_gemm"
    finally:
        registry.unregister("conv2d", "cpu", "fourier")


def test_the_choice_looks_at_the_batch_unless_told_not_to(batch_dependent):
    for problem in batch_dependent:
        batch = replace(problem, n=BATCH)
        assert chosen(problem) != chosen(batch)
        with fc.batch_invariant():
            assert chosen(problem) == chosen(batch) == chosen(replace(problem, n=3))
            x, w, arguments = operands(batch)
            explanation = fc.ops.explain("conv2d", x, w, **arguments)
            assert (explanation.choice, explanation.reason) == (chosen(batch), "lowest predicted cost for one image")
            cheapest = min(explanation.candidates, key=lambda candidate: candidate.cost)
            assert cheapest.algo == explanation.choice
        assert chosen(problem) != chosen(batch)  # choices are remembered, each under its policy


def test_an_image_has_the_same_bits_alone_and_in_a_batch(batch_dependent):
    for problem in batch_dependent:
        x, w, arguments = operands(replace(problem, n=BATCH))
        weight = fc.ops.prepare_weight(w)
        with fc.batch_invariant():
            together = fc.ops.conv2d(x, weight, **arguments)
            for i in range(BATCH):
                np.testing.assert_array_equal(fc.ops.conv2d(x[i : i + 1], weight, **arguments)[0], together[i])
        # Two algorithms round differently: without the context the promise is each algorithm's alone.
        assert not np.array_equal(fc.ops.conv2d(x, weight, **arguments), together)


def test_batch_invariance_is_of_this_thread(batch_dependent):
    batch = replace(batch_dependent[0], n=BATCH)
    outside, seen = chosen(batch), []
    with fc.batch_invariant():
        worker = threading.Thread(target=lambda: seen.append(chosen(batch)))
        worker.start()
        worker.join()
        assert chosen(batch) != outside
    assert seen == [outside]


def test_tuning_files_obey_the_policies(tuned):
    batch = replace(DENSE, n=BATCH)
    tuned({DENSE: "im2col_gemm", batch: "reference"})
    assert [chosen(problem) for problem in (DENSE, batch, replace(DENSE, n=2))] == [
        "im2col_gemm",
        "reference",
        "winograd",
    ]
    with fc.batch_invariant():
        assert {chosen(problem) for problem in (DENSE, batch, replace(DENSE, n=2))} == {"im2col_gemm"}
    tuned({DENSE: "winograd"})
    with fc.allow_winograd(False):
        assert chosen(DENSE) == "implicit_gemm"


@pytest.mark.parametrize("text", ["mb8ic3ih9oc4kh3", "mb8ic3oc4"])
def test_one_image_of_a_problem(text):
    problem = parse_problem(text)
    assert str(problem.one_image) == str(parse_problem(text.replace("mb8", "mb1")))
    assert problem.one_image.dtype == problem.dtype

"""The promises of determinism: any thread count, any batch size, any run gives the same bits."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import fastconv as fc
from fastconv.nn.module import numpy_dtype
from fastconv.problem import ConvProblem
from tests.conv_check import ALGORITHMS, DTYPES, GRADIENTS, algorithms, takes
from tests.shapes import awkward

BATCH = 5
WORTH_A_THREAD = 1 << 18  # csrc/cpu/runtime/thread_pool.h: smaller problems run on one thread whatever is asked
PROBLEMS = [p for p in awkward() if p.macs * BATCH > WORTH_A_THREAD]
assert len(PROBLEMS) > 8


def operands(problem, batch, dtype):
    generator = np.random.default_rng(7)
    x = generator.standard_normal((batch, problem.c, problem.h, problem.w)).astype(numpy_dtype(dtype))
    w = generator.standard_normal(problem.weight_shape).astype(numpy_dtype(dtype))
    return x, w, (None, problem.stride, problem.padding, problem.dilation, problem.groups)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("problem", "algo"), [(p, a) for p in PROBLEMS for a in ALGORITHMS if takes(a, p)], ids=str)
def test_threads_and_batch_do_not_change_bits(problem, algo, dtype, isa, threads):
    x, w, arguments = operands(problem, BATCH, dtype)
    threads(1)
    expected = fc.ops.conv2d(x, w, *arguments, algo=algo)
    for count in (2, 3, 8):
        threads(count)
        np.testing.assert_array_equal(fc.ops.conv2d(x, w, *arguments, algo=algo), expected)
    for i in range(BATCH):
        np.testing.assert_array_equal(fc.ops.conv2d(x[i : i + 1], w, *arguments, algo=algo)[0], expected[i])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("problem", "op", "algo"),
    [(p, op, a) for p in PROBLEMS for op in GRADIENTS for a in algorithms(op) if takes(a, p, op)],
    ids=str,
)
def test_threads_do_not_change_the_bits_of_gradients(problem, op, algo, dtype, isa, threads):
    x, w, (_, *arguments) = operands(problem, BATCH, dtype)
    grad = np.random.default_rng(8).standard_normal((BATCH, *problem.y_shape[1:])).astype(x.dtype)
    results = []
    for count in (1, 2, 3, 8):
        threads(count)
        if op == "conv2d_input_grad":
            results.append(fc.ops.conv2d_input_grad(grad, w, x.shape, *arguments, algo=algo))
        else:
            results.append(fc.ops.conv2d_weight_grad(grad, x, w.shape, *arguments, algo=algo))
    for result in results[1:]:
        np.testing.assert_array_equal(result, results[0])
    for i in range(BATCH) if op == "conv2d_input_grad" else ():
        alone = fc.ops.conv2d_input_grad(grad[i : i + 1], w, (1, *x.shape[1:]), *arguments, algo=algo)
        np.testing.assert_array_equal(alone[0], results[0][i])


@pytest.mark.parametrize("text", ["g40ic40ih170oc40oh170kh3ph1", "g40ic40ih230oc40oh115kh3sh2ph1"])
def test_a_batch_that_comes_from_memory_is_its_images(text, isa, threads):
    """csrc/cpu/conv/gather.h reads ahead where images and results together exceed 16 MiB; a single one does not here."""
    problem = ConvProblem.parse(text)
    x, w, arguments = operands(problem, 2, "float32")
    grad = np.random.default_rng(8).standard_normal((2, *problem.y_shape[1:])).astype(x.dtype)
    assert 4 * (x.size + grad.size) > 16 << 20 >= 2 * (x.size + grad.size)
    threads(2)
    y = fc.ops.conv2d(x, w, *arguments, algo="depthwise")
    dx = fc.ops.conv2d_input_grad(grad, w, x.shape, *arguments[1:], algo="depthwise")
    for i in range(2):
        one = slice(i, i + 1)
        np.testing.assert_array_equal(fc.ops.conv2d(x[one], w, *arguments, algo="depthwise")[0], y[i])
        alone = fc.ops.conv2d_input_grad(grad[one], w, x[one].shape, *arguments[1:], algo="depthwise")
        np.testing.assert_array_equal(alone[0], dx[i])


@pytest.mark.parametrize("dtype", DTYPES)
def test_linear_rows_do_not_depend_on_the_batch(dtype, isa, threads):
    generator = np.random.default_rng(3)
    x = generator.standard_normal((23, 301)).astype(numpy_dtype(dtype))
    w = generator.standard_normal((237, 301)).astype(numpy_dtype(dtype))
    threads(1)
    expected = fc.ops.linear(x, w)
    threads(4)
    np.testing.assert_array_equal(fc.ops.linear(x, w), expected)
    for i in range(23):
        np.testing.assert_array_equal(fc.ops.linear(x[i], w), expected[i])


def test_calls_from_many_python_threads():
    x, w, arguments = operands(PROBLEMS[1], 8, "float32")
    expected = fc.ops.conv2d(x, w, *arguments)
    results = [None] * 8

    def work(i):
        for _ in range(20):
            results[i] = fc.ops.conv2d(x, w, *arguments)

    workers = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for result in results:
        np.testing.assert_array_equal(result, expected)


def test_a_prepared_weight_is_packed_once_by_whoever_comes_first():
    """Many threads make the first call together: none may see a half-filled form of the weight."""
    x = np.random.default_rng(0).standard_normal((1, 256, 3, 3)).astype(np.float32)
    w = np.random.default_rng(1).standard_normal((256, 256, 3, 3)).astype(np.float32)
    expected = fc.ops.conv2d(x, w)
    for _ in range(10):
        prepared = fc.ops.prepare_weight(w)
        with ThreadPoolExecutor(4) as pool:
            results = list(pool.map(lambda _, p=prepared: fc.ops.conv2d(x, p), range(4)))
        for result in results:
            np.testing.assert_array_equal(result, expected)


def test_more_threads_than_the_system_gives():
    """A refused thread costs speed, not the result. Stacks of 8 GiB in 20 GiB of addresses: two threads fit."""
    if "asan" in os.environ.get("LD_PRELOAD", ""):
        pytest.skip("AddressSanitizer itself needs terabytes of addresses")
    resource = pytest.importorskip("resource")

    def limit():
        resource.setrlimit(resource.RLIMIT_STACK, (8 << 30, resource.getrlimit(resource.RLIMIT_STACK)[1]))
        resource.setrlimit(resource.RLIMIT_AS, (20 << 30, 20 << 30))

    code = (
        "import numpy as np, fastconv as fc; x = np.ones((4, 8, 32, 32), np.float32); "
        "w = np.ones((16, 8, 3, 3), np.float32); fc.set_num_threads(1); y = fc.ops.conv2d(x, w); "
        "fc.set_num_threads(64); print(all((fc.ops.conv2d(x, w) == y).all() for _ in range(3)))"
    )
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-c", code]
    child = subprocess.run(command, check=False, capture_output=True, text=True, preexec_fn=limit, env=environment)
    assert child.stdout.strip() == "True", child.stderr[-300:]


def test_the_callers_floating_point_state_changes_nothing(threads):
    """Kernels run in the default state on every thread, whatever another library has set on this one."""
    torch = pytest.importorskip("torch")
    x = np.full(1 << 20, -1e-38, np.float32)
    threads(3)
    expected = fc.ops.leaky_relu(x)
    torch.set_flush_denormal(True)
    try:
        found = fc.ops.leaky_relu(x)
    finally:
        torch.set_flush_denormal(False)
    np.testing.assert_array_equal(found.view(np.uint32), expected.view(np.uint32))
    assert len(np.unique(expected.view(np.uint32))) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_has_its_own_pool(threads):
    threads(2)
    x, w, arguments = operands(PROBLEMS[1], 8, "float32")
    expected = fc.ops.conv2d(x, w, *arguments)
    child = os.fork()
    if child == 0:
        same = np.array_equal(fc.ops.conv2d(x, w, *arguments), expected)
        os._exit(0 if same and fc.num_threads() == 2 else 1)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0

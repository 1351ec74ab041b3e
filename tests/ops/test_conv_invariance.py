"""The promises of determinism: any thread count, any batch size, any run gives the same bits."""

from __future__ import annotations

import os
import threading

import numpy as np
import pytest

import fastconv as fc
from fastconv.nn.module import numpy_dtype
from tests.conv_check import ALGORITHMS, DTYPES
from tests.shapes import awkward

PROBLEMS = [p for p in awkward() if p.macs > 1000]


def operands(problem, batch, dtype):
    generator = np.random.default_rng(7)
    x = generator.standard_normal((batch, problem.c, problem.h, problem.w)).astype(numpy_dtype(dtype))
    w = generator.standard_normal(problem.weight_shape).astype(numpy_dtype(dtype))
    return x, w, (None, problem.stride, problem.padding, problem.dilation, problem.groups)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("algo", ALGORITHMS)
@pytest.mark.parametrize("problem", PROBLEMS, ids=str)
def test_threads_and_batch_do_not_change_bits(problem, algo, dtype, isa, threads):
    x, w, arguments = operands(problem, 5, dtype)
    threads(1)
    expected = fc.ops.conv2d(x, w, *arguments, algo=algo)
    for count in (2, 3, 8):
        threads(count)
        np.testing.assert_array_equal(fc.ops.conv2d(x, w, *arguments, algo=algo), expected)
    for i in range(5):
        np.testing.assert_array_equal(fc.ops.conv2d(x[i : i + 1], w, *arguments, algo=algo)[0], expected[i])


@pytest.mark.parametrize("dtype", DTYPES)
def test_linear_rows_do_not_depend_on_the_batch(dtype, isa, threads):
    generator = np.random.default_rng(3)
    x = generator.standard_normal((23, 301)).astype(numpy_dtype(dtype))
    w = generator.standard_normal((37, 301)).astype(numpy_dtype(dtype))
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


def test_thread_count_may_change_while_others_compute(threads):
    x, w, arguments = operands(PROBLEMS[1], 8, "float32")
    expected = fc.ops.conv2d(x, w, *arguments)
    stop = threading.Event()

    def change():
        count = 0
        while not stop.is_set():
            count += 1
            fc.set_num_threads(1 + count % 5)

    changer = threading.Thread(target=change)
    changer.start()
    try:
        for _ in range(200):
            np.testing.assert_array_equal(fc.ops.conv2d(x, w, *arguments), expected)
    finally:
        stop.set()
        changer.join()


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

"""Steady calls of conv2d: the same bits and the same errors as the long way, and nothing remembered for too long."""

from __future__ import annotations

import threading
from dataclasses import replace

import ml_dtypes
import numpy as np
import pytest

import fastconv as fc
from fastconv.backends import cpu, registry
from fastconv.backends.cpu_conv import Forward

GENERATOR = np.random.default_rng(3)
DTYPES = [np.float32, np.float64, np.float16, ml_dtypes.bfloat16]


def integers(*shape, dtype=np.float32):
    return GENERATOR.integers(-4, 5, shape).astype(dtype)


def images(*shape, dtype=np.float32):
    return fc.ops.channels_last(integers(*shape, dtype=dtype))


@pytest.fixture
def long_ways(monkeypatch):
    """The algorithms of the calls that went the long way."""
    gone = []
    run = Forward.__call__

    def spy(self, *arguments):
        gone.append(self.algo)
        run(self, *arguments)

    monkeypatch.setattr(Forward, "__call__", spy)
    return gone


def pair_of(x, weight, *arguments, **named):
    """The result of a steady call, after a first one that went the long way."""
    prepared = fc.ops.prepare_weight(weight)
    first = fc.ops.conv2d(x, prepared, *arguments, **named)
    again = fc.ops.conv2d(x, prepared, *arguments, **named)
    assert again.strides == first.strides and again.dtype == first.dtype and again is not first
    np.testing.assert_array_equal(again, first)
    return again


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("activation", [None, "relu", "silu"])
def test_a_steady_call_gives_the_same_bits(isa, dtype, activation, long_ways):
    bias = integers(6, dtype=np.float64 if dtype == np.float64 else np.float32)
    cases = [((2, 5, 9, 8), 1), ((1, 5, 1, 1), 1), ((3, 1, 6, 7), 3), ((2, 7, 1, 5), (1, 3)), ((1, 4, 40, 40), 3)]
    for shape, kernel in cases:
        r, s = (kernel, kernel) if isinstance(kernel, int) else kernel
        x, weight = images(*shape, dtype=dtype), integers(6, shape[1], r, s, dtype=dtype)
        padding = (r // 2, s // 2)
        residual = images(shape[0], 6, *shape[2:], dtype=dtype)
        before = len(long_ways)
        for operands in ({}, {"bias": bias}, {"bias": bias, "residual": residual}):
            y = pair_of(x, weight, padding=padding, activation=activation, **operands)
            expected = fc.ops.conv2d(x, weight, padding=padding, activation=activation, **operands)
            np.testing.assert_array_equal(y, expected)
        assert len(long_ways) == before + 6, "each second call of three was steady"


def test_a_result_is_new_memory_at_a_cache_line_and_writable():
    x, weight = images(1, 8, 16, 16), fc.ops.prepare_weight(integers(16, 8, 1, 1))
    fc.ops.conv2d(x, weight)
    first, second = fc.ops.conv2d(x, weight), fc.ops.conv2d(x, weight)
    assert not np.may_share_memory(first, second) and first.flags.writeable
    assert first.ctypes.data % 64 == second.ctypes.data % 64 == 0
    kept = first.copy()
    del second
    for _ in range(8):
        fc.ops.conv2d(x + 1, weight)
    np.testing.assert_array_equal(first, kept)


def test_out_is_written_where_that_is_safe(long_ways):
    x, weight, bias = images(2, 4, 5, 5), fc.ops.prepare_weight(integers(4, 4, 3, 3)), integers(4)
    exact = fc.ops.conv2d(x, weight, bias, padding=1)
    out = fc.ops.channels_last(np.zeros_like(exact))
    assert fc.ops.conv2d(x, weight, bias, padding=1, out=out) is out
    np.testing.assert_array_equal(out, exact)
    residual = exact.copy()
    target = fc.ops.channels_last(residual.copy())
    assert fc.ops.conv2d(x, weight, bias, padding=1, residual=target, out=target) is target
    np.testing.assert_array_equal(target, exact + residual)
    assert len(long_ways) == 1

    own = x.copy(order="K")
    assert fc.ops.conv2d(own, weight, bias, padding=1, out=own) is own, "reads what it writes"
    np.testing.assert_array_equal(own, exact)
    contiguous = np.zeros(exact.shape, np.float32)
    fc.ops.conv2d(x, weight, bias, padding=1, out=contiguous)
    np.testing.assert_array_equal(contiguous, exact)
    assert len(long_ways) == 3
    memory = fc.ops.channels_last(np.zeros((3, 4, 5, 5), np.float32))
    memory[:2] = residual  # a residual that lies half in out
    fc.ops.conv2d(x, weight, bias, padding=1, residual=memory[:2], out=memory[1:])
    np.testing.assert_array_equal(memory[1:], exact + residual)
    out.flags.writeable = False
    with pytest.raises(fc.DTypeError, match="out: expected a writable array"):
        fc.ops.conv2d(x, weight, bias, padding=1, out=out)


def test_errors_are_those_of_the_long_way():
    x, weight, bias = images(2, 4, 5, 5), fc.ops.prepare_weight(integers(4, 4, 3, 3)), integers(4)
    fc.ops.conv2d(x, weight, bias)
    cases = [
        ({"bias": integers(5)}, "bias: expected shape"),
        ({"bias": bias.astype(np.float64)}, "bias: expected the input's dtype"),
        ({"residual": x}, "residual: expected the result's shape"),
        ({"out": x}, "out: expected shape"),
        ({"stride": True}, "stride: expected an int"),
        ({"stride": 1.0}, "stride: expected an int"),
        ({"groups": True}, "groups: expected a positive int"),
        ({"padding": 0.0}, "padding: expected an int"),
        ({"padding": False}, "padding: expected an int"),
        ({"activation": "tanh"}, "activation: expected one of"),
        ({"algo": "none"}, "algo: no conv2d kernel"),
    ]
    for arguments, message in cases:
        with pytest.raises(fc.FastconvError, match=message):
            fc.ops.conv2d(x, weight, **{"bias": bias, **arguments})
    with pytest.raises(fc.DTypeError, match="weight: expected the input's dtype"):
        fc.ops.conv2d(x.astype(np.float64), weight, bias)
    swapped = x.astype(x.dtype.newbyteorder(">"))
    with pytest.raises(fc.DTypeError, match="native byte order"):
        fc.ops.conv2d(swapped, weight, bias)


def test_arrays_that_are_not_plain_go_the_long_way(long_ways):
    x, weight, bias = images(2, 4, 5, 6), fc.ops.prepare_weight(integers(4, 4, 1, 1)), integers(4)
    exact = fc.ops.conv2d(x, weight, bias)
    contiguous = np.ascontiguousarray(x)
    assert fc.ops.conv2d(contiguous, weight, bias).flags.c_contiguous
    shifted = np.zeros(x.nbytes + 1, np.uint8)[1:].view(np.float32).reshape(2, 5, 6, 4).transpose(0, 3, 1, 2)
    shifted[...] = x
    every_second = np.zeros(8, np.float32)
    every_second[::2] = bias
    for arguments in [(x[:, :, ::-1][:, :, ::-1][:, ::-1][:, ::-1], bias), (shifted, bias), (x, every_second[::2])]:
        np.testing.assert_array_equal(fc.ops.conv2d(arguments[0], weight, arguments[1]), exact)
    assert len(long_ways) == 4, "but the first, whose strides are those of x"
    subclass = x.view(np.recarray)
    assert type(fc.ops.conv2d(subclass, weight, bias)) is np.ndarray
    with pytest.raises(fc.DTypeError, match="bias: expected a NumPy"):
        fc.ops.conv2d(x, weight, [0.0] * 4)


def test_shapes_and_arguments_have_launches_of_their_own(long_ways):
    weight = fc.ops.prepare_weight(integers(4, 4, 3, 3))
    cases = [(images(n, 4, h, 6), stride, pad) for n in (1, 2) for h in (5, 6) for stride in (1, 2) for pad in (0, 1)]
    expected = [fc.ops.conv2d(x, weight, stride=stride, padding=pad) for x, stride, pad in cases]
    for _ in range(2):
        for (x, stride, pad), y in zip(cases, expected, strict=True):
            np.testing.assert_array_equal(fc.ops.conv2d(x, weight, stride=stride, padding=pad), y)
    assert len(long_ways) == len(cases) == 16
    for height in range(7, 40):  # more than are kept
        x = images(1, 4, height, 6)
        np.testing.assert_array_equal(fc.ops.conv2d(x, weight), fc.ops.conv2d(x, weight))
    (x, stride, pad), y = cases[0], expected[0]
    np.testing.assert_array_equal(fc.ops.conv2d(x, weight, stride=stride, padding=pad), y)


def test_mutable_arguments_are_read_each_time():
    x, weight = images(1, 4, 9, 9), fc.ops.prepare_weight(integers(4, 4, 3, 3))
    stride = [1, 1]
    for _ in range(2):
        assert fc.ops.conv2d(x, weight, stride=stride).shape == (1, 4, 7, 7)
    stride[:] = [2, 3]
    assert fc.ops.conv2d(x, weight, stride=stride).shape == (1, 4, 4, 3)


def test_policies_registry_and_instruction_sets_are_honoured(long_ways):
    x, weight = images(1, 64, 28, 28), fc.ops.prepare_weight(integers(64, 64, 3, 3))

    def call():
        return fc.ops.conv2d(x, weight, padding=1)

    call(), call()
    assert long_ways == ["winograd"]
    for _ in range(2):
        with fc.allow_winograd(False):
            call(), call()
        call()
    assert long_ways == ["winograd", "implicit_gemm"]
    with fc.batch_invariant():
        call(), call()
    assert len(long_ways) == 3

    registered = []
    own = registry.Kernel(
        "conv2d", "cpu", "mine", lambda *arguments: registered.append(arguments[5].fill(7)), cost=lambda problem: -1.0
    )
    registry.register(own)
    try:
        for _ in range(2):
            assert (call() == 7).all()
    finally:
        registry.unregister("conv2d", "cpu", "mine")
    assert len(registered) == 2
    winograd = next(kernel for kernel in registry.kernels("conv2d", "cpu") if kernel.algo == "winograd")
    order = list(registry._table)
    registry.register(replace(winograd, run=own.run))  # of the same name, and yet another's
    try:
        assert (call() == 7).all() and (call() == 7).all()
    finally:
        registry._table[:] = order
        registry.forget_choices()
    assert len(registered) == 4 and long_ways[3:] == []
    for name in cpu.supported_isas():
        with cpu.force_isa(name):
            before = call()
            np.testing.assert_array_equal(call(), before)
    call()
    assert len(long_ways) == 4 + len(cpu.supported_isas())


def test_the_number_of_threads_may_change_between_steady_calls(threads):
    x, weight = images(2, 32, 28, 28), fc.ops.prepare_weight(integers(64, 32, 3, 3))
    threads(1)
    expected = fc.ops.conv2d(x, weight, padding=1)
    for count in (1, 2, 5, 1):
        threads(count)
        for _ in range(2):
            np.testing.assert_array_equal(fc.ops.conv2d(x, weight, padding=1), expected)


def test_another_device_is_not_the_cpus_launch(monkeypatch):
    from fastconv.ops import conv

    x, weight = images(1, 4, 5, 5), fc.ops.prepare_weight(integers(4, 4, 1, 1))
    fc.ops.conv2d(x, weight)
    if "simt" not in fc.devices():
        pytest.skip("no C++ compiler")
    asked = []
    find = conv.find_kernel
    monkeypatch.setattr(conv, "find_kernel", lambda *arguments: asked.append(1) or find(*arguments))
    fc.ops.conv2d(x, weight)
    assert not asked
    with fc.device("simt"):
        np.testing.assert_array_equal(fc.ops.conv2d(x, weight), fc.ops.conv2d(x, weight))
    assert len(asked) == 2


def test_threads_share_a_weight_while_its_launches_come_and_go():
    weight = fc.ops.prepare_weight(integers(8, 8, 3, 3))
    cases = [images(1, 8, h, 9) for h in range(3, 27)]
    exact = [fc.ops.conv2d(x, weight.array) for x in cases]
    wrong = []

    def work(seed):
        for i in np.random.default_rng(seed).integers(0, len(cases), 400):
            if not np.array_equal(fc.ops.conv2d(cases[i], weight), exact[i]):
                wrong.append(i)

    workers = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not wrong

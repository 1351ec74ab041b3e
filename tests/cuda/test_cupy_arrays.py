"""Operations on CuPy arrays, as far as that shows without a GPU: the stand-in's memory, the kernels in the executor."""

from __future__ import annotations

import sys

import numpy as np
import pytest

import fastconv as fc
from fastconv.backends import cuda, simt

from . import fake_cupy

pytestmark = pytest.mark.skipif(simt.available() is not None, reason=str(simt.available()))

RNG = np.random.default_rng(0)
X = RNG.standard_normal((2, 16, 6, 7)).astype(np.float32)
W = RNG.standard_normal((24, 16, 3, 3)).astype(np.float32)
GRAD = RNG.standard_normal((2, 24, 6, 7)).astype(np.float32)
VECTOR = RNG.uniform(0.5, 1, 16).astype(np.float32)
ROWS = RNG.standard_normal((5, 16)).astype(np.float32)


@pytest.fixture
def cupy(monkeypatch):
    """The stand-in, in CuPy's place."""
    fake = fake_cupy.module()
    monkeypatch.setitem(sys.modules, "cupy", fake)
    monkeypatch.setattr(cuda, "_cupy", lambda: fake)
    monkeypatch.setattr(cuda, "available", lambda: None)

    def launch(kernel, grid, block, args, shared_bytes=0):
        plain = [a.get() if isinstance(a, fake.ndarray) else a for a in args]
        with np.errstate(all="ignore"):
            simt.launch(kernel, grid, block, plain, shared_bytes)

    monkeypatch.setattr(cuda, "launch", launch)
    cuda._processors.cache_clear()
    cuda._constant.cache_clear()
    yield fake
    cuda._processors.cache_clear()
    cuda._constant.cache_clear()


ops = fc.ops
CALLS = {
    "conv2d": lambda a: ops.conv2d(a(X), a(W), a(W[:, 0, 0, 0]), padding=1, activation="relu", residual=a(GRAD)),
    "conv2d of float16": lambda a: ops.conv2d(a(X.astype(np.float16)), a(W.astype(np.float16)), padding=1),
    "conv2d, channels-last": lambda a: ops.conv2d(ops.channels_last(a(X)), a(W), stride=2),
    "conv2d, columns": lambda a: ops.conv2d(a(X[:, :3]), a(W[:, :3]), algo="im2col_gemm"),
    "conv2d, first layer": lambda a: ops.conv2d(a(X[:, :3]), a(W[:, :3]), padding=1),
    "conv2d, depthwise": lambda a: ops.conv2d(a(X), a(W[:16, :1]), padding=1, groups=16),
    "conv2d, one image": lambda a: ops.conv2d(a(X[0]), a(W)),
    "conv1d": lambda a: ops.conv1d(a(X[0]), a(W[:, :6, :, 0].copy())),
    "input gradient": lambda a: ops.conv2d_input_grad(a(GRAD), a(W), X.shape, padding=1),
    "weight gradient": lambda a: ops.conv2d_weight_grad(a(GRAD), a(X), W.shape, padding=1),
    "linear": lambda a: ops.linear(a(ROWS), a(W[:, :, 0, 0].copy()), a(W[:, 0, 0, 0])),
    "max_pool2d": lambda a: ops.max_pool2d(a(X), 3, 2, 1, return_indices=True),
    "avg_pool2d": lambda a: ops.avg_pool2d(a(X), 2),
    "adaptive_avg_pool2d": lambda a: ops.adaptive_avg_pool2d(a(X), 1),
    "avg_pool2d_grad": lambda a: ops.avg_pool2d_grad(a(X), (2, 16, 12, 14), 2),
    "batch_norm": lambda a: ops.batch_norm(a(X), a(VECTOR), a(VECTOR), a(VECTOR), a(VECTOR)),
    "batch_norm_train": lambda a: ops.batch_norm_train(a(X), a(VECTOR), a(VECTOR)),
    "local_response_norm": lambda a: ops.local_response_norm(a(X), 5),
    "softmax": lambda a: ops.softmax(a(ROWS), 0),
    "cross_entropy": lambda a: ops.cross_entropy(a(ROWS), a(np.arange(5))),
    "relu": lambda a: ops.relu(a(X)),
    "cast": lambda a: ops.cast(a(X), "float16"),
    "dropout": lambda a: ops.dropout(a(X), 0.5, seed=1),
    "concat": lambda a: ops.concat([a(X), a(X)]),
    "pad": lambda a: ops.pad(a(X), 1),
    "contiguous": lambda a: ops.contiguous(ops.channels_last(a(X))),
}


@pytest.mark.parametrize("name", CALLS)
def test_cupy_in_cupy_out_with_the_bits_of_the_executor(name, cupy):
    with fc.device("simt"):
        expected = CALLS[name](lambda array: array)
    result = CALLS[name](cupy.asarray)
    pairs = zip(result, expected, strict=True) if isinstance(expected, tuple) else [(result, expected)]
    for ours, theirs in pairs:
        assert isinstance(ours, cupy.ndarray)
        assert ours.strides == theirs.strides
        np.testing.assert_array_equal(ours.get(), theirs)


def test_updates_in_place(cupy):
    results = []
    for put, get in ((lambda a: a, lambda a: a), (cupy.asarray, lambda a: a.get())):
        parameter, gradient, momentum = put(ROWS.copy()), put(ROWS * 2), put(np.zeros_like(ROWS))
        with fc.device("simt"):
            fc.ops.sgd_update(parameter, gradient, momentum, lr=0.1, momentum=0.9)
        results.append(get(parameter))
    np.testing.assert_array_equal(*results)


def test_a_network_moved_to_the_gpu(cupy):
    network = fc.models.create("lenet5", seed=1).eval()
    x = RNG.standard_normal((1, 1, 32, 32)).astype(np.float32)
    with fc.device("simt"):
        expected = network(x)
    logits = network.to("cuda")(cupy.asarray(x))
    np.testing.assert_array_equal(logits.get(), expected)
    with pytest.raises(fc.DeviceError, match="expected a NumPy array as the input is, got a CuPy array"):
        network(x)
    np.testing.assert_array_equal(network.to("cpu")(x), fc.models.create("lenet5", seed=1).eval()(x))


def test_out_and_operands_of_the_wrong_memory(cupy):
    x, w = cupy.asarray(X), cupy.asarray(W)
    out = cupy.empty((2, 24, 4, 5), np.float32)
    assert fc.ops.conv2d(x, w, out=out) is out
    for call in (
        lambda: fc.ops.conv2d(x, W),
        lambda: fc.ops.conv2d(X, w),
        lambda: fc.ops.conv2d(x, w, W[:, 0, 0, 0]),
        lambda: fc.ops.conv2d(x, w, out=out.get()),
    ):
        with pytest.raises(fc.DeviceError, match=r"expected a (CuPy|NumPy) array as the input is"):
            call()


def test_a_weight_first_used_while_a_graph_is_captured(cupy, monkeypatch):
    stream = cupy.cuda.get_current_stream()
    monkeypatch.setattr(stream, "is_capturing", lambda: True)
    weight = fc.ops.prepare_weight(cupy.asarray(W))
    with pytest.raises(fc.DeviceError, match="call once before capturing"):
        fc.ops.conv2d(cupy.asarray(X), weight)
    fc.ops.conv2d(cupy.asarray(X), cupy.asarray(W))  # not kept: nothing stays empty


def test_an_array_of_another_gpu(cupy, monkeypatch):
    x = cupy.asarray(X)
    monkeypatch.setattr(cupy.cuda.runtime, "getDevice", lambda: 1)
    with pytest.raises(fc.DeviceError, match=r"x: on GPU 0, but GPU 1 is current: compute inside `with x.device:`"):
        fc.ops.conv2d(x, cupy.asarray(W))

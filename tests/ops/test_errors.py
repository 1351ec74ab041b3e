"""Bad input ends in an error that names the argument, what came and what was expected; nothing crashes."""

from __future__ import annotations

import numpy as np
import pytest

import fastconv as fc
from fastconv import ops

X = np.zeros((2, 4, 6, 6), np.float32)
W = np.zeros((8, 4, 3, 3), np.float32)
READ_ONLY = np.zeros((2, 8, 4, 4), np.float32)
READ_ONLY.flags.writeable = False
NO_COPY = object()

CASES = [
    (lambda: ops.conv2d([[1.0]], W), fc.DTypeError, "x: expected a NumPy or CuPy array or a DLPack producer, got list"),
    (lambda: ops.conv2d(X.astype(int), W), fc.DTypeError, "x: expected dtype float32.*got int64"),
    (lambda: ops.conv2d(X.astype(">f4"), W), fc.DTypeError, "x: expected native byte order"),
    (lambda: ops.conv2d(X, W.astype(np.float64)), fc.DTypeError, "weight: .*float32, got float64"),
    (lambda: ops.conv2d(X[0, 0], W), fc.ShapeError, r"x: expected shape \(N, C, H, W\).*\(6, 6\)"),
    (lambda: ops.conv2d(X, W[0]), fc.ShapeError, r"weight: expected shape \(K, C/groups, R, S\)"),
    (lambda: ops.conv2d(X, W[:, :3]), fc.ShapeError, "weight: x has 4 channels in 1 groups"),
    (lambda: ops.conv2d(X, W[:, :2], groups=3), fc.ShapeError, "weight: x has 4 channels in 3 groups"),
    (lambda: ops.conv2d(X, W[:7, :2], groups=2), fc.ShapeError, "groups: expected a divisor of the 7 filters, got 2"),
    (lambda: ops.conv2d(X, W, groups=0), fc.ShapeError, "groups: expected a positive int, got 0"),
    (lambda: ops.conv2d(X, W, groups=1.0), fc.ShapeError, "groups: expected a positive int"),
    (lambda: ops.conv2d(X, W[:, :, :0]), fc.ShapeError, "weight: expected a kernel of at least 1 x 1"),
    (lambda: ops.conv2d(X, W, stride=0), fc.ShapeError, "stride: expected at least 1, got 0"),
    (lambda: ops.conv2d(X, W, stride=(1, 2, 3)), fc.ShapeError, "stride: expected an int or a pair of ints"),
    (lambda: ops.conv2d(X, W, stride=1.5), fc.ShapeError, "stride: expected an int or a pair of ints, got 1.5"),
    (lambda: ops.conv2d(X, W, stride=True), fc.ShapeError, "stride: expected an int or a pair of ints, got True"),
    (lambda: ops.conv2d(X, W, dilation=-1), fc.ShapeError, "dilation: expected at least 1, got -1"),
    (lambda: ops.conv2d(X, W, padding=-1), fc.ShapeError, "padding: expected at least 0, got -1"),
    (lambda: ops.conv2d(X, W, padding="full"), fc.ShapeError, "padding: expected an int.*'full'"),
    (lambda: ops.conv2d(X, W, 1), fc.DTypeError, "bias: expected a NumPy or CuPy array"),
    (lambda: ops.conv2d(X, W, None, 2, "same"), fc.ShapeError, "padding: 'same' needs stride 1"),
    (
        lambda: ops.conv2d(X[..., :2], W),
        fc.ShapeError,
        r"x: expected an input, padding included.*\(3, 3\), got \(6, 2\)",
    ),
    (lambda: ops.conv2d(X, W, np.zeros(7, np.float32)), fc.ShapeError, r"bias: expected shape \(8,\), got \(7,\)"),
    (lambda: ops.conv2d(X, W, np.zeros(8)), fc.DTypeError, "bias: .*float32, got float64"),
    (lambda: ops.conv2d(X, W, activation="gelu"), fc.AlgorithmError, "activation: expected one of .*got 'gelu'"),
    (lambda: ops.conv2d(X, W, residual=X), fc.ShapeError, r"residual: expected the result's shape \(2, 8, 4, 4\)"),
    (lambda: ops.conv2d(X, W, activation=["relu"]), fc.AlgorithmError, "activation: expected one of"),
    (lambda: ops.conv2d(X, W, algo=["fft"]), fc.AlgorithmError, "algo: expected a name or None"),
    (lambda: ops.conv2d(X, W, padding=(1, 2, 3, 4)), fc.ShapeError, r"sides may differ as \(\(top, bottom\)"),
    (lambda: ops.conv2d(X, W, groups=3), fc.ShapeError, "4 channels in 3 groups, so expected another number"),
    (lambda: ops.conv2d(X, W, stride=(1.0, 1.0)), fc.ShapeError, "stride: expected an int or a pair"),
    (lambda: ops.conv2d(X, W, stride=(True, True)), fc.ShapeError, "stride: expected an int or a pair"),
    (lambda: ops.conv2d(X, W, algo="fft"), fc.AlgorithmError, "algo: no conv2d kernel 'fft'.*implicit_gemm"),
    (lambda: ops.conv2d(X, W, out=X), fc.ShapeError, r"out: expected shape \(2, 8, 4, 4\)"),
    (lambda: ops.conv2d(X, W, out=READ_ONLY), fc.DTypeError, "out: expected a writable array"),
    (lambda: ops.conv2d(X, W, out=np.zeros((2, 8, 4, 4))), fc.DTypeError, "out: expected dtype float32, got float64"),
    (lambda: ops.conv2d(X, W, out=[1]), fc.DTypeError, "out: expected a NumPy or CuPy array, got list"),
    (lambda: ops.conv1d(X, W), fc.ShapeError, r"x: expected shape \(N, C, L\)"),
    (lambda: ops.conv1d(X[0], W), fc.ShapeError, r"weight: expected shape \(K, C/groups, S\)"),
    (lambda: ops.conv1d(X[0], W[0], stride=(1, 2)), fc.ShapeError, "stride, dilation: expected an int each"),
    (lambda: ops.avg_pool2d(X, 2**33, padding=2**32), fc.ShapeError, "expected a reach of at most"),
    (lambda: ops.softmax(X, None), fc.ShapeError, "dim: expected an axis"),
    (lambda: ops.leaky_relu(X, "a"), fc.ShapeError, "negative_slope: expected a number, got 'a'"),
    (lambda: ops.local_response_norm(X, 3, "a"), fc.ShapeError, "alpha: expected a number"),
    (lambda: ops.batch_norm(X, X, X, training=True), fc.AlgorithmError, "training: expected False"),
    (lambda: ops.concat(3), fc.DTypeError, "arrays: expected a sequence of arrays, got int"),
    (lambda: ops.pad(X, "same"), fc.ShapeError, "padding: expected an int, a pair or two pairs"),
    (lambda: ops.pad(X, 1, None), fc.ShapeError, "value: expected a number"),
    (lambda: ops.explain("conv2d", X, W.astype(np.float64)), fc.DTypeError, "weight: .*float32, got float64"),
    (lambda: ops.explain("linear", X[0, 0], W[0, 0]), fc.ShapeError, "x: expected shape"),
    (lambda: ops.explain("linear", X[0, 0], W[0, 0, 0]), fc.ShapeError, "weight: expected shape"),
    (lambda: ops.max_pool2d(X, 0), fc.ShapeError, "kernel_size: expected at least 1"),
    (lambda: ops.max_pool2d(X, 3, padding=2), fc.ShapeError, "padding: expected at most half of kernel_size"),
    (lambda: ops.max_pool2d(X, 7), fc.ShapeError, r"x: expected at least kernel_size \(7, 7\)"),
    (lambda: ops.avg_pool2d(X[0, 0], 2), fc.ShapeError, "x: expected shape"),
    (lambda: ops.adaptive_avg_pool2d(X, (1, 2, 3)), fc.ShapeError, "output_size: expected an int, None or a pair"),
    (lambda: ops.adaptive_avg_pool2d(X, 0), fc.ShapeError, "output_size: expected at least 1"),
    (lambda: ops.adaptive_max_pool2d(X[:, :, :0], 1), fc.ShapeError, "x: expected a height and width"),
    (lambda: ops.linear(X, W), fc.ShapeError, r"weight: expected shape \(N, K\)"),
    (lambda: ops.linear(X, W[:, :, 0, 0]), fc.ShapeError, r"x: expected shape \(..., 4\)"),
    (lambda: ops.linear(X[0, 0, 0], np.zeros((2, 6), np.float16)), fc.DTypeError, "weight: expected the input's dtype"),
    (lambda: ops.softmax(X, 4), fc.ShapeError, "dim: expected an axis"),
    (lambda: ops.softmax(np.float32(1.0)[()]), fc.DTypeError, "x: expected a NumPy or CuPy array"),
    (lambda: ops.relu("x"), fc.DTypeError, "x: expected a NumPy or CuPy array"),
    (lambda: ops.batch_norm(X, X, X), fc.ShapeError, r"running_mean: expected shape \(4,\)"),
    (lambda: ops.batch_norm(X, None, None), fc.ShapeError, "running_mean, running_var"),
    (lambda: ops.local_response_norm(X, 0), fc.ShapeError, "size: expected a positive int, got 0"),
    (lambda: ops.concat([]), fc.ShapeError, "arrays: expected at least one"),
    (
        lambda: ops.concat([X, X[:1]]),
        fc.ShapeError,
        r"arrays\[1\]: expected shape \(2, 4, 6, 6\) except in dimension 1",
    ),
    (lambda: ops.concat([X, X.astype(np.float16)]), fc.DTypeError, r"arrays\[1\]: expected the input's dtype"),
    (lambda: ops.concat([X], dim=4), fc.ShapeError, "dim: expected an axis"),
    (lambda: ops.pad(X, -1), fc.ShapeError, "padding: expected at least 0"),
    (lambda: ops.channels_last(X[0]), fc.ShapeError, "x: expected shape"),
    (lambda: ops.explain("conv2d", X, W, wat=3), fc.AlgorithmError, "conv2d: got an unexpected keyword argument 'wat'"),
    (lambda: ops.algorithms("conv3d"), fc.AlgorithmError, "op: expected one of"),
    (lambda: ops.explain("conv2d", X, W[:, :1]), fc.ShapeError, "weight: x has 4 channels"),
    (lambda: fc.set_num_threads(0), fc.ShapeError, "threads: expected an integer in 1..1024, got 0"),
    (lambda: fc.set_num_threads(2.0), fc.ShapeError, "threads: expected an integer"),
    (lambda: fc.device("tpu"), fc.DeviceError, "device: expected one of cpu, cuda, simt, got 'tpu'"),
]


@pytest.mark.parametrize(("call", "kind", "text"), CASES, ids=[case[2][:40] for case in CASES])
def test_each_error_says_what_is_wrong(call, kind, text):
    with pytest.raises(kind, match=text) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_error_classes_are_the_builtin_kinds():
    assert issubclass(fc.ShapeError, ValueError)
    assert issubclass(fc.DTypeError, TypeError)
    assert issubclass(fc.DeviceError, RuntimeError)


def test_a_problem_too_large_for_memory_is_an_error():
    """A column matrix of many terabytes: refused by arithmetic or by the allocator, not by a crash."""
    x = np.broadcast_to(np.zeros(1, np.float32), (1, 4, 1, 1))
    with pytest.raises((MemoryError, ValueError)):
        fc.ops.conv2d(x, np.zeros((1, 4, 1, 1), np.float32), padding=1 << 27)

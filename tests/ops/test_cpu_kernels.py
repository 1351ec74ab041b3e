"""What the CPU's kernels outside convolution promise beyond what every device does: the same bits for any number of
threads, one rounding to 16 bits, and awkward extents on every instruction set."""

from __future__ import annotations

import numpy as np
import pytest

import fastconv as fc
from fastconv import _core
from fastconv.backends import registry
from fastconv.nn.module import numpy_dtype
from fastconv.ops.activation import ArrayProblem
from tests.conv_check import DTYPES, integers
from tests.ops.test_pool import pool_by_definition
from tests.ops.test_pool_kernels import avg_grad_by_definition, max_grad_by_definition, values

# One of everything, tails of vectors and of several of them, and what four vectors of AVX-512 make whole.
CHANNELS = [1, 15, 17, 33, 64, 70]

# (H, W), kernel, stride, padding, dilation, ceil_mode
POOLS = [
    ((1, 1), 1, 1, 0, 1, False),
    ((7, 13), 3, 2, 1, 1, False),
    ((7, 13), 3, 2, 1, 1, True),
    ((3, 6), 5, 3, 2, 1, True),  # windows larger than the image
    ((5, 5), 5, 1, 2, 1, False),  # most windows hold most pixels
    ((11, 7), 3, 2, 1, 2, False),  # taps apart: not every window between the first and the last holds a pixel
    ((11, 9), 2, 3, 1, 3, False),  # pixels that no window holds
    ((2, 67), 2, 1, 0, 1, False),  # one row of windows
]

# Half the distance between neighbours, relative: what one rounding does.
HALF_ULP = {"float32": 2.0**-24, "float16": 2.0**-11, "bfloat16": 2.0**-8, "float64": 2.0**-53}


def compute(dtype):
    return "float64" if dtype == "float64" else "float32"


def assert_rounded_once(result, exact, error, dtype):
    """result is the nearest storage value to a number within `error` of `exact` (that of the compute type)."""
    tiny = 2.0**-25 if dtype == "float16" else 0.0  # half of its smallest step
    allowed = error + HALF_ULP[dtype] * (np.abs(exact) + error) + tiny
    assert (np.abs(result.astype(np.float64) - exact) <= allowed).all()


@pytest.mark.parametrize("case", POOLS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_max_pools_and_their_gradients_are_exact(case, dtype, isa, threads):
    extents, *arguments = case
    for channels in CHANNELS:
        x = values((2, channels, *extents), dtype)
        exact, at = pool_by_definition(x, *arguments)
        grad = integers(exact.shape, 1, dtype)
        gradient = max_grad_by_definition(grad, at, x.shape)
        for count in (1, 2, 3):
            threads(count)
            y, indices = fc.ops.max_pool2d(fc.ops.channels_last(x), *arguments, return_indices=True)
            np.testing.assert_array_equal(indices, at)
            np.testing.assert_array_equal(y.astype(np.float64), exact)
            np.testing.assert_array_equal(fc.ops.max_pool2d(x, *arguments), y)
            gx = fc.ops.max_pool2d_grad(fc.ops.channels_last(grad), indices, x.shape, *arguments)
            np.testing.assert_array_equal(gx.astype(np.float64), gradient)


@pytest.mark.parametrize("count_include_pad", [True, False])
@pytest.mark.parametrize("case", [case for case in POOLS if case[4] == 1])
@pytest.mark.parametrize("dtype", DTYPES)
def test_average_pools_and_their_gradients(case, count_include_pad, dtype, isa, threads):
    extents, kernel, stride, padding, _, ceil_mode = case
    arguments = (kernel, stride, padding, ceil_mode, count_include_pad)
    for channels in CHANNELS:
        x = integers((2, channels, *extents), 0, dtype)
        mean, _ = pool_by_definition(x, kernel, stride, padding, 1, ceil_mode, "avg", count_include_pad)
        grad = integers(mean.shape, 1, dtype)
        wide = grad.astype(np.float64)
        gradient = avg_grad_by_definition(wide, x.shape, *arguments)
        # Each reciprocal, product and sum is rounded: at most one step for each of up to 25 windows, and two more.
        sizes = avg_grad_by_definition(np.abs(wide), x.shape, *arguments)
        error = 27 * 2 * HALF_ULP[compute(dtype)] * sizes
        gradients = []
        for count in (1, 2, 3):
            threads(count)
            y = fc.ops.avg_pool2d(x, *arguments)
            np.testing.assert_array_equal(y, mean.astype(compute(dtype)).astype(x.dtype))
            gradients.append(fc.ops.avg_pool2d_grad(grad, x.shape, *arguments))
            np.testing.assert_array_equal(gradients[-1], gradients[0])
        assert_rounded_once(gradients[0], gradient, error, dtype)


def test_the_average_of_a_large_image_stays_accurate(isa):
    """Sums along rows, then over rows: 300 + 300 roundings at most, where one chain would take 90,000."""
    x = np.random.default_rng(0).random((1, 17, 300, 300), dtype=np.float32)
    mean = x.astype(np.float64).mean((2, 3), keepdims=True)
    np.testing.assert_allclose(fc.ops.adaptive_avg_pool2d(x, 1), mean, rtol=600 * HALF_ULP["float32"])


def test_pooling_by_threads_takes_nan_and_the_first_of_equals(isa, threads):
    x = np.zeros((1, 33, 9, 9), np.float32)
    x[0, ::2, 4, 4] = np.nan
    for count in (1, 3):
        threads(count)
        y, indices = fc.ops.max_pool2d(x, 3, 3, return_indices=True)
        assert np.isnan(y[0, ::2, 1, 1]).all() and (indices[0, ::2, 1, 1] == 40).all()
        assert (y[0, 1::2] == 0).all() and (indices[0, 1::2, 1, 1] == 30).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("channels", [1, 15, 17, 33, 300])
def test_batch_norm_in_training(channels, dtype, isa, threads):
    generator = np.random.default_rng(0)
    rows = (7, 31, 37) if channels < 300 else (3, 5, 13)  # several parts of 128 rows, and less than a batch at the end
    shape = (rows[0], channels, *rows[1:])
    x = (generator.standard_normal(shape) + 10).astype(np.float32).astype(numpy_dtype(dtype))
    grad = generator.standard_normal(shape).astype(np.float32).astype(x.dtype)
    weight = generator.standard_normal(channels).astype(np.float32).astype(x.dtype)
    bias = generator.standard_normal(channels).astype(np.float32).astype(x.dtype)
    z, g = x.astype(np.float64), grad.astype(np.float64)
    w, b = (v.astype(np.float64).reshape(1, -1, 1, 1) for v in (weight, bias))
    mean, inverse = z.mean((0, 2, 3), keepdims=True), 1 / np.sqrt(z.var((0, 2, 3), keepdims=True) + 1e-5)
    hat = (z - mean) * inverse
    step = 2 * HALF_ULP[compute(dtype)]

    def run():
        y, own_mean, own_inverse = fc.ops.batch_norm_train(fc.ops.channels_last(x), weight, bias)
        return y, own_mean, own_inverse, *fc.ops.batch_norm_grad(grad, x, weight, own_mean, own_inverse)

    threads(1)
    y, own_mean, own_inverse, dx, dweight, dbias = first = run()
    # 24 additions at most one after the other (8 of a batch, 16 batches), each of numbers near the mean.
    np.testing.assert_allclose(own_mean, mean.ravel(), rtol=24 * step)
    np.testing.assert_allclose(own_inverse, inverse.ravel(), rtol=32 * step)
    # x - mean is off by the mean's error; scale and sum round thrice more.
    error = step * (24 * np.abs(mean * inverse * w) + 40 * np.abs(hat * w) + np.abs(b))
    assert_rounded_once(y, hat * w + b, error, dtype)
    count = z[:, 0].size
    to_bias, to_weight = g.sum((0, 2, 3)), (g * hat).sum((0, 2, 3))
    sums = np.abs(g).sum((0, 2, 3))
    centre = np.abs(mean * inverse)
    along = (np.abs(g) * (np.abs(hat) + centre)).sum((0, 2, 3))
    for value, exact, size in ((dbias, to_bias, sums), (dweight, to_weight, along)):
        assert_rounded_once(value, exact, 60 * step * size, dtype)
    ofs = [v.reshape(1, -1, 1, 1) / count for v in (to_bias, to_weight, sums, along)]
    error = 60 * step * np.abs(w * inverse) * (np.abs(g) + ofs[2] + (np.abs(hat) + centre) * (np.abs(ofs[1]) + ofs[3]))
    assert_rounded_once(dx, w * inverse * (g - ofs[0] - hat * ofs[1]), error, dtype)
    for count in (2, 3):
        threads(count)
        for value, same in zip(run(), first, strict=True):
            np.testing.assert_array_equal(value, same)


def test_batch_norm_gradient_is_exact_on_integers(isa):
    """mean 1 and inverse_std 1 are given: sums of integers, and quotients by 4096 rows."""
    x, grad = integers((4, 33, 32, 32), 0, "float32"), integers((4, 33, 32, 32), 1, "float32")
    ones = np.ones(33, np.float32)
    dx, dweight, dbias = fc.ops.batch_norm_grad(grad, x, None, ones, ones)
    z, g = x.astype(np.float64) - 1, grad.astype(np.float64)
    to_weight, to_bias = (g * z).sum((0, 2, 3)), g.sum((0, 2, 3))
    np.testing.assert_array_equal(dweight, to_weight)
    np.testing.assert_array_equal(dbias, to_bias)
    exact = g - (to_bias / 4096).reshape(1, -1, 1, 1) - z * (to_weight / 4096).reshape(1, -1, 1, 1)
    np.testing.assert_array_equal(dx, exact)  # 12 bits behind the point, 6 before it


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("channels", [1, 15, 17, 33, 96])
def test_local_response_norm(channels, dtype, isa, threads):
    generator = np.random.default_rng(0)
    x, grad = (generator.standard_normal((50, channels)).astype(np.float32).astype(numpy_dtype(dtype)) for _ in "xg")
    z, g = x.astype(np.float64), grad.astype(np.float64)
    c = np.arange(channels)
    step = 2 * HALF_ULP[compute(dtype)]
    for size in (1, 2, 5, 2 * channels + 3):
        window = (c - size // 2 <= c[:, None]) & (c[:, None] <= c + (size - 1) // 2)  # [j, c]
        s = 2 + 0.5 / size * (z * z) @ window
        direct, factor = g * s**-0.75, 2 * 0.5 / size * 0.75 * z
        terms = g * z * s**-1.75
        error = (min(size, channels) + 8) * step
        results = []
        for count in (1, 2, 3):
            threads(count)
            y = fc.ops.local_response_norm(x, size, 0.5, 0.75, 2.0)
            assert_rounded_once(y, z * s**-0.75, error * np.abs(z), dtype)
            dx = fc.ops.local_response_norm_grad(grad, x, size, 0.5, 0.75, 2.0)
            bound = 2 * error * (np.abs(direct) + np.abs(factor) * (np.abs(terms) @ window.T))
            assert_rounded_once(dx, direct - factor * (terms @ window.T), bound, dtype)
            results.append((y, dx))
        for y, dx in results[1:]:
            np.testing.assert_array_equal(y, results[0][0])
            np.testing.assert_array_equal(dx, results[0][1])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [1, 15, 17, 33, 127, 1000])
def test_softmax_and_cross_entropy(n, dtype, isa, threads):
    generator = np.random.default_rng(0)
    rows = 100
    x = (generator.standard_normal((rows, n)) * 3).astype(np.float32).astype(numpy_dtype(dtype))
    grad = generator.standard_normal((rows, n)).astype(np.float32).astype(x.dtype)
    target = generator.integers(0, n, rows)
    target[3] = -100
    z = x.astype(np.float64)
    logs = z - z.max(1, keepdims=True)
    logs -= np.log(np.exp(logs).sum(1, keepdims=True))

    def run():
        soft, log = fc.ops.softmax(x), fc.ops.log_softmax(x)
        one = np.ones((), x.dtype)
        return (
            soft,
            log,
            fc.ops.softmax_grad(soft, grad),
            fc.ops.log_softmax_grad(log, grad),
            fc.ops.cross_entropy(x, target, label_smoothing=0.1),
            fc.ops.cross_entropy(x, target, reduction="none"),
            fc.ops.cross_entropy_grad(one, x, target, reduction="sum"),
        )

    threads(1)
    first = run()
    # e^x within 2 ulp and the rounding of its argument (at most 20); sums of n / 16 terms in each of 16 lanes, or of
    # n / 2 in two.
    error = 2 * HALF_ULP[compute(dtype)] * (24 + n / 2)
    assert_rounded_once(first[0], np.exp(logs), error * np.exp(logs), dtype)
    assert_rounded_once(first[1], logs, error * np.ones_like(logs), dtype)
    kept = target >= 0
    at = np.arange(rows), np.where(kept, target, 0)
    losses = np.where(kept, -logs[at], 0)
    assert_rounded_once(first[5], losses, error * np.ones(rows), dtype)
    gradient = np.exp(logs)
    gradient[at] -= 1
    assert_rounded_once(first[6], gradient * kept[:, None], error * np.ones_like(logs), dtype)
    for count in (2, 3):
        threads(count)
        for value, same in zip(run(), first, strict=True):
            np.testing.assert_array_equal(value, same)


@pytest.mark.parametrize("dtype", DTYPES)
def test_elementwise_kernels_by_several_threads(dtype, isa, threads):
    """Several items of work, the last cut short, and as many bits for any number of threads."""
    shape = (3, 33, 37, 29)
    x, grad = integers(shape, 0, dtype), integers(shape, 1, dtype)
    param = integers(shape, 2, compute(dtype))

    def run():
        p, m, v = param.copy(), np.zeros_like(param), np.zeros_like(param)
        low = np.zeros_like(x)
        fc.ops.sgd_update(p, grad, m, lr=0.5, momentum=0.5, low=low)
        fc.ops.adam_update(p, grad, m, v, 1)
        steps = p, m, v, low, fc.ops.dropout(x, 0.3, 7), fc.ops.cast(x, "float16" if dtype != "float16" else "float32")
        return *steps, *(fc.ops.activation_grad(x, grad, name) for name in ("relu", "relu6", "silu", "tanh"))

    threads(1)
    first = run()
    np.testing.assert_array_equal(first[6], np.where(x > 0, grad, x.dtype.type(0)))
    np.testing.assert_array_equal(first[3].astype(np.float64), (param - grad.astype(param.dtype) * 0.5).astype(x.dtype))
    for count in (2, 3):
        threads(count)
        for value, same in zip(run(), first, strict=True):
            np.testing.assert_array_equal(value, same)


def test_empty_batches():
    nothing = np.zeros((0, 5, 6, 6), np.float32)
    pooled = np.zeros((0, 5, 3, 3), np.float32)
    assert fc.ops.max_pool2d_grad(pooled, pooled.astype(np.int64), nothing.shape, 2).shape == nothing.shape
    assert fc.ops.avg_pool2d_grad(pooled, nothing.shape, 2).shape == nothing.shape
    assert fc.ops.local_response_norm_grad(nothing, nothing, 5).shape == nothing.shape
    assert fc.ops.activation_grad(nothing, nothing, "tanh").shape == nothing.shape
    assert fc.ops.cast(nothing, "float64").shape == fc.ops.dropout(nothing, 0.5, 1).shape == nothing.shape
    rows = np.zeros((0, 7), np.float32)
    assert fc.ops.softmax_grad(rows, rows).shape == fc.ops.log_softmax_grad(rows, rows).shape == (0, 7)
    run = registry.choose("bias_activation", "cpu", ArrayProblem(rows.shape, "float32")).kernel.run
    run(ArrayProblem(rows.shape, "float32"), rows, None, None, rows.copy(), "relu")


def test_every_operation_of_the_cuda_devices_has_a_cpu_kernel():
    operations = {kernel.op for kernel in registry._table}
    assert operations and all(registry.kernels(op, "cpu") for op in operations)


F32 = np.zeros((2, 3), np.float32)
F64 = np.zeros((2, 3))
I32, I64 = np.zeros(2, np.int32), np.zeros(2, np.int64)
IMAGE, POOLED = np.zeros((1, 4, 4, 3), np.float32), np.zeros((1, 2, 2, 3), np.float32)
FIRST, LAST = np.zeros(4, np.int32), np.ones(4, np.int32)
VECTOR = np.zeros(3, np.float32)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: _core.activation_grad(0, 0, F32, F32[:1].copy(), F32.copy(), 0.0), "grad: expected 6 elements"),
        (lambda: _core.activation_grad(0, 8, F32, F32, F32.copy(), 0.0), "function out of range"),
        (lambda: _core.bias_activation(0, F32, F32, None, F32.copy(), 0), "bias: expected 3 elements"),
        (lambda: _core.bias_activation(0, F32, None, None, F32.copy(), 5), "activation out of range"),
        (lambda: _core.dropout(0, F32, F64.copy(), 0, 1.0, 0, 0), "y: expected 6 elements of 4 bytes"),
        (lambda: _core.cast(0, 4, F32, F64.copy()), "dtype code out of range"),
        (lambda: _core.cast(0, 1, F32, F64.copy()), "y: expected 6 elements of 2 bytes"),
        (
            lambda: _core.sgd(0, F32.copy(), F32, VECTOR.copy(), None, 0, 0, 1, 0, 1, False, False),
            "velocity: expected 6",
        ),
        (
            lambda: _core.sgd(0, F64.copy(), F32, None, None, 0, 0, 1, 0, 1, False, False),
            "param: expected 6 elements of 4",
        ),
        (lambda: _core.adam(0, F32.copy(), F32, F32.copy(), VECTOR.copy(), None, *[1.0] * 9), "square: expected 6"),
        (
            lambda: _core.batch_norm_train(0, F32, None, None, 0.1, F32.copy(), VECTOR.copy(), I64),
            "inverse_std: expected 3 elements of 4 bytes",
        ),
        (
            lambda: _core.batch_norm_grad(0, F64, F32, None, VECTOR, VECTOR, F32.copy(), VECTOR.copy(), VECTOR.copy()),
            "grad: expected 6 elements of 4 bytes",
        ),
        (lambda: _core.local_response_norm(0, F64, F32, F32.copy(), 5, 1, 1, 1), "grad: expected 6 elements of 4"),
        (lambda: _core.local_response_norm(0, None, F32, F32.copy(), 0, 1, 1, 1), "size must be positive"),
        (lambda: _core.softmax_grad(0, F32, F64, F32.copy(), False), "grad: expected 6 elements of 4 bytes"),
        (
            lambda: _core.cross_entropy(0, F32, I32, None, -100, 0, 0, VECTOR[:2].copy()),
            "target: expected 2 elements of 8",
        ),
        (lambda: _core.cross_entropy(0, F32, I64, None, -100, 0, 0, VECTOR[:1].copy()), "y: expected 2 elements"),
        (lambda: _core.cross_entropy(0, F32, I64, None, -100, 0, 3, VECTOR[:1].copy()), "reduction out of range"),
        (
            lambda: _core.cross_entropy_grad(0, VECTOR, F32, I64, None, -100, 0, 2, F32.copy()),
            "grad: expected 1 elements",
        ),
        (
            lambda: _core.pool_grad(0, POOLED, None, IMAGE.copy(), FIRST, LAST + 2, I32, FIRST, LAST, I32),
            "rows: window outside the input",
        ),
        (
            lambda: _core.pool_grad(0, POOLED, None, IMAGE.copy(), FIRST, LAST, I32, FIRST - 1, LAST, I32),
            "columns: window outside the input",
        ),
        (
            lambda: _core.pool_grad(0, POOLED, POOLED, IMAGE.copy(), FIRST, LAST, I32, FIRST, LAST, I32),
            "indices: expected 12 elements of 8 bytes",
        ),
        (
            lambda: _core.pool_grad(0, POOLED, None, IMAGE.copy(), FIRST[:3], LAST, I32, FIRST, LAST, I32),
            "row_first: expected 4 elements",
        ),
    ],
)
def test_bindings_refuse_memory_that_kernels_would_leave(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_bindings_make_no_arrays_of_other_things():
    """Such an array would be gone before the kernel reads it."""
    with pytest.raises(TypeError, match="bias: expected an array or None"):
        _core.bias_activation(0, F32, [1.0, 2.0, 3.0], None, F32.copy(), 0)
    with pytest.raises(TypeError, match="low: expected an array or None"):
        _core.sgd(0, F32.copy(), F32, None, [0.0] * 6, 0, 0, 1, 0, 1, False, False)

"""fastconv.nn.functional: the derivative of every function, in which formats results come, and the rule of arrays and
tensors."""

from __future__ import annotations

import numpy as np
import pytest

import fastconv as fc
from fastconv import nn
from fastconv.nn.module import numpy_dtype
from fastconv.ops._arrays import is_channels_last
from tests.conv_check import integers

F = nn.functional
RNG = np.random.default_rng(0)


def normal(*shape):
    return RNG.standard_normal(shape)


def distinct(*shape):
    """Values far enough apart that differences see the same maxima and signs as derivatives."""
    count = int(np.prod(shape))
    return (RNG.permutation(count).reshape(shape) - count / 2 + 0.25) / 8


def last(array):
    """The same values, channels-last."""
    return fc.ops.channels_last(array)


X, IMAGE = distinct(2, 4, 6, 5), distinct(4, 6, 5)
VECTORS = [RNG.uniform(0.5, 1.5, 4) for _ in range(4)]
TARGET = np.array([0, 3])
SHARES = RNG.random((5, 4))
INDICES = fc.ops.max_pool2d(X, 2, return_indices=True)[1]


def conv(*arguments, **named):
    return lambda x, w, b: F.conv2d(x, w, b, *arguments, **named)


# name: (function, inputs). Each is held to central differences and to the rule of arrays and tensors.
CASES = {
    "conv2d": (conv(1, 1), X, normal(3, 4, 3, 3), normal(3)),
    "conv2d, channels-last": (conv(1, 1), last(X), normal(3, 4, 3, 3), normal(3)),
    "conv2d, strided": (conv((2, 1), (1, 0)), X, normal(3, 4, 3, 2), normal(3)),
    "conv2d, dilated": (conv(1, "same", 2), X, normal(3, 4, 3, 2), normal(3)),
    "conv2d, uneven padding": (conv(1, ((0, 1), (2, 0))), X, normal(3, 4, 2, 2), normal(3)),
    "conv2d, grouped": (conv(1, 1, 1, 2), X, normal(6, 2, 3, 3), normal(6)),
    "conv2d, depthwise": (conv(2, 1, 1, 4), X, normal(4, 1, 3, 3), normal(4)),
    "conv2d, 1 x 1": (conv(), X, normal(3, 4, 1, 1), normal(3)),
    "conv2d, one image": (conv(1, 1), IMAGE, normal(3, 4, 3, 3), normal(3)),
    "conv2d without bias": (lambda x, w: F.conv2d(x, w, padding=1), X, normal(3, 4, 3, 3)),
    "conv1d": (lambda x, w, b: F.conv1d(x, w, b, 2, 1), normal(2, 4, 9), normal(3, 4, 3), normal(3)),
    "conv1d, one row": (lambda x, w: F.conv1d(x, w, None, 1, "same", 2), normal(4, 9), normal(3, 4, 3)),
    "conv1d, grouped": (lambda x, w: F.conv1d(x, w, None, 1, (2, 0), 1, 2), normal(1, 4, 9), normal(2, 2, 3)),
    "linear": (F.linear, normal(5, 6), normal(3, 6), normal(3)),
    "linear, more axes": (F.linear, normal(2, 3, 6), normal(4, 6), normal(4)),
    "linear, a vector": (F.linear, normal(6), normal(4, 6), normal(4)),
    "linear without bias": (F.linear, normal(5, 6), normal(3, 6)),
    "relu": (F.relu, X),
    "relu6": (F.relu6, X),
    "leaky_relu": (lambda x: F.leaky_relu(x, 0.1), X),
    "leaky_relu that falls": (lambda x: F.leaky_relu(x, -0.5), X),
    "sigmoid": (F.sigmoid, X),
    "tanh": (F.tanh, X),
    "silu": (F.silu, last(X)),
    "softmax": (F.softmax, normal(3, 5)),
    "softmax of channels": (lambda x: F.softmax(x, 1), normal(2, 4, 3, 2)),
    "log_softmax": (F.log_softmax, normal(3, 5)),
    "log_softmax of channels": (lambda x: F.log_softmax(x, 1), last(normal(2, 4, 3, 2))),
    "max_pool2d": (lambda x: F.max_pool2d(x, 2), X),
    "max_pool2d, overlapping": (lambda x: F.max_pool2d(x, 3, 2, 1), last(X)),
    "max_pool2d, dilated, ceil": (lambda x: F.max_pool2d(x, 2, 2, 0, 2, True), X),
    "max_pool2d of one image": (lambda x: F.max_pool2d(x, 2), IMAGE),
    "max_pool2d with indices": (lambda x: F.max_pool2d(x, 2, return_indices=True), X),
    "avg_pool2d": (lambda x: F.avg_pool2d(x, 2), X),
    "avg_pool2d, padded": (lambda x: F.avg_pool2d(x, 3, 2, 1, True, False), last(X)),
    "avg_pool2d of one image": (lambda x: F.avg_pool2d(x, 2), IMAGE),
    "adaptive_avg_pool2d": (lambda x: F.adaptive_avg_pool2d(x, (4, 1)), X),
    "adaptive_max_pool2d": (lambda x: F.adaptive_max_pool2d(x, (4, 2)), last(X)),
    "batch_norm of a batch": (lambda x, w, b: F.batch_norm(x, None, None, w, b, True), X, *VECTORS[:2]),
    "batch_norm of a batch, plain": (lambda x: F.batch_norm(x, None, None, training=True), X),
    "batch_norm of rows": (lambda x, w: F.batch_norm(x, None, None, w, None, True), normal(5, 4), VECTORS[0]),
    "batch_norm of lines": (lambda x, w: F.batch_norm(x, None, None, w, None, True), normal(3, 4, 5), VECTORS[0]),
    "batch_norm": (lambda x, w, b: F.batch_norm(x, *VECTORS[2:], w, b), X, *VECTORS[:2]),
    "batch_norm, plain": (lambda x: F.batch_norm(x, *VECTORS[2:]), last(X)),
    "batch_norm's bias": (lambda b: F.batch_norm(X, *VECTORS[2:], None, b), VECTORS[0]),
    "local_response_norm": (lambda x: F.local_response_norm(x, 3, 0.5), X),
    "conv_transpose2d": (lambda x, w, b: F.conv_transpose2d(x, w, b, 2, 1, 1), X, normal(4, 3, 3, 3), normal(3)),
    "conv_transpose2d, grouped, dilated": (
        lambda x, w: F.conv_transpose2d(x, w, None, 1, (1, 0), 0, 2, 2, activation="relu"),
        last(X),
        normal(4, 3, 2, 3),
    ),
    "conv_transpose2d of one image": (
        lambda x, w, b: F.conv_transpose2d(x, w, b, activation="silu"),
        IMAGE,
        normal(4, 2, 2, 2),
        normal(2),
    ),
    "max_unpool2d": (lambda x: F.max_unpool2d(x, fc.Tensor(INDICES), 2, output_size=(6, 5)), normal(2, 4, 3, 2)),
    "interpolate": (lambda x: F.interpolate(x, scale_factor=2), X),
    "interpolate, bilinear": (lambda x: F.interpolate(x, (4, 9), mode="bilinear"), last(X)),
    "interpolate, corners": (lambda x: F.interpolate(x, 7, mode="bilinear", align_corners=True), IMAGE),
    "cross_entropy": (lambda x: F.cross_entropy(x, TARGET), normal(2, 5)),
    "cross_entropy, smooth sum": (
        lambda x: F.cross_entropy(x, TARGET, label_smoothing=0.2, reduction="sum"),
        normal(2, 5),
    ),
    "cross_entropy of each": (lambda x: F.cross_entropy(x, TARGET, ignore_index=3, reduction="none"), normal(2, 5)),
    "cross_entropy of pixels": (lambda x: F.cross_entropy(x, np.array([[0, 2, 1]])), normal(1, 3, 3)),
    "cross_entropy, class weights": (lambda x: F.cross_entropy(x, TARGET, np.arange(1.0, 6)), normal(2, 5)),
    "mse_loss": (F.mse_loss, normal(2, 5), normal(2, 5)),
    "mse_loss of each": (lambda x, y: F.mse_loss(x, y, "none"), last(X), X / 2),
    "binary_cross_entropy": (lambda x: F.binary_cross_entropy(x, SHARES[:2], SHARES[2]), SHARES[3:] * 0.9 + 0.05),
    "binary_cross_entropy_with_logits": (
        lambda x: F.binary_cross_entropy_with_logits(x, SHARES[:2], reduction="sum", pos_weight=VECTORS[0]),
        normal(2, 4),
    ),
    "hard_sigmoid": (F.hard_sigmoid, X * 1.1),
    "hard_swish": (F.hard_swish, X * 1.1),
    "scale_channels": (F.scale_channels, last(X), normal(2, 4)),
    "max_pool1d": (lambda x: F.max_pool1d(x, 3, 2, 1), X[0]),
    "max_pool1d with indices": (lambda x: F.max_pool1d(x, 2, return_indices=True), X[0, 0]),
    "avg_pool1d": (lambda x: F.avg_pool1d(x, 2, 1), X[0]),
    "cat": (lambda x, y: F.cat([x, y]), normal(2, 3), normal(1, 3)),
    "concat": (lambda x, y, z: F.concat([x, y, z]), last(X), X, distinct(2, 1, 6, 5)),
    "pad": (lambda x: F.pad(x, ((1, 2), (0, 3)), 4.0), last(X)),
    "pad one image": (lambda x: F.pad(x, 1), IMAGE),
    "pad_channels": (lambda x: F.pad_channels(x, 1, 2), X),
    "channel_shuffle": (lambda x: F.channel_shuffle(x, 2), last(X)),
    "stochastic_depth": (lambda x: (fc.manual_seed(1), F.stochastic_depth(x, 0.5))[1], last(X)),
    "flatten": (lambda x: F.flatten(x, 1) * np.arange(120.0), last(X)),
    "flatten a part": (lambda x: F.flatten(x, 1, 2), X),
    "add": (F.add, last(X), X + 1),
    "add, relu": (lambda x, y: F.add(x, y, "relu"), X, X[::-1] / 3),
    "add, silu": (lambda x, y: F.add(x, y, "silu"), X, X[::-1] / 3),
    "cast": (lambda x: F.cast(x, "float64"), X),
}


def conv_with(activation):
    def function(x, w, b, r):
        return F.conv2d(x, w, b, padding=1, activation=activation, residual=r)

    return function


CASES |= {
    f"conv2d, {name}": (conv_with(name), X, normal(3, 4, 3, 3), normal(3), normal(2, 3, 6, 5))
    for name in (None, "relu", "relu6", "sigmoid", "silu")
}
CASES["conv2d of one image, residual"] = (conv_with("relu"), IMAGE, normal(3, 4, 3, 3), normal(3), normal(3, 6, 5))


@pytest.mark.parametrize("name", CASES)
def test_gradients(name):
    assert fc.gradcheck(CASES[name][0], CASES[name][1:])


def test_dropout_gradient():
    def function(x):
        fc.manual_seed(1)
        return F.dropout(x, 0.4)

    assert fc.gradcheck(function, X) and fc.gradcheck(function, last(X))


def each(result):
    return result if isinstance(result, tuple) else (result,)


@pytest.mark.parametrize("name", CASES)
def test_arrays_give_arrays_and_tensors_the_same_as_tensors(name):
    function, *inputs = CASES[name]
    arrays = each(function(*inputs))
    plain = each(function(*map(fc.Tensor, inputs)))
    recorded = each(function(*(fc.Tensor(array, requires_grad=True) for array in inputs)))
    for array, tensor, other in zip(arrays, plain, recorded, strict=True):
        assert (isinstance(array, np.ndarray) and tensor.is_leaf and not other.is_leaf) or other.dtype == np.int64
        np.testing.assert_array_equal(array, tensor.data)
        np.testing.assert_allclose(array, other.data, rtol=1e-14)  # fused or not
        assert array.strides == tensor.data.strides


def test_every_function_is_tested():
    source = "".join(CASES) + "dropout"
    assert all(name in source for name in F.__all__)


IMAGES = {
    "conv2d": lambda x: F.conv2d(x, np.ones((5, 4, 3, 3), np.float32)),
    "relu": F.relu,
    "max_pool2d": lambda x: F.max_pool2d(x, 2),
    "avg_pool2d": lambda x: F.avg_pool2d(x, 2),
    "adaptive_avg_pool2d": lambda x: F.adaptive_avg_pool2d(x, 1),
    "adaptive_max_pool2d": lambda x: F.adaptive_max_pool2d(x, 2),
    "batch_norm": lambda x: F.batch_norm(x, None, None, training=True),
    "batch_norm, stored": lambda x: F.batch_norm(x, *np.ones((2, 4), np.float32)),
    "local_response_norm": lambda x: F.local_response_norm(x, 3),
    "dropout": F.dropout,
    "concat": lambda x: F.concat([np.ones((2, 3, 6, 5), np.float32), x, x]),
    "pad": lambda x: F.pad(x, 1),
    "flatten": lambda x: F.flatten(x, 1),
    "add": lambda x: F.add(x, x, "relu"),
    "softmax": lambda x: F.softmax(x, 1),
}


@pytest.mark.parametrize("name", IMAGES)
def test_gradients_stay_channels_last(name):
    """Whatever format the gradient comes in, that of a channels-last batch is channels-last: no conversions below."""
    formats = []

    class Look(fc.Function):
        @staticmethod
        def forward(ctx, x):
            return x

        @staticmethod
        def backward(ctx, grad):
            formats.append((is_channels_last(grad), grad.dtype.name))
            return grad

    y = IMAGES[name](Look.apply(fc.Tensor(last(X.astype(np.float32)), requires_grad=True)))
    y.backward(np.ones(y.shape, np.float32))
    assert formats == [(True, "float32")]


# <F(x), g> = <x, F'(g)> for linear F, in integers: exact.
LINEAR = {
    "conv2d": (lambda x, w: F.conv2d(x, w, None, 2, 1), (2, 6, 7, 5), (4, 6, 3, 3)),
    "conv2d, grouped": (lambda x, w: F.conv2d(x, w, None, 1, 1, 2, 3), (2, 6, 7, 5), (9, 2, 3, 3)),
    "conv1d": (lambda x, w: F.conv1d(x, w, None, 2, 1), (2, 6, 9), (4, 6, 3)),
    "conv_transpose2d": (lambda x, w: F.conv_transpose2d(x, w, None, 2, 1), (2, 6, 4, 5), (6, 4, 3, 3)),
    "linear": (F.linear, (5, 24), (7, 24)),
    "interpolate": (lambda x: F.interpolate(x, scale_factor=2), (2, 6, 3, 2)),
    "avg_pool2d": (lambda x: F.avg_pool2d(x, 2), (2, 6, 6, 4)),
    "pad": (lambda x: F.pad(x, (1, 2)), (2, 6, 7, 5)),
    "flatten": (lambda x: F.flatten(x, 1), (2, 6, 7, 5)),
    "concat": (lambda x, y: F.concat([x, y]), (2, 6, 3, 3), (2, 2, 3, 3)),
}


@pytest.mark.parametrize("name", LINEAR)
def test_adjoints_are_exact(name, device, direct_only):
    function, *shapes = LINEAR[name]
    scale = 4 if name == "avg_pool2d" else 1
    operands = [integers(shape, i, "float32") * np.float32(scale) for i, shape in enumerate(shapes)]
    tensors = [fc.Tensor(device.put(array), requires_grad=True) for array in operands]
    y = function(*tensors)
    grad = integers(y.shape, 9, "float32") * np.float32(scale)
    y.backward(device.put(grad))
    inner = (device.get(y.data).astype(np.float64) * grad).sum()
    for array, tensor in zip(operands, tensors, strict=True):
        if name == "concat":
            continue
        assert (device.get(tensor.grad).astype(np.float64) * array).sum() == inner
    if name == "concat":
        assert sum((device.get(t.grad) * a).sum() for t, a in zip(tensors, operands, strict=True)) == inner


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "float64"])
def test_linear_gradients_are_exact(dtype, device):
    if device.name == "cuda" and dtype == "bfloat16":
        pytest.skip("CuPy has no bfloat16")
    x, w, grad = integers((5, 24), 0, dtype), integers((7, 24), 1, dtype), integers((5, 7), 2, dtype)
    arrays = [device.put(array) for array in (x, w, grad)]
    dx = fc.ops.linear_input_grad(arrays[2], arrays[1])
    dw = fc.ops.linear_weight_grad(arrays[2], arrays[0])
    db = fc.ops.linear_bias_grad(arrays[2])
    wide = [array.astype(np.float64) for array in (x, w, grad)]
    for ours, exact in ((dx, wide[2] @ wide[1]), (dw, wide[2].T @ wide[0]), (db, wide[2].sum(0))):
        np.testing.assert_array_equal(device.get(ours), exact.astype(numpy_dtype(dtype)))


def test_bias_gradients_are_exact(ops):
    for shape in ((2, 5, 4, 3), (3, 64, 9, 9), (1, 1, 1, 1), (2, 3, 0, 4)):
        grad = integers(shape, 0, "float32")
        np.testing.assert_array_equal(ops.conv2d_bias_grad(grad), grad.sum(axis=(0, 2, 3)))


SMALL = {
    "conv2d": lambda x, p: F.conv2d(x, p["w"], p["b"], 1, 1, activation="relu"),
    "linear": lambda x, p: F.linear(F.flatten(x, 1), p["m"]),
    "batch_norm": lambda x, p: F.batch_norm(x, None, None, p["b"], p["b"], True),
    "max_pool2d": lambda x, p: F.max_pool2d(x, 2) * 2,
    "dropout": lambda x, p: F.dropout(x, 0.5),
    "add": lambda x, p: F.add(x, F.sigmoid(x), "relu"),
}


@pytest.mark.parametrize("name", SMALL)
def test_every_device_gives_the_same_gradients(name, device):
    """The executor, and a GPU, beside the CPU."""
    arrays = {"w": normal(4, 4, 3, 3), "b": normal(4), "m": normal(3, 64), "x": normal(2, 4, 4, 4)}
    arrays = {key: array.astype(np.float32) for key, array in arrays.items()}
    results = []
    for put, where in ((lambda array: array, "cpu"), (device.put, device.name.partition("-")[0])):
        with fc.device(where):
            fc.manual_seed(0)
            parameters = {key: fc.Tensor(put(array), requires_grad=True) for key, array in arrays.items()}
            x = parameters["x"]
            y = SMALL[name](x, parameters)
            (y * y).sum().backward()
            grads = [p.grad for p in parameters.values() if p.grad is not None]
        results.append([y.numpy(), *(fc.Tensor(grad).numpy() for grad in grads)])
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)


def net():
    fc.manual_seed(5)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 16, 3), nn.ReLU(),
        nn.Flatten(), nn.Dropout(0.5), nn.Linear(16 * 9, 10),
    )  # fmt: skip


def gradients_of(model, x, labels):
    loss = F.cross_entropy(model(fc.Tensor(x)), labels)
    loss.backward()
    return [loss.data, *(p.grad for p in model.parameters()), *model.state_dict().values()]


def test_bits_do_not_depend_on_threads(threads):
    x, labels = normal(16, 3, 10, 10).astype(np.float32), np.arange(16) % 10
    results = []
    for count in (1, 2, 5):
        threads(count)
        results.append(gradients_of(net(), x, labels))
    for one, *others in zip(*results, strict=True):
        assert all(np.array_equal(one, other) for other in others)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_autocast(dtype):
    x, labels = normal(8, 3, 10, 10).astype(np.float32), np.arange(8)
    model = net()
    with fc.autocast(dtype):
        y = model(fc.Tensor(x))
        loss = F.cross_entropy(y, labels)
        assert y.dtype.name == dtype and loss.dtype == np.float32 and F.softmax(y).dtype == np.float32
        assert isinstance(model.eval()(x), np.ndarray) and model(x).dtype.name == dtype
        with fc.autocast(None):
            assert model(x).dtype == np.float32
    loss.backward()
    assert all(p.dtype == np.float32 and p.grad.dtype == np.float32 for p in model.parameters())


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_autocast_is_exact_where_numbers_are(dtype, direct_only):
    """Integers below 2^8, which both types hold: the gradients are those of float32, bit for bit."""
    results = []
    for cast in (None, dtype):
        layers = nn.Conv2d(2, 3, 2), nn.Linear(12, 4)
        for i, parameter in enumerate([p for layer in layers for p in layer.parameters()]):
            parameter.data = np.clip(integers(parameter.shape, i, "float32"), -1, 1)
        x = fc.Tensor(np.clip(integers((2, 2, 3, 3), 9, "float32"), -1, 1), requires_grad=True)
        with fc.autocast(cast):
            y = layers[1](F.flatten(layers[0](x), 1))
        y.backward(np.clip(integers(y.shape, 10, "float32"), -1, 1).astype(y.dtype))
        assert x.grad.dtype == np.float32 and y.dtype.name == (cast or "float32")
        grads = [p.grad for layer in layers for p in layer.parameters()]
        results.append([y.data.astype(np.float32), x.grad, *grads])
    for wide, low in zip(*results, strict=True):
        assert np.abs(wide).max() < 256
        np.testing.assert_array_equal(wide, low)


def test_autocast_joins_what_meets():
    x = fc.Tensor(X.astype(np.float32), requires_grad=True)
    branch = nn.Conv2d(4, 4, 3, padding=1)
    with fc.autocast("float16"):
        for block in (
            nn.Residual(branch, activation="relu"),
            nn.Residual(nn.Sequential(branch)),
            nn.Concat(branch, branch),
        ):
            y = block(x)
            assert y.dtype == np.float16
            y.sum().backward()
        assert F.concat([branch(x), x]).dtype == np.float16
    assert x.grad.dtype == np.float32


def test_random_numbers_come_from_one_state():
    fc.manual_seed(11)
    first = [nn.Linear(3, 3).weight.data, F.dropout(np.ones(64)), F.dropout(np.ones(64))]
    assert not np.array_equal(first[1], first[2])
    state = nn.init.get_state()
    rest = [nn.Linear(3, 3).weight.data, F.dropout(np.ones(64))]
    import json

    for seed in (11, 12):
        fc.manual_seed(seed)
        again = [nn.Linear(3, 3).weight.data, F.dropout(np.ones(64)), F.dropout(np.ones(64))]
        assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True)) == (seed == 11)
    nn.init.set_state(json.loads(json.dumps(state)))
    for a, b in zip(rest, [nn.Linear(3, 3).weight.data, F.dropout(np.ones(64))], strict=True):
        np.testing.assert_array_equal(a, b)
    with pytest.raises(fc.StateDictError, match="state: expected what get_state returned"):
        nn.init.set_state({"generator": 3})


@pytest.mark.parametrize(
    ("call", "kind", "text"),
    [
        (lambda: F.dropout(X, 1.5), fc.ShapeError, r"p: expected a probability"),
        (lambda: F.cat(np.ones(3)), fc.DTypeError, "tensors: expected a sequence"),
        (lambda: F.flatten(X, 2, 1), fc.ShapeError, "start_dim, end_dim: expected axes"),
        (lambda: F.add(X, IMAGE), fc.ShapeError, "y: expected the shape of x"),
        (lambda: F.add(X, X, "tanh"), fc.AlgorithmError, "activation: expected one of"),
        (lambda: F.conv2d(fc.Tensor(X, True), X, activation="gelu"), fc.AlgorithmError, "activation: expected"),
        (lambda: F.conv2d(fc.Tensor(IMAGE[0], True), X), fc.ShapeError, "x: expected shape"),
        (lambda: F.batch_norm(X, np.ones(3), np.ones(3), training=True), fc.ShapeError, "running_mean: expected shape"),
        (lambda: F.batch_norm(X, None, None), fc.ShapeError, "running_mean, running_var: expected arrays"),
        (lambda: F.linear(X, X), fc.ShapeError, "weight: expected shape"),
        (lambda: fc.ops.linear_input_grad(np.ones((2, 3)), np.ones((4, 3))), fc.ShapeError, "grad: expected shape"),
        (lambda: fc.ops.linear_weight_grad(np.ones((2, 3)), np.ones((3, 3))), fc.ShapeError, "x: expected rows"),
        (lambda: F.max_pool2d([1], 2), fc.DTypeError, "x: expected a NumPy"),
    ],
)
def test_errors(call, kind, text):
    with pytest.raises(kind, match=text):
        call()

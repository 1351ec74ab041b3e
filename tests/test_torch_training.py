"""Training agrees with PyTorch, where it is installed: functions forward and backward, layers' states, whole steps."""

from __future__ import annotations

import numpy as np
import pytest

import fastconv as fc
from fastconv import nn
from tests.conv_check import integers

torch = pytest.importorskip("torch")
F, T = nn.functional, torch.nn.functional
RNG = np.random.default_rng(0)
X = integers((2, 6, 9, 8), 0, "float32")
REAL = (RNG.standard_normal((2, 6, 9, 8)) * 2).astype(np.float32)
VECTORS = [RNG.uniform(0.5, 1.5, 6).astype(np.float32) for _ in range(4)]
LABELS_OF_PIXELS = (REAL[::-1] > 0).astype(np.float32)
PIXEL_WEIGHTS = RNG.uniform(0.5, 2, (9, 8)).astype(np.float32)
LABELS = RNG.integers(0, 6, (2, 9, 8))


def weight(*shape):
    return integers(shape, 1, "float32")


# name: (ours, theirs, inputs, exact). Both get tensors of their own kind.
CASES = {
    "conv2d": (F.conv2d, T.conv2d, (X, weight(4, 6, 3, 3), weight(4)), (2, 1), True),
    "conv2d, grouped": (F.conv2d, T.conv2d, (X, weight(4, 3, 3, 2), weight(4)), (1, "same", 2, 2), True),
    "conv2d, depthwise": (F.conv2d, T.conv2d, (X, weight(6, 1, 3, 3), weight(6)), (1, 1, 1, 6), True),
    "conv1d": (F.conv1d, T.conv1d, (X[:, :, 0], weight(4, 6, 3), weight(4)), (2, 1), True),
    "conv_transpose2d": (
        F.conv_transpose2d,
        T.conv_transpose2d,
        (X, weight(6, 2, 3, 3), weight(4)),
        (2, 1, 1, 2),
        True,
    ),
    "linear": (F.linear, T.linear, (X[0, 0], weight(5, 8), weight(5)), (), True),
    "linear, more axes": (F.linear, T.linear, (X, weight(5, 8), weight(5)), (), True),
    "relu": (F.relu, T.relu, (X,), (), True),
    "relu6": (F.relu6, T.relu6, (X * 2,), (), True),
    "leaky_relu": (F.leaky_relu, T.leaky_relu, (X,), (0.25,), True),
    "sigmoid": (F.sigmoid, torch.sigmoid, (REAL,), (), False),
    "tanh": (F.tanh, torch.tanh, (REAL,), (), False),
    "silu": (F.silu, T.silu, (REAL,), (), False),
    "softmax": (F.softmax, T.softmax, (REAL,), (1,), False),
    "log_softmax": (F.log_softmax, T.log_softmax, (REAL,), (-1,), False),
    "max_pool2d": (F.max_pool2d, T.max_pool2d, (X,), (3, 2, 1, 1, True), True),
    "avg_pool2d": (F.avg_pool2d, T.avg_pool2d, (REAL,), (3, 2, 1, True, False), False),
    "adaptive_avg_pool2d": (F.adaptive_avg_pool2d, T.adaptive_avg_pool2d, (REAL,), ((4, 3),), False),
    "adaptive_max_pool2d": (F.adaptive_max_pool2d, T.adaptive_max_pool2d, (X,), ((4, 3),), True),
    "interpolate": (F.interpolate, T.interpolate, (X,), (None, 2), True),
    "interpolate, bilinear": (F.interpolate, T.interpolate, (REAL,), ((5, 11), None, "bilinear"), False),
    "local_response_norm": (F.local_response_norm, T.local_response_norm, (REAL,), (5, 0.5, 0.75, 2.0), False),
    "batch_norm": (
        lambda x, w, b: F.batch_norm(x, *VECTORS[2:], w, b),
        lambda x, w, b: T.batch_norm(x, *map(torch.tensor, VECTORS[2:]), w, b),
        (REAL, *VECTORS[:2]),
        (),
        False,
    ),
    "cat": (lambda a, b: F.cat([a, b], 1), lambda a, b: torch.cat([a, b], 1), (X, X[:, :2]), (), True),
    "flatten": (F.flatten, torch.flatten, (X,), (1,), True),
    "mse_loss": (F.mse_loss, T.mse_loss, (REAL, X), (), False),
    "binary_cross_entropy_with_logits": (
        lambda x: F.binary_cross_entropy_with_logits(x, LABELS_OF_PIXELS, pos_weight=np.float32(PIXEL_WEIGHTS)),
        lambda x: T.binary_cross_entropy_with_logits(
            x, torch.tensor(LABELS_OF_PIXELS), pos_weight=torch.tensor(PIXEL_WEIGHTS)
        ),
        (REAL,),
        (),
        False,
    ),
    "binary_cross_entropy": (
        lambda x: F.binary_cross_entropy(F.sigmoid(x), LABELS_OF_PIXELS, reduction="sum"),
        lambda x: T.binary_cross_entropy(torch.sigmoid(x), torch.tensor(LABELS_OF_PIXELS), reduction="sum"),
        (REAL / 4,),
        (),
        False,
    ),
    "cross_entropy, class weights": (
        lambda x: F.cross_entropy(x, LABELS, VECTORS[0], label_smoothing=0.1),
        lambda x: T.cross_entropy(x, torch.tensor(LABELS), torch.tensor(VECTORS[0]), label_smoothing=0.1),
        (REAL,),
        (),
        False,
    ),
    "hard_sigmoid": (F.hard_sigmoid, T.hardsigmoid, (REAL,), (), False),
    "hard_swish": (F.hard_swish, T.hardswish, (REAL,), (), False),
    "max_pool1d": (F.max_pool1d, T.max_pool1d, (X[0],), (3, 2, 1), True),
    "avg_pool1d": (F.avg_pool1d, T.avg_pool1d, (REAL[0],), (3, 2, 1), False),
    "cross_entropy": (
        lambda x: F.cross_entropy(x, LABELS, ignore_index=2, label_smoothing=0.1),
        lambda x: T.cross_entropy(x, torch.tensor(LABELS), ignore_index=2, label_smoothing=0.1),
        (REAL,),
        (),
        False,
    ),
}


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("name", CASES)
def test_functions(name, channels_last):
    ours, theirs, inputs, arguments, exact = CASES[name]
    arrays = [fc.ops.channels_last(array) if channels_last and array.ndim == 4 else array for array in inputs]
    own = [fc.Tensor(array, requires_grad=True) for array in arrays]
    other = [torch.tensor(array).requires_grad_() for array in inputs]
    y, z = ours(*own, *arguments), theirs(*other, *arguments)
    tolerance = {"rtol": 0, "atol": 0} if exact else {"rtol": 2e-5, "atol": 2e-5}
    np.testing.assert_allclose(y.data, z.detach().numpy(), **tolerance)
    grad = integers(tuple(z.shape), 9, "float32")
    y.backward(grad)
    z.backward(torch.tensor(grad))
    for mine, yours in zip(own, other, strict=True):
        np.testing.assert_allclose(mine.grad, yours.grad.numpy(), **tolerance)


def test_tensor_methods():
    array = RNG.standard_normal((3, 4)).astype(np.float32)

    def formula(x):
        y = (x * x + 1).sqrt().log() + abs(x) ** 3 / (2 - x.T @ x).exp().sum()
        return (y[1:, ::2] - x.mean(1)[:2].reshape(2, 1)).sum()

    def in_torch(x):
        y = (x * x + 1).sqrt().log() + abs(x) ** 3 / (2 - x.T @ x).exp().sum()
        return (y[1:, ::2] - x.mean(1)[:2].reshape(2, 1)).sum()

    x, t = fc.Tensor(array, requires_grad=True), torch.tensor(array).requires_grad_()
    formula(x).backward()
    in_torch(t).backward()
    np.testing.assert_allclose(x.grad, t.grad.numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("momentum", [0.1, None])
@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("track", [True, False])
def test_batch_norm_layers(momentum, affine, track):
    for ours, theirs, shape in (
        (nn.BatchNorm2d, torch.nn.BatchNorm2d, (4, 6, 5, 3)),
        (nn.BatchNorm1d, torch.nn.BatchNorm1d, (7, 6)),
        (nn.BatchNorm1d, torch.nn.BatchNorm1d, (4, 6, 5)),
    ):
        own, other = ours(6, 1e-4, momentum, affine, track), theirs(6, 1e-4, momentum, affine, track)
        assert list(own.state_dict()) == list(other.state_dict())
        for step in range(3):
            batch = (RNG.standard_normal(shape) * (step + 1) + 3).astype(np.float32)
            grad = RNG.standard_normal(shape).astype(np.float32)
            x, t = fc.Tensor(batch, requires_grad=True), torch.tensor(batch).requires_grad_()
            y, z = own(x), other(t)
            y.backward(grad)
            z.backward(torch.tensor(grad))
            np.testing.assert_allclose(y.data, z.detach().numpy(), rtol=1e-4, atol=1e-5)
            np.testing.assert_allclose(x.grad, t.grad.numpy(), rtol=1e-3, atol=1e-5)
            np.testing.assert_allclose(own(batch), y.data, rtol=1e-6)
            other(t)
            for key, value in own.state_dict().items():
                np.testing.assert_allclose(value, other.state_dict()[key].numpy(), rtol=1e-5, atol=1e-6, err_msg=key)
        np.testing.assert_allclose(own.eval()(batch), other.eval()(t).detach().numpy(), rtol=1e-4, atol=1e-4)


def nets():
    """The same small network twice."""

    def layers(kit):
        return [
            kit.Conv2d(1, 8, 3, padding=1), kit.BatchNorm2d(8), kit.ReLU(), kit.MaxPool2d(2),
            kit.Conv2d(8, 16, 3, stride=2, bias=False), kit.ReLU(), kit.AvgPool2d(2),
            kit.Flatten(), kit.Linear(16, 12), kit.Tanh(), kit.Linear(12, 5),
        ]  # fmt: skip

    fc.manual_seed(1)
    own, other = nn.Sequential(*layers(nn)), torch.nn.Sequential(*layers(torch.nn))
    other.load_state_dict({key: torch.tensor(value) for key, value in own.state_dict().items()})
    return own, other


def test_training_steps():
    """Plain gradient descent on the same batches: losses, and at the end every parameter and statistic."""
    own, other = nets()
    for step in range(6):
        batch = RNG.standard_normal((12, 1, 11, 11)).astype(np.float32)
        labels = RNG.integers(0, 5, 12)
        own.zero_grad()
        other.zero_grad()
        loss, reference = (
            F.cross_entropy(own(fc.Tensor(batch)), labels),
            T.cross_entropy(other(torch.tensor(batch)), torch.tensor(labels)),
        )
        np.testing.assert_allclose(loss.item(), reference.item(), rtol=1e-4, err_msg=f"step {step}")
        loss.backward()
        reference.backward()
        for parameter in own.parameters():
            with parameter.writing() as array:
                array -= np.float32(0.1) * parameter.grad
        with torch.no_grad():
            for parameter in other.parameters():
                parameter -= 0.1 * parameter.grad
    for key, value in own.state_dict().items():
        np.testing.assert_allclose(value, other.state_dict()[key].numpy(), rtol=1e-3, atol=1e-4, err_msg=key)
    batch = RNG.standard_normal((3, 1, 11, 11)).astype(np.float32)
    with torch.no_grad():
        expected = other.eval()(torch.tensor(batch)).numpy()
    np.testing.assert_allclose(own.eval()(batch), expected, rtol=1e-3, atol=1e-4)


def test_conv_transpose_starts_as_torchs_does():
    """The same bound of the initial values: fan-in is of the weight's second axis."""
    theirs = torch.nn.ConvTranspose2d(64, 16, 3, groups=2)
    ours = nn.ConvTranspose2d(64, 16, 3, groups=2)
    assert ours.weight.shape == tuple(theirs.weight.shape)
    bound = 1 / np.sqrt(8 * 9)
    for values in (ours.weight.data, theirs.weight.detach().numpy()):
        assert bound * 0.98 < np.abs(values).max() <= bound

"""Agreement with PyTorch, where it is installed: same arguments, same meaning, same numbers."""

from __future__ import annotations

import numpy as np
import pytest

import fastconv as fc
from tests.conv_check import integers

torch = pytest.importorskip("torch")
F = torch.nn.functional
X = integers((2, 6, 11, 9), 0, "float32")


def same(ours, theirs):
    np.testing.assert_array_equal(ours, theirs.numpy())


STRIDED = [(stride, padding) for stride in (1, 2, (3, 1)) for padding in (0, 1, (2, 0), "valid")]


@pytest.mark.parametrize(("stride", "padding"), [*STRIDED, (1, "same")])  # "same" knows no stride, here and there
@pytest.mark.parametrize("dilation", [1, 2, (1, 3)])
@pytest.mark.parametrize("groups", [1, 2, 6])
def test_conv2d(stride, padding, dilation, groups):
    w, b = integers((12, 6 // groups, 4, 3), 1, "float32"), integers((12,), 2, "float32")
    arguments = (stride, padding, dilation, groups)
    same(fc.ops.conv2d(X, w, b, *arguments), F.conv2d(*map(torch.tensor, (X, w, b)), *arguments))


def test_torch_tensors_come_in_without_a_copy():
    x, w = (
        torch.tensor(X).contiguous(memory_format=torch.channels_last),
        torch.tensor(integers((4, 6, 3, 3), 1, "float32")),
    )
    y = fc.ops.conv2d(x, w, padding=1)
    same(y, F.conv2d(x, w, padding=1))
    assert y.transpose(0, 2, 3, 1).flags.c_contiguous
    with pytest.raises(fc.DTypeError, match="x: Tensor cannot be read by DLPack"):
        fc.ops.relu(x.requires_grad_())


@pytest.mark.parametrize("ceil_mode", [False, True])
@pytest.mark.parametrize(
    ("kernel", "stride", "padding"), [(2, None, 0), (3, 2, 1), ((3, 2), (2, 3), (1, 0)), (5, 4, 2)]
)
def test_pools(kernel, stride, padding, ceil_mode):
    x = torch.tensor(X)
    for dilation in (1, 2) if kernel != 5 else (1,):
        ours = fc.ops.max_pool2d(X, kernel, stride, padding, dilation, ceil_mode, True)
        theirs = F.max_pool2d(x, kernel, stride, padding, dilation, ceil_mode, True)
        same(ours[0], theirs[0])
        same(ours[1], theirs[1])
    for count in (False, True):
        ours = fc.ops.avg_pool2d(X, kernel, stride, padding, ceil_mode, count)
        np.testing.assert_allclose(ours, F.avg_pool2d(x, kernel, stride, padding, ceil_mode, count).numpy(), rtol=1e-6)


def test_every_small_pooling_shape():
    """All extents, kernels, strides, paddings and dilations up to 7: the arithmetic of window counts."""
    for extent in range(1, 8):
        x = torch.arange(float(extent)).reshape(1, 1, 1, extent)
        for kernel in range(1, 5):
            for stride in range(1, 5):
                for padding in range(kernel // 2 + 1):
                    for dilation in (1, 2):
                        for ceil_mode in (False, True):
                            arguments = ((1, kernel), (1, stride), (0, padding), (1, dilation), ceil_mode)
                            if extent + 2 * padding < dilation * (kernel - 1) + 1:
                                continue
                            same(fc.ops.max_pool2d(x, *arguments), F.max_pool2d(x, *arguments))
                            if dilation == 1:
                                arguments = (*arguments[:3], ceil_mode, True)
                                same(fc.ops.avg_pool2d(x, *arguments), F.avg_pool2d(x, *arguments))


def gradients(function, *arrays):
    """What PyTorch's autograd gives for the sum of grad times function(*arrays), after grad and the result."""
    leaves = [torch.tensor(array).requires_grad_() for array in arrays]
    y = function(*leaves)
    grad = torch.tensor(integers(tuple(y.shape), 9, "float32")).to(y.dtype)
    y.backward(grad)
    return grad.numpy(), y.detach(), *(leaf.grad.numpy() for leaf in leaves)


@pytest.mark.parametrize("ceil_mode", [False, True])
@pytest.mark.parametrize(
    ("kernel", "stride", "padding"), [(2, None, 0), (3, 2, 1), ((3, 2), (2, 3), (1, 0)), (5, 4, 2)]
)
def test_pool_gradients(kernel, stride, padding, ceil_mode):
    for dilation in (1, 2) if kernel != 5 else (1,):
        arguments = (kernel, stride, padding, dilation, ceil_mode)
        grad, _, theirs = gradients(lambda x, arguments=arguments: F.max_pool2d(x, *arguments), X)
        _, indices = fc.ops.max_pool2d(X, *arguments, return_indices=True)
        np.testing.assert_array_equal(fc.ops.max_pool2d_grad(grad, indices, X.shape, *arguments), theirs)
    for count in (False, True):
        arguments = (kernel, stride, padding, ceil_mode, count)
        grad, _, theirs = gradients(lambda x, arguments=arguments: F.avg_pool2d(x, *arguments), X)
        np.testing.assert_allclose(fc.ops.avg_pool2d_grad(grad, X.shape, *arguments), theirs, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("size", [1, 4, (5, 2), 12])
def test_adaptive_pool_gradients(size):
    grad, _, theirs = gradients(lambda x: F.adaptive_avg_pool2d(x, size), X)
    np.testing.assert_allclose(fc.ops.adaptive_avg_pool2d_grad(grad, X.shape), theirs, rtol=1e-6, atol=1e-6)
    grad, _, theirs = gradients(lambda x: F.adaptive_max_pool2d(x, size), X)
    _, indices = fc.ops.adaptive_max_pool2d(X, size, True)
    np.testing.assert_array_equal(fc.ops.adaptive_max_pool2d_grad(grad, indices, X.shape), theirs)


def test_a_training_step_of_batch_norm():
    x = np.random.default_rng(0).standard_normal((4, 6, 11, 9)).astype(np.float32) + 2
    weight, bias = np.random.default_rng(1).standard_normal((2, 6)).astype(np.float32)
    grad, y, dx, dweight, dbias = gradients(
        lambda *t: F.batch_norm(t[0], None, None, t[1], t[2], True), x, weight, bias
    )
    ours, mean, inverse_std = fc.ops.batch_norm_train(x, weight, bias)
    np.testing.assert_allclose(ours, y.numpy(), rtol=1e-5, atol=1e-5)
    for own, theirs in zip(
        fc.ops.batch_norm_grad(grad, x, weight, mean, inverse_std), (dx, dweight, dbias), strict=True
    ):
        np.testing.assert_allclose(own, theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("size", [1, 4, 5])
def test_local_response_norm_gradient(size):
    grad, _, theirs = gradients(lambda x: F.local_response_norm(x, size, 0.5, 0.75, 2.0), X)
    np.testing.assert_allclose(fc.ops.local_response_norm_grad(grad, X, size, 0.5, 0.75, 2.0), theirs, atol=2e-6)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy(smoothing, reduction):
    target = np.random.default_rng(0).integers(0, 6, (2, 11, 9))
    target[0, 3] = -100
    named = {"label_smoothing": smoothing, "reduction": reduction}
    grad, y, theirs = gradients(lambda x: F.cross_entropy(x, torch.tensor(target), **named), X)
    np.testing.assert_allclose(fc.ops.cross_entropy(X, target, **named), y.numpy(), rtol=2e-6, atol=2e-6)
    ours = fc.ops.cross_entropy_grad(grad, X, target, **named)
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=2e-6)


def test_pointwise_gradients():
    x = np.random.default_rng(0).standard_normal((5, 37)).astype(np.float32) * 3
    functions = {"relu": F.relu, "relu6": F.relu6, "sigmoid": torch.sigmoid, "tanh": torch.tanh, "silu": F.silu}
    for name, function in functions.items():
        grad, _, theirs = gradients(function, x)
        np.testing.assert_allclose(fc.ops.activation_grad(x, grad, name), theirs, rtol=1e-5, atol=1e-6)
    for function, ours in (
        (F.softmax, lambda y, g: fc.ops.softmax_grad(y, g, 1)),
        (F.log_softmax, lambda y, g: fc.ops.log_softmax_grad(y, g, 1)),
    ):
        grad, y, theirs = gradients(lambda x, function=function: function(x, 1), x)
        np.testing.assert_allclose(ours(y.numpy(), grad), theirs, rtol=1e-5, atol=2e-6)


def test_optimizer_steps():
    param, *grads = np.random.default_rng(0).standard_normal((4, 3, 5)).astype(np.float32)
    for make, update in (
        (
            lambda p: torch.optim.SGD(p, 0.1, momentum=0.9, weight_decay=0.01, nesterov=True),
            lambda p, g, s, i: fc.ops.sgd_update(
                p, g, s[0], lr=0.1, momentum=0.9, weight_decay=0.01, nesterov=True, first=i == 0
            ),
        ),
        (
            lambda p: torch.optim.AdamW(p, 0.01, weight_decay=0.1),
            lambda p, g, s, i: fc.ops.adam_update(p, g, *s, i + 1, lr=0.01, weight_decay=0.1, decoupled=True),
        ),
    ):
        theirs, ours, state = torch.tensor(param), param.copy(), np.zeros((2, *param.shape), np.float32)
        optimizer = make([theirs])
        for i, grad in enumerate(grads):
            theirs.grad = torch.tensor(grad)
            optimizer.step()
            update(ours, grad, state, i)
            np.testing.assert_allclose(ours, theirs.numpy(), rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize("size", [1, 4, (5, 2), (None, 3), 12])
def test_adaptive_pools(size):
    x = torch.tensor(X)
    np.testing.assert_allclose(
        fc.ops.adaptive_avg_pool2d(X, size), F.adaptive_avg_pool2d(x, size).numpy(), rtol=1e-6, atol=1e-7
    )
    ours, at = fc.ops.adaptive_max_pool2d(X, size, True)
    theirs, there = F.adaptive_max_pool2d(x, size, True)
    same(ours, theirs)
    same(at, there)


def test_pointwise():
    x = np.random.default_rng(0).standard_normal((2, 6, 5, 4)).astype(np.float32)
    t = torch.tensor(x)
    weights = [v.astype(np.float32) for v in np.random.default_rng(1).random((4, 6))]
    pairs = [
        (fc.ops.relu(x), F.relu(t)),
        (fc.ops.relu6(x * 5), F.relu6(t * 5)),
        (fc.ops.leaky_relu(x, 0.2), F.leaky_relu(t, 0.2)),
        (fc.ops.sigmoid(x), torch.sigmoid(t)),
        (fc.ops.tanh(x), torch.tanh(t)),
        (fc.ops.silu(x), F.silu(t)),
        (fc.ops.softmax(x, 1), F.softmax(t, 1)),
        (fc.ops.log_softmax(x, 1), F.log_softmax(t, 1)),
        (fc.ops.local_response_norm(x, 5, 0.5, 0.75, 2.0), F.local_response_norm(t, 5, 0.5, 0.75, 2.0)),
        (fc.ops.batch_norm(x, *weights), F.batch_norm(t, *map(torch.tensor, weights))),
        (fc.ops.pad(x, ((1, 2), (0, 3)), 4.0), F.pad(t, (0, 3, 1, 2), value=4.0)),
        (fc.ops.linear(x, np.ones((3, 4), np.float32)), F.linear(t, torch.ones(3, 4))),
        (fc.ops.conv1d(x[:, :, 0], np.ones((2, 3, 2), np.float32), groups=2, padding=1),
         F.conv1d(t[:, :, 0], torch.ones(2, 3, 2), groups=2, padding=1)),
    ]  # fmt: skip
    for ours, theirs in pairs:
        np.testing.assert_allclose(ours, theirs.numpy(), rtol=2e-6, atol=2e-6)


def torch_alexnet():
    nn = torch.nn

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.features = nn.Sequential(
                nn.Conv2d(3, 64, 11, 4, 2), nn.ReLU(), nn.MaxPool2d(3, 2), nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(),
                nn.MaxPool2d(3, 2), nn.Conv2d(192, 384, 3, padding=1), nn.ReLU(), nn.Conv2d(384, 256, 3, padding=1),
                nn.ReLU(), nn.Conv2d(256, 256, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2),
            )  # fmt: skip
            self.classifier = nn.Sequential(
                nn.Dropout(),
                nn.Linear(9216, 4096),
                nn.ReLU(),
                nn.Dropout(),
                nn.Linear(4096, 4096),
                nn.ReLU(),
                nn.Linear(4096, 1000),
            )

        def forward(self, x):
            x = F.adaptive_avg_pool2d(self.features(x), (6, 6))
            return self.classifier(torch.flatten(x, 1))

    return Net()


def test_alexnet_with_torchs_weights():
    torch.manual_seed(0)
    theirs = torch_alexnet().eval()
    ours = fc.models.create("alexnet")
    ours.load_state_dict({name: tensor.numpy() for name, tensor in theirs.state_dict().items()})
    x = np.random.default_rng(0).standard_normal((2, 3, 224, 224)).astype(np.float32)
    with torch.inference_mode():
        expected = theirs(torch.tensor(x)).numpy()
    np.testing.assert_allclose(ours.eval()(x), expected, rtol=1e-4, atol=1e-5)

"""Containers, and what layers share: gradients forgotten, frozen parameters, layers used twice, copies."""

from __future__ import annotations

import copy

import numpy as np
import pytest

import fastconv as fc
from fastconv import nn
from tests.conv_check import integers

X = integers((2, 3, 6, 6), 0, "float32")


def exact(layer):
    for i, parameter in enumerate(layer.parameters()):
        parameter.data = integers(parameter.shape, i, "float32")
    return layer


@pytest.mark.parametrize("activation", [None, "relu", "relu6", "silu"])
@pytest.mark.parametrize("hook", [False, True])
def test_residual_blocks_fuse_and_change_no_bit(activation, hook, direct_only):
    body = exact(nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 5, 3, padding=1)))
    shortcut = exact(nn.Conv2d(3, 5, 1))
    block = nn.Residual(body, shortcut, activation)
    if hook:
        body[-1].register_forward_hook(lambda module, x, y: None)
    expected = body(X) + shortcut(X)
    if activation:
        expected = getattr(fc.ops, activation)(expected)
    np.testing.assert_allclose(block(X), expected, rtol=2e-7 if activation == "silu" else 0)
    x = fc.Tensor(X, requires_grad=True)
    block(x).sum().backward()
    y = fc.Tensor(X, requires_grad=True)
    again = body(y) + shortcut(y)
    again = getattr(nn.functional, activation)(again) if activation else again
    again.sum().backward()
    np.testing.assert_allclose(x.grad, y.grad, rtol=0 if activation != "silu" else 1e-4, atol=1e-3)


def test_residual_over_any_body():
    block = nn.Residual(nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3)), activation="relu")
    assert next(iter(block.state_dict())) == "body.0.weight"
    x = fc.Tensor(X, requires_grad=True)
    y = block(x)
    assert y.data.min() == 0
    y.sum().backward()
    assert x.grad.shape == X.shape
    with pytest.raises(fc.ModelError, match="activation: expected a module or one of relu"):
        nn.Residual(nn.Identity(), activation="tan")


def test_concat_and_lists():
    net = nn.Concat(nn.Identity(), exact(nn.Conv2d(3, 2, 1)))
    y = net(X)
    np.testing.assert_array_equal(y[:, :3], X)
    x = fc.Tensor(X, requires_grad=True)
    net(x).sum().backward()
    weight = list(net.children())[1].weight.data
    np.testing.assert_array_equal(x.grad, np.broadcast_to(1 + weight.sum(axis=0), X.shape))
    layers = nn.ModuleList([nn.Linear(2, 2)])
    layers.append(nn.Linear(2, 3))
    assert len(layers) == 2 and list(layers)[1] is layers[1] and layers[-1].out_features == 3
    assert list(layers.state_dict()) == ["0.weight", "0.bias", "1.weight", "1.bias"]
    for wrong in (lambda: nn.ModuleList([3]), lambda: nn.Concat(3), nn.Concat):
        with pytest.raises(fc.ModelError):
            wrong()


def test_gradients_are_forgotten_and_frozen():
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(64, 2))
    net[0].requires_grad_(False)
    net(fc.Tensor(X)).sum().backward()
    assert net[0].weight.grad is None and net[2].weight.grad is not None
    net.zero_grad()
    assert all(p.grad is None for p in net.parameters())
    assert not net.requires_grad_(False)(fc.Tensor(X)).requires_grad


def test_a_layer_used_twice_is_one_and_gets_both_gradients():
    layer = exact(nn.Linear(3, 3))
    net = nn.Sequential(layer, layer)
    assert [name for name, _ in net.named_parameters()] == ["0.weight", "0.bias"]
    assert net.parameter_count() == 12
    rows = fc.Tensor(integers((2, 3), 5, "float32"))
    net(rows).sum().backward()
    total = layer.weight.grad
    layer.weight.grad = None
    hidden = layer(rows.detach())
    inner = fc.Tensor(hidden.data, requires_grad=True)
    layer(inner).sum().backward()
    hidden.backward(inner.grad)
    np.testing.assert_array_equal(layer.weight.grad, total)


def test_copies_train_apart():
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    net(X)
    twin = copy.deepcopy(net)
    assert not twin[0].weight.data.flags.writeable
    np.testing.assert_array_equal(net.eval()(X), twin.eval()(X))
    with twin[0].weight.writing() as array:
        array[...] = 0
    assert net[0].weight.data.any()
    bias = twin[0].bias.data.reshape(1, 4, 1, 1)
    np.testing.assert_array_equal(twin[0](X), np.broadcast_to(bias, (2, 4, 4, 4)))


def test_unpooling_undoes_pooling():
    pool, unpool = nn.MaxPool2d(2, return_indices=True), nn.MaxUnpool2d(2)
    image = np.arange(36, dtype=np.float32).reshape(1, 1, 6, 6)
    y, indices = pool(image)
    assert (unpool(y, indices)[0, 0, 1::2, 1::2] == image[0, 0, 1::2, 1::2]).all()
    x = fc.Tensor(image, requires_grad=True)
    y, indices = pool(x)
    unpool(y, indices).sum().backward()
    assert x.grad.sum() == 9 and (x.grad[0, 0, 1::2, 1::2] == 1).all()


def test_upsampling_and_transposed_layers():
    net = nn.Sequential(nn.ConvTranspose2d(3, 4, 2, stride=2), nn.ReLU(), nn.Upsample(scale_factor=2, mode="bilinear"))
    assert net(X).shape == (2, 4, 24, 24)
    net(fc.Tensor(X)).sum().backward()
    assert net[0].weight.grad.shape == (3, 4, 2, 2) and net[0].bias.grad.shape == (4,)
    assert "stride=(2, 2)" in repr(net[0]) and "scale_factor=2" in repr(net[2])
    with pytest.raises(fc.ShapeError, match=r"ConvTranspose2d\(5, 4.*expected x of shape \(N, 5, H, W\)"):
        nn.ConvTranspose2d(5, 4, 2)(X)


def test_losses_are_layers():
    logits = fc.Tensor(np.zeros((2, 4), np.float32), requires_grad=True)
    nn.CrossEntropyLoss(label_smoothing=0.1)(logits, np.array([1, 2])).backward()
    assert logits.grad.shape == (2, 4)
    for loss, target in (
        (nn.MSELoss("sum"), np.ones((2, 4), np.float32)),
        (nn.BCEWithLogitsLoss(), np.ones((2, 4), np.float32)),
        (nn.CrossEntropyLoss(np.ones(4, np.float32)), np.array([1, 2])),
    ):
        assert loss(logits, target).requires_grad and isinstance(loss(logits.data, target), np.ndarray)
    assert float(nn.BCELoss()(np.float32([0.5]), np.float32([1]))) == pytest.approx(np.log(2), rel=1e-6)

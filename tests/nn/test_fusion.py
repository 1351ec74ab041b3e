"""Batch norms folded into convolutions, layers run together, layers built without drawing."""

from __future__ import annotations

import numpy as np
import pytest

import fastconv as fc
from fastconv import nn


def images(*shape):
    return np.random.default_rng(0).standard_normal(shape)


def trained(norm, seed=1):
    """A batch norm that does something."""
    generator = np.random.default_rng(seed)
    n = norm.num_features
    norm.running_mean, norm.running_var = generator.normal(0, 1, n), generator.uniform(0.5, 2, n)
    if norm.weight is not None:
        norm.weight.data, norm.bias.data = generator.uniform(0.5, 2, n), generator.normal(0, 1, n)
    return norm


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("groups", [1, 2, 6])
def test_the_formula(bias, groups):
    conv = nn.Conv2d(6, 12, 3, padding=1, groups=groups, bias=bias).to("float64")
    net = nn.Sequential(conv, trained(nn.BatchNorm2d(12, eps=1e-2)), nn.SiLU()).eval()
    fused = nn.fuse(net)
    scale = net[1].weight.data / np.sqrt(net[1].running_var + 1e-2)
    np.testing.assert_allclose(fused[0].weight.data, conv.weight.data * scale[:, None, None, None], rtol=1e-14)
    x = images(2, 6, 5, 7)
    np.testing.assert_allclose(fused(x), net(x), rtol=0, atol=1e-12)
    assert [type(layer) for layer in fused] == [nn.Conv2d, nn.Identity, nn.SiLU]
    assert [type(layer) for layer in net] == [nn.Conv2d, nn.BatchNorm2d, nn.SiLU]
    assert not fused.training and (conv.bias is not None) == bias


def test_norms_without_parameters_or_statistics():
    net = nn.Sequential(nn.Conv2d(3, 4, 1), trained(nn.BatchNorm2d(4, affine=False))).to("float64").eval()
    x = images(1, 3, 4, 4)
    np.testing.assert_allclose(nn.fuse(net)(x), net(x), rtol=0, atol=1e-13)
    kept = nn.fuse(nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4, track_running_stats=False)))
    assert isinstance(kept[1], nn.BatchNorm2d)


def test_folding_twice_and_apart_from_the_model():
    net = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 2))
    fused = nn.fuse(nn.fuse(net))
    x = np.float32(images(1, 3, 2, 2))
    before = fused(x)
    for parameter in net.parameters():
        with parameter.writing() as array:
            array += 1
    np.testing.assert_array_equal(fused(x), before)
    with pytest.raises(ValueError, match="read-only"):
        fused[3].weight.data[0] = 0


class Pair(nn.Module):
    folds = (("conv", "norm"),)

    def __init__(self, norm):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)
        self.norm = norm

    def forward(self, x):
        return nn.chain(x, self.conv, self.norm)


def test_what_a_module_says_of_itself():
    net = nn.Sequential(Pair(nn.BatchNorm2d(4))).eval()
    assert isinstance(nn.fuse(net)[0].norm, nn.Identity)
    expected = r"Pair.folds: expected a Conv2d and a BatchNorm2d at 'conv' and 'norm', got Conv2d and ReLU"
    with pytest.raises(fc.ModelError, match=expected):
        nn.fuse(nn.Sequential(Pair(nn.ReLU())))


ENDS = {
    "convolution": lambda: (nn.Conv2d(4, 4, 3, padding=1),),
    "convolution, relu": lambda: (nn.Conv2d(4, 4, 3, padding=1), nn.ReLU()),
    "norm, silu": lambda: (nn.BatchNorm2d(4), nn.SiLU()),
    "norm, identity, tanh": lambda: (nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4), nn.Identity(), nn.Tanh()),
    "nothing": lambda: (nn.Identity(),),
}


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("hooked", [False, True])
def test_a_residual_is_added_before_the_activation_that_ends_a_chain(end, hooked):
    layers = nn.Sequential(*ENDS[end]()).to("float64").eval()
    seen = []
    if hooked:
        for layer in layers:
            layer.register_forward_hook(lambda layer, x, y: seen.append(type(layer)))
    x, residual = images(2, 4, 5, 5), 3 * images(2, 4, 5, 5)
    activation = layers[len(layers) - 1]
    fusable = hasattr(activation, "fusable")
    y = x
    for layer in list(layers)[:-1] if fusable else layers:
        y = layer.forward(y)
    y = y + residual
    y = activation.forward(y) if fusable else y
    np.testing.assert_allclose(nn.chain(x, *layers, residual=residual), y, rtol=0, atol=1e-13)
    assert seen == ([type(layer) for layer in layers] if hooked else [])
    tensor = nn.chain(fc.Tensor(x), *layers, residual=fc.Tensor(residual))
    np.testing.assert_allclose(tensor.data, y, rtol=0, atol=1e-13)


def test_sequential_by_names():
    net = nn.Sequential({"conv": nn.Conv2d(1, 2, 3), "act": nn.ReLU()})
    assert list(net.state_dict()) == ["conv.weight", "conv.bias"]
    with pytest.raises(fc.ModelError, match="Sequential: expected modules, got int at position 1"):
        nn.Sequential({"conv": nn.Conv2d(1, 2, 3), "one": 1})


def test_skip_draws_nothing_and_ends():
    with nn.init.skip():
        layer = nn.Conv2d(3, 4, 3)
        nn.init.constant_(layer.bias, 7.0)
    assert not layer.weight.data.any() and not layer.bias.data.any()
    assert nn.Conv2d(3, 4, 3).weight.data.any()


def test_stochastic_depth_keeps_or_drops_whole_images():
    x = np.ones((400, 2, 3, 3), np.float32)
    layer = nn.StochasticDepth(0.25)
    y = layer.train()(x)
    assert set(np.unique(y)) == {0, np.float32(1 / 0.75)}
    assert (y == y[:, :1, :1, :1]).all() and 200 < np.count_nonzero(y[:, 0, 0, 0]) < 360
    assert layer.eval()(x) is x
    with pytest.raises(fc.ModelError, match=r"p: expected a probability in 0..1, got 2"):
        nn.StochasticDepth(2)


def test_functions_of_channels_refuse():
    functional = nn.functional
    with pytest.raises(fc.ShapeError, match="with 2 groups of channels"):
        functional.channel_shuffle(np.zeros((1, 3, 2, 2), np.float32), 2)
    with pytest.raises(fc.ShapeError, match="before, after: expected at least 0"):
        functional.pad_channels(np.zeros((1, 3, 2, 2), np.float32), -1, 2)

"""The networks: parameter counts of the papers, names of the checkpoints, outputs of the definitions."""

from __future__ import annotations

import numpy as np
import pytest

import fastconv as fc
from fastconv import models


@pytest.mark.parametrize("name", ["lenet5", "lenet5_1998", "deep_convnet", "alexnet"])
def test_output(name):
    entry = models.info(name)
    y = models.create(name).eval()(np.zeros((2, *entry.input_size), np.float32))
    assert y.shape == (2, entry.num_classes) and np.isfinite(y).all()


def test_lenet5_of_1998_layer_by_layer():
    """Parameters per layer as in the paper, and the forward pass against its formulas in float64."""
    net = models.create("lenet5_1998").eval()
    counts = {name: module.parameter_count() for name, module in net.named_modules() if name}
    assert [counts[n] for n in ("c1", "s2", "c3", "s4", "c5", "f6")] == [156, 12, 1516, 32, 48_120, 10_164]
    x = np.random.default_rng(0).standard_normal((2, 1, 32, 32)).astype(np.float32)
    state = {name: value.astype(np.float64) for name, value in net.state_dict().items()}

    def conv(z, weight, bias):
        return fc.ops.conv2d(z, weight, bias, algo="reference")

    def pool(z, layer):
        blocks = z.reshape(*z.shape[:2], z.shape[2] // 2, 2, z.shape[3] // 2, 2).sum((3, 5))
        return blocks * state[f"{layer}.weight"][:, None, None] + state[f"{layer}.bias"][:, None, None]

    def squash(z):
        return 1.7159 * np.tanh(2 / 3 * z)

    dense = np.zeros((16, 6, 5, 5))
    connection = 0
    for k, row in enumerate(models.lenet.C3_TABLE):
        for c in row:
            dense[k, c] = state["c3.weight"][connection]
            connection += 1
    assert connection == 60
    z = squash(conv(x.astype(np.float64), state["c1.weight"], state["c1.bias"]))
    z = squash(pool(z, "s2"))
    z = squash(conv(z, dense, state["c3.bias"]))
    z = squash(pool(z, "s4"))
    z = squash(conv(z, state["c5.weight"], state["c5.bias"]))
    z = squash(z.reshape(2, 120) @ state["f6.weight"].T + state["f6.bias"])
    exact = -np.square(z[:, None] - state["targets"]).sum(-1)
    np.testing.assert_allclose(net(x), exact, rtol=1e-5)


def test_the_digits_of_lenet_are_ten_different_bitmaps():
    targets = models.lenet.digit_targets()
    assert targets.shape == (10, 84) and set(np.unique(targets)) == {-1, 1}
    assert len({row.tobytes() for row in targets}) == 10


@pytest.mark.parametrize("name", ["lenet5", "lenet5_1998", "deep_convnet"])
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_an_image_gets_the_same_bits_alone_and_in_a_batch(name, dtype):
    net = models.create(name, dtype=dtype).eval()
    x = np.random.default_rng(1).random((7, *models.info(name).input_size), np.float32)
    x = x.astype(fc.nn.module.numpy_dtype(dtype))
    batch = net(x)
    for i in range(7):
        np.testing.assert_array_equal(net(x[i : i + 1])[0], batch[i])


def test_an_unknown_name():
    with pytest.raises(fc.ModelError, match=r"model: expected one of alexnet, .*got 'lenet6'"):
        models.create("lenet6")


def test_small_inputs_and_other_heads():
    net = models.create("alexnet", num_classes=7).eval()
    assert net(np.zeros((1, 3, 63, 63), np.float32)).shape == (1, 7)
    with pytest.raises(fc.ShapeError, match="expected x of shape"):
        net(np.zeros((1, 1, 63, 63), np.float32))

"""Whole networks on every device: the same layers, the CUDA kernels under them where the device has them."""

from __future__ import annotations

import numpy as np
import pytest

import fastconv as fc


@pytest.mark.parametrize("name", ["lenet5", "deep_convnet"])
def test_a_network_gives_what_it_gives_on_the_cpu(device, name):
    network = fc.models.create(name, seed=1).eval()
    x = np.random.default_rng(2).standard_normal((2, *fc.models.info(name).input_size)).astype(np.float32)
    with fc.device("cpu"):
        expected = network(x)
    logits = device.get(network.to("cuda" if device.name == "cuda" else "cpu")(device.put(x)))
    # Sums of up to 1,024 products in other orders: |difference| stays within a few units of the largest logit.
    np.testing.assert_allclose(logits, expected, rtol=0, atol=2e-6 * np.abs(expected).max())


def test_moving_where_there_is_nothing_to_move_to():
    network = fc.models.create("lenet5", seed=1)
    assert network.to("cpu") is network
    with pytest.raises(fc.DTypeError, match=r"target: expected float32, .*cpu or cuda, got 'tpu'"):
        network.to("tpu")
    if "cuda" not in fc.devices():
        with pytest.raises(fc.DeviceError, match=r"CUDA|CuPy"):
            network.to("cuda")

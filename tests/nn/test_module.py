"""Modules: names, state, modes, hooks, summaries, dtypes."""

from __future__ import annotations

import numpy as np
import pytest

import fastconv as fc
from fastconv import nn


def small():
    nn.init.manual_seed(3)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(4, 6, 3), nn.Sigmoid(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.5), nn.Linear(6, 3),
    )  # fmt: skip


X = np.random.default_rng(0).standard_normal((2, 1, 10, 10)).astype(np.float32)


def test_names_are_pytorchs():
    assert list(small().state_dict()) == [
        "0.weight", "1.weight", "1.bias", "1.running_mean", "1.running_var", "1.num_batches_tracked",
        "4.weight", "4.bias", "9.weight", "9.bias",
    ]  # fmt: skip


def test_the_same_seed_gives_the_same_network():
    a, b = small().state_dict(), small().state_dict()
    assert all(np.array_equal(a[key], b[key]) for key in a)


def test_state_goes_round_through_a_file(tmp_path):
    source, target = small().eval(), small().eval()
    changed = {key: value + 1 for key, value in source.state_dict().items()}
    source.load_state_dict(changed)
    fc.save(source, tmp_path / "w.safetensors")
    assert not np.array_equal(source(X), target(X))
    target.load_state_dict(fc.load(tmp_path / "w.safetensors"))
    np.testing.assert_array_equal(source(X), target(X))


def test_every_misfit_is_listed_and_nothing_is_changed():
    net = small()
    before = {key: value.copy() for key, value in net.state_dict().items()}
    state = {**before, "0.weight": np.zeros((4, 1, 5, 5), np.float32), "extra": np.zeros(1), "more": np.zeros(1)}
    del state["9.bias"], state["4.bias"]
    with pytest.raises(fc.StateDictError) as caught:
        net.load_state_dict(state)
    for part in (
        "missing: 4.bias, 9.bias",
        "unexpected: extra, more",
        "0.weight: expected (4, 1, 3, 3), got (4, 1, 5, 5)",
    ):
        assert part in str(caught.value)
    assert all(np.array_equal(before[key], value) for key, value in net.state_dict().items())
    state["0.weight"] = before["0.weight"] + 1
    assert net.load_state_dict(state, strict=False) == (["4.bias", "9.bias"], ["extra", "more"])
    assert np.array_equal(net.state_dict()["0.weight"], before["0.weight"] + 1)


def test_parameters_change_only_by_assignment_and_layers_notice():
    layer = nn.Conv2d(1, 2, 3)
    y = layer(X)
    with pytest.raises(ValueError, match="read-only"):
        layer.weight.data[0] = 0
    layer.weight.data = layer.weight.data * 2
    layer.bias.data = layer.bias.data * 2
    np.testing.assert_allclose(layer(X), y * 2, rtol=1e-6)


def test_assignment_keeps_the_tables_true():
    layer = nn.Conv2d(1, 2, 3)
    layer(X)
    layer.weight = nn.Parameter(np.zeros((2, 1, 3, 3), np.float32))
    np.testing.assert_array_equal(layer(X), np.broadcast_to(layer.bias.data.reshape(1, 2, 1, 1), (2, 2, 8, 8)))
    with pytest.raises(fc.DTypeError, match=r"Conv2d.weight: expected a Parameter or None, got ndarray"):
        layer.weight = np.zeros((2, 1, 3, 3), np.float32)
    layer.bias = None
    assert list(layer.state_dict()) == ["weight"] and (layer(X) == 0).all()
    norm = nn.BatchNorm2d(3)
    norm.running_mean = np.full(3, 7, np.float32)
    assert (norm.state_dict()["running_mean"] == 7).all()


def test_a_state_that_cannot_be_cast_changes_nothing():
    net = small()
    before = {key: value.copy() for key, value in net.state_dict().items()}
    state = {key: value + 1 for key, value in before.items()}
    state["9.bias"] = np.array(["a", "b", "c"])
    with pytest.raises(fc.StateDictError, match="does not fit"):
        net.load_state_dict(state)
    assert all(np.array_equal(before[key], value) for key, value in net.state_dict().items())


def test_modes():
    net = small()
    assert net.training and not net.eval()[8].training
    np.testing.assert_array_equal(net(X), net(X))
    before = net[1].running_mean.copy()
    assert net.train()(X).shape == (2, 3) and not np.array_equal(net[1].running_mean, before)
    drop = nn.Dropout(0.25)
    y = drop(np.ones((100, 100), np.float32))
    assert set(np.unique(y)) == {0.0, np.float32(1 / 0.75)} and abs(y.mean() - 1) < 0.05


def test_fusing_an_activation_changes_no_bit():
    net = small().eval()
    fused = net(X)
    remove = net[5].register_forward_hook(lambda module, x, y: None)  # a hook keeps the layers apart
    np.testing.assert_array_equal(net(X), fused)
    remove()


def test_hooks_see_every_layer():
    net, seen = small().eval(), []
    removers = [m.register_forward_hook(lambda m, x, y: seen.append(type(m).__name__)) for m in net]
    net(X)
    assert seen == [type(m).__name__ for m in net]
    for remove in removers:
        remove()
    net(X)
    assert len(seen) == len(net)


def test_summary_counts_parameters_and_macs():
    summary = nn.summarize(small(), (1, 1, 10, 10))
    assert summary.parameters == 36 + 8 + 222 + 21
    assert summary.macs == 100 * 36 + 9 * 216 + 18
    text = small().summary((1, 1, 10, 10))
    assert "Conv2d" in text and "1x4x10x10" in text and f"{summary.macs:,}" in text


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_casting(dtype):
    net = small().eval()
    expected = net(X)
    y = net.to(dtype)(X.astype(nn.module.numpy_dtype(dtype)))
    assert y.dtype.name == dtype
    np.testing.assert_allclose(
        y.astype(np.float32), expected, atol={"float16": 2e-3, "bfloat16": 2e-2, "float64": 1e-6}[dtype]
    )
    assert net.state_dict()["1.num_batches_tracked"].dtype == np.int64
    with pytest.raises(fc.DTypeError, match="target: expected"):
        net.to("int8")


def test_networks_stay_channels_last():
    y = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 6, 3))(X)
    assert y.transpose(0, 2, 3, 1).flags.c_contiguous


@pytest.mark.parametrize(
    ("call", "kind", "text"),
    [
        (
            lambda: nn.Conv2d(3, 4, 3)(X),
            fc.ShapeError,
            r"Conv2d\(3, 4, .*expected x of shape \(N, 3, H, W\), got \(2, 1, 10, 10\)",
        ),
        (lambda: nn.Conv2d(3, 4, 3, groups=2), fc.ShapeError, "groups: expected a divisor"),
        (lambda: nn.Conv2d(3, 4, 3, 2, "same"), fc.ShapeError, "'same' needs stride 1"),
        (lambda: nn.Linear(3, 4)(X), fc.ShapeError, r"Linear\(3, 4\): expected x of shape \(..., 3\)"),
        (lambda: nn.BatchNorm2d(3).eval()(X), fc.ShapeError, r"BatchNorm2d\(3.*expected x of shape"),
        (lambda: nn.Flatten()(X[0, 0, 0]), fc.ShapeError, "Flatten"),
        (lambda: nn.Sequential(3), fc.ModelError, "Sequential: expected modules, got int"),
        (lambda: nn.Dropout(2), fc.ModelError, "p: expected a probability"),
        (lambda: nn.Module()(X), TypeError, "Module defines no forward"),
    ],
)
def test_errors_name_the_layer(call, kind, text):
    with pytest.raises(kind, match=text):
        call()


def test_files_that_are_not_weights(tmp_path):
    whole = tmp_path / "whole.safetensors"
    fc.save({"a": np.ones(1000, np.float32)}, whole)
    (tmp_path / "cut.safetensors").write_bytes(whole.read_bytes()[:-7])
    (tmp_path / "text.npz").write_text("hello")
    np.savez(tmp_path / "object.npz", a=np.array([{}], dtype=object))
    for name in ("cut.safetensors", "text.npz", "object.npz", "missing.npz", "."):
        with pytest.raises(fc.FileFormatError, match="weights"):
            fc.load(tmp_path / name)
    with pytest.raises(fc.FileFormatError, match=r"expected a name that ends in .safetensors"):
        fc.save({"a": np.ones(1, np.float32)}, tmp_path / "weights.npz")
    with pytest.raises(fc.FileFormatError, match="cannot be written"):
        fc.save({"a": np.ones(1, np.float32)}, tmp_path / "no" / "such" / "folder.safetensors")

"""Transfer learning: what is frozen stays, what is new learns, features are those of the layer."""

from __future__ import annotations

import numpy as np
import pytest

import fastconv as fc
from fastconv import train
from tests.train import small

X = np.random.default_rng(0).standard_normal((2, 1, 8, 8)).astype(np.float32)


def test_frozen_parameters_stay_bit_for_bit():
    trainer = small.trainer()
    assert train.freeze(trainer.model, "0.*", "4.weight") == ["0.weight", "0.bias", "4.weight"]
    before = small.weights(trainer)
    trainer.fit(small.loaders()[0])
    after = small.weights(trainer)
    unchanged = [key for key in before if np.array_equal(before[key], after[key])]
    assert unchanged == ["0.weight", "0.bias", "4.weight"]
    assert train.unfreeze(trainer.model, "*.bias") == ["0.bias", "1.bias", "4.bias", "8.bias"]
    assert not trainer.model[0].weight.requires_grad and trainer.model[0].bias.requires_grad
    with pytest.raises(fc.ModelError, match=r"patterns: 'features.*' matches no parameter; there are 0.weight"):
        train.freeze(trainer.model, "features.*")


def test_groups_by_pattern_have_their_rates():
    model = small.network()
    train.freeze(model, "1.*")
    groups = train.parameter_groups(model, {"8.*": {"lr": 0.5}, "*.bias": {"weight_decay": 0.0}})
    optimizer = fc.optim.SGD(groups, lr=0.1, weight_decay=0.2)
    named = {id(p): name for name, p in model.named_parameters()}
    found = {
        g["name"]: ([named[id(p)] for p in g["params"]], g["lr"], g["weight_decay"]) for g in optimizer.param_groups
    }
    assert found == {
        "8.*": (["8.weight", "8.bias"], 0.5, 0.2),
        "*.bias": (["0.bias", "4.bias"], 0.1, 0.0),
        "others": (["0.weight", "4.weight"], 0.1, 0.2),
    }
    with pytest.raises(fc.ModelError, match=r"settings: '1\.\*' matches no parameter that is trained"):
        train.parameter_groups(model, {"1.*": {}})


def test_a_new_head_is_in_the_old_ones_place():
    model = small.network().eval()
    before = {key: value.copy() for key, value in model.state_dict().items()}
    assert train.replace_head(model, 7) == "8"
    assert model(X).shape == (2, 7) and list(model.state_dict()) == list(before)
    assert all(np.array_equal(before[key], value) for key, value in model.state_dict().items() if key[0] != "8")
    convolutional = fc.nn.Sequential(fc.nn.Conv2d(1, 4, 3), fc.nn.ReLU(), fc.nn.Conv2d(4, 5, 1, bias=False))
    assert train.replace_head(convolutional.to("float16"), 3) == "2"
    assert convolutional[2].weight.shape == (3, 4, 1, 1) and convolutional[2].bias is None
    assert convolutional[2].weight.dtype == np.float16
    with pytest.raises(fc.ModelError, match="expected a Linear or a Conv2d as its head, ReLU has none"):
        train.replace_head(fc.nn.ReLU(), 3)
    with pytest.raises(fc.ModelError, match="num_classes: expected at least 1"):
        train.replace_head(model, 0)


def test_features_are_what_the_layer_gives():
    model = small.network().eval()
    by_hand = X
    for layer in list(model)[:6]:
        by_hand = layer(by_hand)
    np.testing.assert_array_equal(train.features(model, X, "5"), by_hand)
    tensor = train.features(model, fc.Tensor(X), "5")
    assert isinstance(tensor, fc.Tensor)
    np.testing.assert_array_equal(tensor.data, by_hand)
    tensor.sum().backward()
    assert model[0].weight.grad is not None and model[8].weight.grad is None
    assert not model[5]._hooks
    with pytest.raises(fc.ModelError, match=r"layer: expected one of 0, 1, .*, got 'head'"):
        train.features(model, X, "head")


def test_fine_tuning_moves_the_head_first():
    source = small.trainer()
    source.fit(*small.loaders(), epochs=2)
    before = small.weights(source)
    states = {}

    class Keep(train.Callback):
        def on_epoch_end(self, trainer, row):
            states[row["epoch"]] = small.weights(trainer)

    loaders = small.loaders(classes=4)
    history = train.fine_tune(
        source.model, *loaders, num_classes=4, head_epochs=2, epochs=2, head_lr=1e-2, lr=1e-3, callbacks=(Keep(),)
    )
    assert [(row["phase"], row["epoch"]) for row in history] == [("head", 1), ("head", 2), ("all", 3), ("all", 4)]
    body = [key for key in before if key[0] != "8"]
    assert all(np.array_equal(states[2][key], before[key]) for key in body)
    assert not np.array_equal(states[2]["8.weight"], states[1]["8.weight"])
    assert not any(np.array_equal(states[4][key], before[key]) for key in body if not key.startswith("1.num"))
    assert history[-1]["train_loss"] < history[0]["train_loss"]
    assert all(p.requires_grad for p in source.model.parameters())

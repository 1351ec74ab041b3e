"""Every network of the registry: names and shapes of its state, parameters, multiply-adds, layers, values."""

from __future__ import annotations

import csv
import gzip
import hashlib
import json
import math
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

import fastconv as fc
from fastconv import models, nn
from fastconv.cli import main
from fastconv.models import table
from fastconv.models.googlenet import GoogLeNetOutputs
from fastconv.models.googlenet_2014 import NaiveInception, training_loss
from tests.models.shapes_only import shapes_only, zeros

NAMES = models.list_models()
# {name: [number of keys, sha256 of the sorted lines "key dtype shape"]} of torchvision 0.28's and timm 1.0.31's models.
KEYS = json.loads((Path(__file__).parent / "zoo_keys.json").read_text())

# A network of each family, at a size that all its layers still fit into.
SMALL = {
    "alexnet": 63,
    "alexnet_2012": 227,
    "densenet121": 32,
    "dpn68": 32,
    "efficientnet_b0": 32,
    "googlenet": 32,
    "googlenet_2014": 224,
    "inception_resnet_v2": 75,
    "inception_v3": 75,
    "inception_v4": 75,
    "mobilenet_v1": 32,
    "mobilenet_v2": 32,
    "resnet18": 32,
    "resnet20": 32,
    "resnet50": 32,
    "resnet50_v1": 33,
    "resnext50_32x4d": 32,
    "shufflenet_v2_x1_0": 32,
    "squeezenet1_0": 21,
    "squeezenet1_1": 21,
    "vgg11_bn": 32,
    "xception": 71,
    "zfnet": 224,
}


def library_key(name):
    """What the tables of the real data call it."""
    library, *rest = models.info(name).names.split()
    return f"{library}/{rest[0] if rest else name}"


def disturb_norms(model, seed=0):
    """Batch norms as after training: other than the identity."""
    generator = np.random.default_rng(seed)
    for _, module in model.named_modules():
        if isinstance(module, nn.BatchNorm2d):
            n = module.num_features
            module.running_mean = generator.normal(0, 0.1, n).astype(np.float32)
            module.running_var = generator.uniform(0.5, 1.5, n).astype(np.float32)
            module.weight.data = generator.uniform(0.5, 1.5, n).astype(np.float32)
            module.bias.data = generator.normal(0, 0.1, n).astype(np.float32)
    return model


def test_the_zoo_is_large():
    assert len(NAMES) >= 60
    assert set(KEYS) == {name for name in NAMES if models.info(name).names.split()[0] in ("torchvision", "timm")}


@pytest.mark.parametrize("name", NAMES)
def test_parameters(name):
    model = models.create(name, init=False)
    assert model.parameter_count() == models.info(name).parameters
    assert f"{models.info(name).parameters:,}" in (models.info(name).build.__doc__ or "")


@pytest.mark.parametrize("name", KEYS)
def test_names_and_shapes_of_the_published_weights(name):
    state = models.create(name, init=False).state_dict()
    lines = sorted(f"{key} {value.dtype.name} {list(value.shape)}" for key, value in state.items())
    assert [len(lines), hashlib.sha256("\n".join(lines).encode()).hexdigest()] == KEYS[name]


@pytest.mark.data
def test_names_shapes_and_order_of_all_keys(data):
    with gzip.open(data / "zoo" / "zoo_state_dicts.json.gz") as file:
        tables = json.load(file)
    ours = {library_key(name): name for name in NAMES}
    for key, expected in tables.items():
        state = models.create(ours[key], init=False).state_dict()
        assert [(k, [v.dtype.name, list(v.shape)]) for k, v in state.items()] == list(expected.items()), key


@pytest.mark.parametrize("name", NAMES)
def test_multiply_adds(name):
    entry = models.info(name)
    model = models.create(name, init=False).eval()
    with shapes_only() as ran:
        model(zeros(1, *entry.input_size))
    macs = sum(macs for _, _, macs in ran)
    if name == "lenet5_1998":
        macs += 60 * 25 * 10 * 10  # C3's sixty connections
    assert macs == entry.macs


@pytest.mark.data
def test_all_convolutions_are_the_libraries(data):
    expected = defaultdict(dict)
    columns = [*"NCHWKRS", "sh", "sw", "ph", "pw", "dh", "dw", "groups", "bias", *"PQ", "macs"]
    with (data / "zoo" / "zoo_conv_layers.csv").open() as file:
        for line in csv.DictReader(file):
            expected[line["model"]][line["layer"]] = tuple(int(line[column]) for column in columns)
    ours = {library_key(name): name for name in NAMES}
    for key, layers in expected.items():
        model = models.create(ours[key], init=False).eval()
        names = {id(module): name for name, module in model.named_modules()}
        with shapes_only() as ran:
            model(zeros(1, *models.info(ours[key]).input_size))
        got = {}
        for layer, p, _ in ran:
            if isinstance(layer, nn.Conv2d):
                (top, bottom), (left, right) = p.padding
                assert (top, left) == (bottom, right)
                shape = (p.n, p.c, p.h, p.w, p.k, p.r, p.s, *p.stride, top, left, *p.dilation, p.groups)
                got[names[id(layer)]] = (*shape, int(layer.bias is not None), p.p, p.q, p.macs)
        assert got == layers, key


@pytest.mark.parametrize("name", SMALL)
def test_values_are_finite_and_folding_batch_norms_keeps_them(name):
    """Within 1e-5 of the largest: two orders of additions, of up to 2,000 products a layer, through up to 250 layers."""
    model = disturb_norms(models.create(name, seed=3)).eval()
    channels, *_ = models.info(name).input_size
    x = np.random.default_rng(4).standard_normal((2, channels, SMALL[name], SMALL[name])).astype(np.float32)
    y = model(x)
    assert y.shape == (2, models.info(name).num_classes) and np.isfinite(y).all() and np.ptp(y, axis=1).all()
    fused = nn.fuse(model)
    assert np.abs(fused(x) - y).max() <= 1e-5 * np.abs(y).max()
    np.testing.assert_array_equal(model(x), y)  # the model itself is as it was


# Batch norms that no convolution comes before: pre-activations.
KEPT = {"densenet121": 58 + 3 + 1, "dpn68": 22 + 4 + 1}


@pytest.mark.parametrize("name", SMALL)
def test_which_batch_norms_stay(name):
    fused = nn.fuse(models.create(name, init=False))
    left = [key for key, module in fused.named_modules() if isinstance(module, nn.BatchNorm2d)]
    assert len(left) == KEPT.get(name, 0), left


def test_without_init_nothing_is_drawn():
    before = nn.init.generator().bit_generator.state
    model = models.create("resnet18", seed=None, init=False)
    assert nn.init.generator().bit_generator.state == before
    assert not any(value.any() for key, value in model.state_dict().items() if key.endswith("conv1.weight"))
    again = models.create("resnet18", seed=5)
    np.testing.assert_array_equal(again.fc.weight.data, models.create("resnet18", seed=5).fc.weight.data)


def spread(parameter):
    return float(parameter.data.std())


def test_initial_weights_are_spread_as_torchvisions():
    def close(parameter, std):
        assert abs(spread(parameter) / std - 1) < 0.02

    resnet = models.create("resnet18")
    close(resnet.layer4[0].conv2.weight, math.sqrt(2 / (512 * 9)))  # kaiming_normal_, fan_out
    close(resnet.fc.weight, 1 / math.sqrt(512) / math.sqrt(3))  # the layer's own
    vgg = models.create("vgg11")
    close(vgg.features[8].weight, math.sqrt(2 / (256 * 9)))
    close(vgg.classifier[0].weight, 0.01)
    assert not vgg.classifier[0].bias.data.any()
    dense = models.create("densenet121")
    close(dense.features.denseblock1.denselayer1.conv2.weight, math.sqrt(2 / (128 * 9)))  # fan_in
    squeeze = models.create("squeezenet1_1")
    close(squeeze.features[12].expand3x3.weight, math.sqrt(2 / (64 * 9)))
    close(squeeze.classifier[1].weight, 0.01)
    mobile = models.create("mobilenet_v2")
    close(mobile.features[18][0].weight, math.sqrt(2 / 1280))
    efficient = models.create("efficientnet_b0")
    close(efficient.classifier[1].weight, 1 / math.sqrt(1000) / math.sqrt(3))
    inception = models.create("inception_v3")
    close(inception.AuxLogits.conv1.conv.weight, 0.01)
    close(inception.Mixed_7c.branch3x3_1.conv.weight, 0.1)


def test_the_naive_inception_module():
    """Figure 2a on the 28 x 28 x 256 input of module 3b: 28 x 28 x 672."""
    module = NaiveInception(256, 128, 192, 96)
    x = np.random.default_rng(0).standard_normal((1, 256, 28, 28)).astype(np.float32)
    y = module(x)
    assert y.shape == (1, 672, 28, 28)
    np.testing.assert_array_equal(y[:, 416:], fc.ops.max_pool2d(x, 3, 1, 1))


@pytest.mark.parametrize(("name", "size", "without"), [
    ("googlenet", 224, 6_624_904), ("googlenet_2014", 224, 6_998_552), ("inception_v3", 299, 23_834_568)
])  # fmt: skip
def test_auxiliary_classifiers(name, size, without):
    assert models.create(name, init=False, aux_logits=False).parameter_count() == without
    model = models.create(name, init=False, num_classes=7)
    with shapes_only():
        outputs = model.train()(zeros(2, 3, size, size))
        assert model.eval()(zeros(2, 3, size, size)).shape == (2, 7)
    assert len(outputs) == (2 if name == "inception_v3" else 3)
    assert {output.shape for output in outputs} == {(2, 7)}


def test_the_loss_of_googlenet_weighs_auxiliary_classifiers():
    outputs = GoogLeNetOutputs(1.0, 10.0, 100.0)
    loss = training_loss(lambda logits, target: logits, outputs, None)
    assert loss == pytest.approx(1 + 0.3 * 110)


def test_option_a_shortcuts():
    """Every other pixel, zeros before and after the channels (section 4.2)."""
    block = models.resnet_cifar.BasicBlock(16, 32, 2)
    x = np.random.default_rng(0).standard_normal((2, 16, 8, 8)).astype(np.float32)
    y = block.shortcut(x)
    assert y.shape == (2, 32, 4, 4) and not y[:, :8].any() and not y[:, 24:].any()
    np.testing.assert_array_equal(y[:, 8:24], x[:, :, ::2, ::2])


@pytest.mark.data
@pytest.mark.parametrize("name", ["resnet20", "resnet56"])
def test_published_weights_for_cifar_fit(data, name):
    state = fc.load(data / "weights" / f"cifar10_{name}_akamaster.safetensors")
    missing, unexpected = models.create(name, init=False).load_state_dict(state, strict=False)
    assert not unexpected and all(key.endswith("num_batches_tracked") for key in missing)


def test_dotted_names_of_densenets_files():
    adapted = models.densenet.without_dots({"features.denseblock1.denselayer12.norm.2.bias": 0, "classifier.bias": 1})
    assert list(adapted) == ["features.denseblock1.denselayer12.norm2.bias", "classifier.bias"]


def test_the_table_of_the_zoo(capsys):
    page = (Path(__file__).parents[2] / "docs" / "zoo.md").read_text()
    assert table.as_markdown() == page, "python -m fastconv models --markdown > docs/zoo.md"
    assert main(["models", "--markdown"]) == 0
    assert capsys.readouterr().out == page
    assert main(["models"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:]] == NAMES

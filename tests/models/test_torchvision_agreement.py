"""The zoo beside torchvision and timm: the same weights give the same values in every layer.

Needs torch, torchvision and timm, which the daily tests do without. One model of each family runs; FASTCONV_ZOO=all
runs every model that one of the two has.
"""

from __future__ import annotations

import os
import sys
import types

import numpy as np
import pytest

import fastconv as fc

torch = pytest.importorskip("torch")
if not torch.cuda.is_available():
    # torchvision's compiled operators (none of which the models use) may not fit a CPU-only torch.
    sys.modules.setdefault("torchvision._meta_registrations", types.ModuleType("absent"))
torchvision = pytest.importorskip("torchvision", exc_type=ImportError)
timm = pytest.importorskip("timm", exc_type=ImportError)

FAMILIES = [
    "alexnet",
    "densenet121",
    "dpn68",
    "dpn92",
    "efficientnet_b0",
    "efficientnet_b5",
    "googlenet",
    "inception_resnet_v2",
    "inception_v3",
    "inception_v4",
    "mobilenet_v1",
    "mobilenet_v2",
    "resnet18",
    "resnet50",
    "resnext50_32x4d",
    "shufflenet_v2_x1_0",
    "squeezenet1_0",
    "squeezenet1_1",
    "vgg11",
    "vgg13_bn",
    "wide_resnet50_2",
    "xception",
]
EVERY = [name for name in fc.models.list_models() if fc.models.info(name).names.split()[0] in ("torchvision", "timm")]
NAMES = EVERY if os.environ.get("FASTCONV_ZOO") == "all" else FAMILIES
SIZE = {"efficientnet_b5": 224, "efficientnet_b6": 256, "efficientnet_b7": 256}  # others: their own


def theirs(name, **options):
    """The model of the same name, random weights and random statistics of batch norms."""
    library, *rest = fc.models.info(name).names.split()
    torch.manual_seed(0)
    if library == "timm":
        model = timm.create_model(rest[0])
    else:
        if name in ("googlenet", "inception_v3"):
            options = {"init_weights": False, **options}
        model = getattr(torchvision.models, name)(**options)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
            with torch.no_grad():
                module.weight.uniform_(0.5, 1.5)
                module.bias.normal_(0, 0.1)
    return model


def ours(name, reference, **options):
    """Ours with the same weights."""
    model = fc.models.create(name, init=False, **options)
    model.load_state_dict({key: value.numpy() for key, value in reference.state_dict().items()})
    return model


def recorded(model, convert):
    """{name: first result of that module} of every layer below, filled when the model runs."""
    results = {}

    def hook_of(key):
        def hook(module, x, y):
            if not isinstance(y, (tuple, list)):
                results.setdefault(key, convert(y))

        return hook

    for key, module in model.named_modules():
        if key:
            module.register_forward_hook(hook_of(key))
    return results


def difference(y, exact):
    """max |y - exact| / max |exact|."""
    y = y.reshape(exact.shape)  # timm's global pools flatten
    return float(np.abs(y - exact).max() / max(float(np.abs(exact).max()), 1e-30))


@pytest.mark.parametrize("name", NAMES)
def test_every_layer_in_evaluation_mode(name, record_property):
    reference = theirs(name).eval()
    model = ours(name, reference).eval()
    size = SIZE.get(name, fc.models.info(name).input_size[1])
    x = np.random.default_rng(1).standard_normal((2 if size <= 224 else 1, 3, size, size)).astype(np.float32)
    expected = recorded(reference, lambda y: y.detach().numpy().copy())
    with torch.no_grad():
        exact = reference(torch.from_numpy(x)).numpy()
    alone = model(x)  # with activations fused, which hooks prevent
    got = recorded(model, np.array)
    logits = model(x)
    # timm's batch norms activate, too: what ours gives before is nothing of theirs.
    activating = {key for key, module in reference.named_modules() if type(module).__name__ == "BatchNormAct2d"}
    common = [key for key in expected if key in got and key not in activating]
    convolutions = [key for key, module in reference.named_modules() if isinstance(module, torch.nn.Conv2d)]
    assert {key for key in convolutions if key in expected} <= set(common)
    worst = max((difference(got[key], expected[key]), key) for key in common)
    whole = max(difference(logits, exact), difference(alone, exact), difference(fc.nn.fuse(model)(x), exact))
    record_property("worst", worst)
    print(f"\n{name}: {len(common)} layers, worst {worst[0]:.1e} in {worst[1]}; logits {whole:.1e}")
    assert worst[0] < 1e-4 and whole < 1e-4


@pytest.mark.parametrize("name", ["googlenet", "inception_v3"])
def test_transform_input(name):
    reference = theirs(name, transform_input=True).eval()
    x = np.random.default_rng(2).standard_normal((1, 3, 128, 128)).astype(np.float32)
    with torch.no_grad():
        exact = reference(torch.from_numpy(x)).numpy()
    assert difference(ours(name, reference, transform_input=True).eval()(x), exact) < 1e-4


def without_randomness(model, kinds):
    """Dropout of every kind off."""
    for _, module in model.named_modules():
        if type(module).__name__ in kinds:
            module.p = 0.0


TRAINED = [name for name in NAMES if name not in ("dpn92", "efficientnet_b5", "vgg11", "wide_resnet50_2")]
LEAST = {"alexnet": 63, "inception_v3": 299, "inception_v4": 96, "inception_resnet_v2": 96, "xception": 96}


@pytest.mark.parametrize("name", TRAINED)
def test_gradients_of_one_training_step(name, record_property):
    """In float64, where 1e-7 leaves no room for another formula, batch statistics of few values included."""
    reference = theirs(name).double().train()
    model = ours(name, reference).to("float64").train()
    for network in (reference, model):
        without_randomness(network, ("Dropout", "StochasticDepth"))
    size = LEAST.get(name, 64)
    generator = np.random.default_rng(3)
    x, target = generator.standard_normal((3, 3, size, size)), np.array([1, 0, 7])
    outputs = reference(torch.from_numpy(x))
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    losses = sum(torch.nn.functional.cross_entropy(y, torch.from_numpy(target)) for y in outputs)
    losses.backward()
    results = model(fc.Tensor(x))
    results = results if isinstance(results, tuple) else (results,)
    loss = fc.nn.functional.cross_entropy(results[0], target)
    for logits in results[1:]:
        loss = loss + fc.nn.functional.cross_entropy(logits, target)
    loss.backward()
    assert abs(float(loss) - losses.item()) <= 1e-9 * abs(losses.item())
    exact = {key: parameter.grad.numpy() for key, parameter in reference.named_parameters()}
    largest = max(float(np.abs(value).max()) for value in exact.values())
    worst, key = max(
        (float(np.abs(parameter.grad - exact[key]).max()) / max(float(np.abs(exact[key]).max()), 1e-6 * largest), key)
        for key, parameter in model.named_parameters()
    )
    record_property("worst", worst)
    print(f"\n{name}: {len(exact)} parameters, worst gradient {worst:.1e} of {key}")
    assert worst < 1e-7
    running = {key: value.numpy() for key, value in reference.named_buffers()}
    assert all(difference(value, running[key]) < 1e-9 for key, value in model.named_buffers())

"""Networks whose results are images: segmentation and generation."""

from __future__ import annotations

import numpy as np
import pytest

import fastconv as fc
from fastconv import models, nn
from fastconv.models.fcn import bilinear_weight, from_vgg16
from fastconv.models.predict import load_model


def images(*shape):
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("stride", [2, 8])
def test_upscoring_begins_as_bilinear_interpolation(stride):
    layer = nn.ConvTranspose2d(3, 3, 2 * stride, stride, padding=stride // 2, bias=False)
    layer.weight.data = bilinear_weight(3, 2 * stride)
    x = images(2, 3, 6, 5)
    expected = fc.ops.interpolate(x, scale_factor=stride, mode="bilinear")
    inner = (..., slice(stride, -stride), slice(stride, -stride))  # at the edges interpolation repeats pixels
    np.testing.assert_allclose(layer(x)[inner], expected[inner], rtol=0, atol=2e-6)


def test_a_bilinear_kernel():
    np.testing.assert_array_equal(bilinear_weight(1, 4)[0, 0, 1], np.float32([3, 9, 9, 3]) / 16)
    np.testing.assert_array_equal(bilinear_weight(1, 3)[0, 0, 1], np.float32([0.5, 1, 0.5]))


@pytest.mark.parametrize("name", ["fcn32s", "fcn16s", "fcn8s"])
def test_scores_of_every_pixel(name):
    """From a network of a few classes: every layer that scores or upsamples adds what its part of the image says."""
    model = models.create(name, init=False, num_classes=3).eval()
    for layer in ("score_fr", "score_pool3", "score_pool4"):
        if hasattr(model, layer):
            getattr(model, layer).bias.data = np.float32([1, 2, 4])
    y = model(np.zeros((1, 3, 33, 40), np.float32))
    sources = {"fcn32s": 1, "fcn16s": 2, "fcn8s": 3}[name]
    assert y.shape == (1, 3, 33, 40)
    np.testing.assert_allclose(y[0, :, 16, 20], sources * np.float32([1, 2, 4]), rtol=1e-5)


def test_vgg_gives_a_fully_convolutional_network_its_weights():
    """One 224 x 224 image without the padding: fc7 sees what VGG's second hidden layer does."""
    vgg = models.create("vgg16", seed=1).eval()
    model = models.create("fcn32s", init=False).eval()
    missing, unexpected = model.load_state_dict(from_vgg16(vgg.state_dict()), strict=False)
    assert missing == ["score_fr.weight", "score_fr.bias", "upscore.weight"] and not unexpected
    model.conv1_1.padding = 1
    seen = []
    model.fc7.register_forward_hook(lambda layer, x, y: seen.append(y))
    x = images(1, 3, 224, 224)
    model(x)
    hidden = vgg.flatten(vgg.avgpool(vgg.features(x)))
    for layer in list(vgg.classifier)[:4]:
        hidden = layer(hidden)
    np.testing.assert_allclose(seen[0].reshape(1, -1), hidden, rtol=0, atol=1e-5 * np.abs(hidden).max())


@pytest.mark.parametrize("size", [(32, 32), (45, 70)])
def test_segnet_on_images_of_any_size(size):
    model = models.create("segnet", seed=2).eval()
    x = images(1, 3, *size)
    y = model(x)
    assert y.shape == (1, 11, *size) and np.isfinite(y).all()
    assert np.abs(nn.fuse(model)(x) - y).max() <= 1e-5 * np.abs(y).max()


def test_the_two_networks_of_dcgan_train_together():
    generator, discriminator = models.create("dcgan_generator", width=8), models.create("dcgan_discriminator", width=8)
    fakes = generator(fc.Tensor(images(4, 100, 1, 1)))
    assert fakes.shape == (4, 3, 64, 64) and np.abs(fakes.data).max() <= 1
    probability = discriminator(fakes)
    assert probability.shape == (4,)
    probability.log().mean().backward()
    for model in (generator, discriminator):
        assert all(np.isfinite(p.grad).all() and p.grad.any() for p in model.parameters() if p.ndim == 4)


def test_predict_asks_for_a_classifier(tmp_path):
    with pytest.raises(fc.ModelError, match="model: expected one that classifies images, got 'segnet'"):
        load_model("segnet", tmp_path / "no.safetensors")

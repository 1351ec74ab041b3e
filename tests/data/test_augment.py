"""Each transform exactly, and none that sees its batch."""

from __future__ import annotations

import numpy as np
import pytest

import fastconv as fc
from fastconv.data.augment import (
    Affine,
    CenterCrop,
    Compose,
    ElasticDistortion,
    Normalize,
    RandomBrightness,
    RandomContrast,
    RandomCrop,
    RandomErasing,
    RandomHorizontalFlip,
    RandomRotation,
    RandomScale,
    RandomTranslation,
    RandomVerticalFlip,
    Resize,
    ToFloat,
    Transform,
)
from fastconv.data.augment.affine import cosine_sine


def random_images(count=6, height=9, width=9, channels=3, dtype="uint8", seed=0):
    images = np.random.default_rng(seed).integers(0, 256, (count, height, width, channels)).astype(np.uint8)
    return images if dtype == "uint8" else images.astype(np.float32) / 255


EVERY = [
    RandomRotation(30),
    RandomTranslation((2, 1)),
    RandomTranslation(1.5, whole=False),
    RandomScale((0.7, 1.4)),
    ElasticDistortion(2, grid=3),
    RandomCrop(7, padding=1),
    CenterCrop((11, 5)),
    RandomHorizontalFlip(),
    RandomVerticalFlip(),
    Resize((5, 13)),
    ToFloat(),
    Normalize((0.4, 0.5, 0.6), (0.2, 0.3, 0.25)),
    RandomBrightness(0.3),
    RandomContrast(0.4),
    RandomErasing(0.8),
    Compose([RandomRotation(20), RandomScale((0.8, 1.2)), RandomCrop(9, 2), RandomHorizontalFlip(), ToFloat()]),
]


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize("transform", EVERY, ids=lambda transform: type(transform).__name__)
def test_an_image_gets_the_same_bits_in_any_batch(transform, dtype):
    images = random_images(40, dtype=dtype)
    before = images.copy()
    whole = transform(images, seed=11, epoch=2)
    assert whole.dtype in (np.uint8, np.float32)
    for indices in ([39], [8, 0, 20], list(range(5, 25))):
        part = transform(images[indices], seed=11, epoch=2, indices=indices)
        np.testing.assert_array_equal(part, whole[indices])
    strided = np.ascontiguousarray(images.transpose(0, 3, 1, 2)).transpose(0, 2, 3, 1)
    np.testing.assert_array_equal(transform(strided, seed=11, epoch=2), whole)
    np.testing.assert_array_equal(images, before)
    assert transform(images[:0], indices=[]).shape == (0, *whole.shape[1:])


@pytest.mark.parametrize(
    "transform",
    [transform for transform in EVERY if not isinstance(transform, (CenterCrop, Resize, ToFloat, Normalize))],
    ids=lambda transform: type(transform).__name__,
)
def test_random_ones_differ_by_image_epoch_and_seed(transform):
    images = np.repeat(random_images(1), 40, axis=0)
    first = transform(images, seed=1)
    assert (first != first[0]).any()
    assert (transform(images, seed=2) != first).any() and (transform(images, seed=1, epoch=1) != first).any()
    np.testing.assert_array_equal(transform(images, seed=1), first)


@pytest.mark.parametrize("size", [8, 9])
@pytest.mark.parametrize("quarters", [-3, -1, 0, 1, 2, 5])
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_quarter_turns_are_exact(size, quarters, dtype):
    images = random_images(4, size, size, dtype=dtype)
    turned = RandomRotation((90 * quarters, 90 * quarters))(images)
    np.testing.assert_array_equal(turned, np.rot90(images, quarters, axes=(1, 2)))


def test_cosine_and_sine():
    degrees = np.linspace(-720, 720, 2881)
    cosine, sine = cosine_sine(degrees)
    # NumPy's argument, degrees * pi / 180 up to 12.6, is itself off by 1e-15.
    np.testing.assert_allclose(cosine, np.cos(np.deg2rad(degrees)), rtol=0, atol=4e-15)
    np.testing.assert_allclose(sine, np.sin(np.deg2rad(degrees)), rtol=0, atol=4e-15)
    np.testing.assert_array_equal(
        cosine_sine(np.array([0.0, 90, 180, 270, -90])), [[1, 0, -1, 0, 0], [0, 1, 0, -1, -1]]
    )


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_translations_by_whole_pixels_are_exact(dtype):
    image = random_images(1, 7, 10, dtype=dtype)
    images = np.repeat(image, 300, axis=0)
    moved = RandomTranslation((1, 2), fill=3)(images)
    canvas = np.full((1, 9, 14, 3), 3, image.dtype)
    canvas[:, 1:8, 2:12] = image
    expected = {canvas[0, y : y + 7, x : x + 10].tobytes() for y in range(3) for x in range(5)}
    assert {one.tobytes() for one in moved} == expected


def test_a_translation_by_half_a_pixel_is_the_mean_of_two():
    class HalfRight(Affine):
        def maps(self, draws):
            return np.broadcast_to(np.array([[1, 0, 0], [0, 1, -0.5]]), (len(draws), 2, 3))

    row = np.array([10, 20, 40, 80], np.float32).reshape(1, 1, 4, 1)
    assert HalfRight(0)(row).ravel().tolist() == [5, 15, 30, 60]
    assert HalfRight(0)(row.astype(np.uint8)).ravel().tolist() == [5, 15, 30, 60]


def test_scale_stretches_a_ramp():
    ramp = np.broadcast_to(np.arange(16, dtype=np.float32)[:, None] * 8, (16, 16))[None, :, :, None]
    doubled = RandomScale((2, 2))(ramp)[0, :, 3, 0]
    np.testing.assert_array_equal(doubled, ((np.arange(16) - 7.5) / 2 + 7.5) * 8)
    halved = RandomScale((0.5, 0.5), fill=1)(np.full((1, 16, 16, 1), 9, np.float32))[0, :, :, 0]
    assert (halved[4:12, 4:12] == 9).all() and (halved[:3] == 1).all() and (halved[:, 13:] == 1).all()


def reference_warp(image, matrix, fill):
    """float64, pixel by pixel, from the definition."""
    height, width, channels = image.shape
    result = np.zeros(image.shape)
    for y in range(height):
        for x in range(width):
            source = matrix @ [y - (height - 1) / 2, x - (width - 1) / 2, 1]
            top, left = source[0] + (height - 1) / 2, source[1] + (width - 1) / 2
            for i in (int(np.floor(top)), int(np.floor(top)) + 1):
                for j in (int(np.floor(left)), int(np.floor(left)) + 1):
                    weight = max(0, 1 - abs(top - i)) * max(0, 1 - abs(left - j))
                    inside = 0 <= i < height and 0 <= j < width
                    result[y, x] += weight * (image[i, j] if inside else np.full(channels, fill))
    return result


def test_a_warp_is_the_definition_of_bilinear_sampling():
    images = random_images(5, 8, 11, 2).astype(np.float32)
    chain = Compose([RandomRotation(40, fill=7), RandomScale((0.6, 1.5), fill=7), RandomTranslation(3, fill=7)])
    warped = chain(images, seed=9)
    for i in range(5):
        # Applied in order, forwards, by NumPy's own matrices; the map is the inverse of all.
        forward = np.eye(3)
        for position, transform in enumerate(chain.transforms):
            from fastconv.data.random import Draws

            (backward,) = transform.maps(Draws(9, 0, [i], position))
            forward = np.linalg.inv(np.vstack([backward, [0, 0, 1]])) @ forward
        expected = reference_warp(images[i], np.linalg.inv(forward)[:2], 7)
        # Coordinates below 16 in float32 are off by some 1e-6, times a slope of at most 255.
        np.testing.assert_allclose(warped[i], expected, rtol=0, atol=2e-3)


def test_neighbours_that_bend_are_one_interpolation():
    """There and back again is the image itself, also what had left it in between."""
    images = random_images(4, 8, 8)
    there_and_back = Compose([RandomRotation((90, 90)), RandomScale((2, 2)), RandomScale((0.5, 0.5))])
    np.testing.assert_array_equal(there_and_back(images), np.rot90(images, 1, axes=(1, 2)))
    apart = Compose([RandomScale((2, 2)), RandomScale((0.5, 0.5), fill=9)])  # another fill: two passes
    assert (apart(images)[:, 0] == 9).all()


def test_elastic_distortion_moves_no_pixel_farther_than_it_says():
    ramp = np.broadcast_to(np.arange(40, dtype=np.float32), (3, 40, 40))[..., None]
    bent = ElasticDistortion(2)(ramp)
    inner = slice(3, 37)
    difference = abs(bent - ramp)[:, inner, inner]
    assert 0.5 < difference.max() <= 2 + 1e-4
    np.testing.assert_array_equal(ElasticDistortion(0)(ramp), ramp)


def test_flips_are_exact():
    images = random_images(50, 5, 6)
    for transform, axis in ((RandomHorizontalFlip, 2), (RandomVerticalFlip, 1)):
        np.testing.assert_array_equal(transform(1)(images), np.flip(images, axis))
        np.testing.assert_array_equal(transform(0)(images), images)
        some = transform(0.5)(images)
        flipped = [(one == np.flip(image, axis - 1)).all() for one, image in zip(some, images, strict=True)]
        kept = [(one == image).all() for one, image in zip(some, images, strict=True)]
        assert all(a != b for a, b in zip(flipped, kept, strict=True)) and 10 < sum(flipped) < 40


def test_crops_are_windows_of_the_padded_image():
    image = random_images(1, 5, 6)
    cut = RandomCrop((4, 5), padding=(1, 2), fill=9)(np.repeat(image, 500, axis=0))
    padded = np.pad(image[0], ((1, 1), (2, 2), (0, 0)), constant_values=9)
    expected = {padded[y : y + 4, x : x + 5].tobytes() for y in range(4) for x in range(6)}
    assert {one.tobytes() for one in cut} == expected
    np.testing.assert_array_equal(RandomCrop((5, 6))(image), image)


def test_the_centre_is_cut_or_framed():
    images = random_images(2, 6, 4)
    framed = CenterCrop((4, 8), fill=7)(images)
    np.testing.assert_array_equal(framed[:, :, 2:6], images[:, 1:5])
    assert (framed[:, :, :2] == 7).all() and (framed[:, :, 6:] == 7).all()


@pytest.mark.parametrize("size", [(5, 7), (20, 31), (12, 40), (1, 1), (40, 3), (12, 17)])
def test_resize_agrees_with_pillow(size):
    image_module = pytest.importorskip("PIL.Image")
    images = random_images(3, 12, 17, 3)
    resized = Resize(size)(images)
    for one, image in zip(resized, images, strict=True):
        theirs = image_module.fromarray(image).resize(size[::-1], image_module.Resampling.BILINEAR)
        # Pillow rounds to bytes between the two directions.
        assert abs(one.astype(int) - np.asarray(theirs, int)).max() <= 1
    flat = Resize(size)(np.full((1, 12, 17, 1), 200, np.uint8))
    assert (flat == 200).all() and flat.shape == (1, *size, 1)


def test_values_are_changed_as_the_formulas_say():
    images = random_images(4)
    exact = images.astype(np.float32) / np.float32(255)
    np.testing.assert_array_equal(ToFloat()(images), exact)
    np.testing.assert_array_equal(ToFloat()(exact), exact)
    mean, std = np.float32([0.25, 0.5, 0.75]), np.float32([0.5, 0.25, 2])
    np.testing.assert_array_equal(Normalize(mean, std)(images), (exact - mean) / std)
    np.testing.assert_array_equal(Normalize(0.5, 0.25)(images), (exact - np.float32(0.5)) / np.float32(0.25))
    np.testing.assert_array_equal(RandomBrightness((0.5, 0.5))(images), np.rint(images / 2).astype(np.uint8))
    np.testing.assert_array_equal(RandomBrightness((3, 3))(exact), exact * 3)
    np.testing.assert_array_equal(RandomContrast((1, 1))(images), images)
    grey = RandomContrast((0, 0))(images)
    np.testing.assert_array_equal(grey[:, 0, 0, 0], np.rint(images.mean((1, 2, 3))))
    assert (grey == grey[:, :1, :1, :1]).all()


def test_factors_stay_in_their_range():
    images = np.full((200, 1, 1, 1), 100, np.float32)
    factors = RandomBrightness(0.2)(images) / 100
    assert 0.8 <= factors.min() < 0.82 and 1.18 < factors.max() <= 1.2


def test_erasing_fills_one_rectangle():
    images = np.full((200, 20, 30, 2), 1, np.uint8)
    erased = RandomErasing(0.5, area=(0.1, 0.3), aspect=(0.5, 2), fill=0)(images)
    changed = 0
    for one in erased:
        hit = (one == 0).all(2)
        assert ((one == 0).any(2) == hit).all()
        if not hit.any():
            continue
        changed += 1
        rows, columns = np.flatnonzero(hit.any(1)), np.flatnonzero(hit.any(0))
        tall, wide = np.ptp(rows) + 1, np.ptp(columns) + 1
        assert hit.sum() == tall * wide
        # Each side is rounded by half a pixel.
        assert (tall - 0.5) * (wide - 0.5) <= 0.3 * 600 and (tall + 0.5) * (wide + 0.5) >= 0.1 * 600
        assert (tall - 0.5) / (wide + 0.5) <= 2 and (tall + 0.5) / (wide - 0.5) >= 0.5
    assert 70 < changed < 130
    np.testing.assert_array_equal(RandomErasing(0)(images), images)


def test_places_in_a_list_draw_apart_and_nested_lists_are_one():
    flip = RandomHorizontalFlip()
    images = random_images(60, 3, 4)
    twice = Compose([flip, flip])(images)
    assert (twice != images).any()  # the two do not draw the same, else they would cancel
    np.testing.assert_array_equal(Compose([flip, Compose([flip])])(images), twice)
    np.testing.assert_array_equal(Compose([])(images), images)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: RandomRotation(-1), "degrees: expected one number from 0 on"),
        (lambda: RandomRotation((10, 5)), "in order"),
        (lambda: RandomRotation(float("nan")), "degrees"),
        (lambda: RandomRotation(5, fill=float("inf")), "fill: expected a finite number"),
        (lambda: RandomTranslation(1.5), "pixels: expected whole numbers, or whole=False, got 1.5"),
        (lambda: RandomTranslation((1, 2, 3)), "pixels: expected two finite numbers"),
        (lambda: RandomTranslation(-1), "pixels"),
        (lambda: RandomScale((0, 1)), "factors: expected two finite numbers, in order, each at least 0.001"),
        (lambda: RandomScale(1.1), "factors"),
        (lambda: ElasticDistortion(-1), "pixels"),
        (lambda: ElasticDistortion(1, grid="fine"), "grid: expected an integer"),
        (lambda: RandomCrop(4, fill="black"), "fill: expected a finite number, got 'black'"),
        (lambda: RandomErasing(0.5, fill=None), "fill"),
        (lambda: ElasticDistortion(1, grid=1), "grid: expected 2 to 64"),
        (lambda: RandomCrop(0), "size: expected a number or .* at least 1, got 0"),
        (lambda: RandomCrop(4, padding=-1), "padding"),
        (lambda: CenterCrop((1, 2, 3)), "size"),
        (lambda: Resize("big"), "size"),
        (lambda: RandomHorizontalFlip(1.5), "probability: expected 0 to 1, got 1.5"),
        (lambda: RandomBrightness(2), "amount"),
        (lambda: RandomContrast("much"), "amount"),
        (lambda: Normalize(0, 0), "std: expected numbers above 0"),
        (lambda: Normalize(float("nan"), 1), "mean"),
        (lambda: RandomErasing(0.5, area=(0.5, 1.5)), "area"),
        (lambda: RandomErasing(0.5, aspect=(0, 1)), "aspect"),
        (lambda: RandomCrop(12)(random_images()), "size: expected at most 9 x 9, the padded image, got 12 x 12"),
        (lambda: RandomRotation(5, fill=0.5)(random_images()), "fill: expected a whole number from 0 to 255"),
        (lambda: CenterCrop(12, fill=256)(random_images()), "fill"),
        (lambda: Normalize((1, 2), 1)(random_images()), "mean: expected one number or 3"),
        (lambda: ToFloat()(np.zeros((2, 2), np.uint8)), r"images: expected \(N, H, W, C\)"),
        (lambda: ToFloat()(random_images(), indices=[1]), "indices: expected 6, one an image, got 1"),
        (lambda: ToFloat()(random_images(), seed=-1), "seed"),
    ],
)
def test_bad_arguments_are_named(make, text):
    with pytest.raises(fc.ShapeError, match=text):
        make()


def test_bad_kinds_are_named():
    with pytest.raises(fc.DTypeError, match="images: expected uint8 or float32, got float64"):
        ToFloat()(np.zeros((1, 2, 2, 1)))
    with pytest.raises(fc.DTypeError, match="transforms: expected Transforms, got function"):
        Compose([lambda images: images])
    with pytest.raises(NotImplementedError):
        Transform()(random_images())

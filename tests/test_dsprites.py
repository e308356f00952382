"""dSprites as the package draws it: factors, pixels, and the data source."""

import hashlib

import numpy as np
import pytest

from keras_vae import data
from keras_vae.data import dsprites

NEUTRAL = [0, 5, 0, 16, 16]  # the largest square, upright, in the middle


def drawn(**factors):
    """Images [..., 64, 64] of NEUTRAL with other values, given by factor."""
    rows = dict(zip(dsprites.FACTORS, NEUTRAL, strict=True)) | factors
    every = np.stack(np.broadcast_arrays(*rows.values()), axis=-1)
    return dsprites.render(every.reshape(-1, 5)).reshape(*every.shape[:-1], 64, 64)


def moments(image):
    """Means and covariance of the white pixels' places, x to the right and y upwards."""
    y, x = np.nonzero(image)
    return x.mean(), -y.mean(), np.cov(x, -y)


def test_numbers_count_in_the_published_order():
    assert dsprites.NUM_IMAGES == 737_280
    numbers = np.random.default_rng(0).integers(dsprites.NUM_IMAGES, size=100)
    shape, scale, orientation, x, y = dsprites.factors_of(numbers).T
    np.testing.assert_array_equal(
        (((shape * 6 + scale) * 40 + orientation) * 32 + x) * 32 + y, numbers
    )


def test_areas_are_those_of_the_curves():
    turned = drawn(shape=np.arange(3)[:, np.newaxis], orientation=np.arange(40))
    areas = turned.sum(axis=(-1, -2)).mean(axis=1)
    heart = 3.661 * (16 / 1.25) ** 2  # the area inside (x^2 + y^2 - 1)^3 = x^2 y^3 is 3.661
    np.testing.assert_allclose(areas, [2 * 16**2, np.pi * 16 * 8, heart], rtol=0.005)
    scales = drawn(shape=1, scale=np.arange(6)).sum(axis=(1, 2)) / areas[1]
    np.testing.assert_allclose(scales, np.linspace(0.5, 1, 6) ** 2, rtol=0.02)


def test_positions_are_pixels():
    places = np.arange(32)
    for image, place in zip(drawn(x_position=places), places, strict=True):
        np.testing.assert_array_equal(image, np.roll(drawn(), place - 16, axis=1))
    for image, place in zip(drawn(y_position=places), places, strict=True):
        np.testing.assert_array_equal(image, np.roll(drawn(), place - 16, axis=0))


@pytest.mark.parametrize("shape", range(3))
def test_every_sprite_is_inside_the_frame_and_no_two_are_alike(shape):
    scale, orientation = (axis.ravel() for axis in np.mgrid[:6, :40])
    middle = drawn(shape=shape, scale=scale, orientation=orientation)
    for x, y in ((0, 0), (31, 0), (0, 31), (31, 31)):
        corner = drawn(
            shape=shape, scale=scale, orientation=orientation, x_position=x, y_position=y
        )
        np.testing.assert_array_equal(corner, np.roll(middle, (y - 16, x - 16), axis=(1, 2)))
    assert len(np.unique(middle.reshape(240, -1), axis=0)) == 6 * 39
    np.testing.assert_array_equal(middle[orientation == 39], middle[orientation == 0])


def test_orientation_turns_anticlockwise():
    for turn in range(39):
        angle = 2 * np.pi * turn / 39
        _, _, covariance = moments(drawn(shape=1, orientation=turn))
        along = np.array([np.cos(angle), np.sin(angle)])
        across = np.array([-along[1], along[0]])
        assert along @ covariance @ along == pytest.approx(64, rel=0.03)  # semi-axis 16: 16^2 / 4
        assert across @ covariance @ across == pytest.approx(16, rel=0.05)
    _, upright, _ = moments(drawn(shape=2))
    _, halfway, _ = moments(drawn(shape=2, orientation=19))
    assert upright > halfway + 0.5  # a heart is heavy at the top


def test_the_pixels_are_the_same_everywhere():
    shape, scale, orientation = (axis.ravel() for axis in np.mgrid[:3, :6, :40])
    sprites = drawn(shape=shape, scale=scale, orientation=orientation)
    assert hashlib.sha256(sprites.tobytes()).hexdigest().startswith("4e461692cb5b6c9c")


def test_one_row_is_one_image():
    assert dsprites.render(NEUTRAL).shape == (64, 64, 1)
    assert dsprites.render(np.zeros([0, 5], int)).shape == (0, 64, 64, 1)


@pytest.mark.parametrize(
    ("factors", "message"),
    [
        ([[0, 0, 0, 0]], r"whole numbers \[N, 5\].*\(1, 4\)"),
        (np.zeros([2, 5]), "whole numbers.*float64"),
        ([0, 6, 0, 0, 0], "scale has 6 values.*from 0 to 5.*6"),
        ([[0, 0, 0, 0, 0], [0, 0, -1, 0, 0]], "orientation has 40 values.*-1"),
    ],
)
def test_factors_that_there_are_not_are_refused(factors, message):
    with pytest.raises(ValueError, match=message):
        dsprites.render(factors)


# The source


@pytest.fixture(scope="module", params=[False, True], ids=["memory", "stream"])
def splits(request):
    return data.load("dsprites", stream=request.param)


def test_the_source_knows_the_factors_of_its_examples(splits):
    sizes = {"shape": 3, "scale": 6, "orientation": 40, "x_position": 32, "y_position": 32}
    assert dict(splits.factor_sizes) == sizes
    assert splits.classes == ("square", "ellipse", "heart")
    assert splits.protocol == "raw"
    for split in ("train", "validation", "test"):
        factors = splits.factors(split)
        np.testing.assert_array_equal(factors[:, 0], splits.stored[split].labels)
        assert len(np.unique(factors[:100, 0])) == 3  # the first are of all kinds
        images = splits.examples(split, 100)
        assert images.dtype == np.float32
        np.testing.assert_array_equal(images, dsprites.render(factors[:100]))


def test_the_splits_are_disjoint(splits):
    sizes = tuple(dsprites.FACTORS.values())
    numbers = [np.ravel_multi_index(splits.factors(split).T, sizes) for split in splits.stored]
    lengths = [len(held) for held in numbers]
    assert lengths == ([717_280, 10_000, 10_000] if splits.is_streamed else [55_000, 5_000, 10_000])
    assert len(np.unique(np.concatenate(numbers))) == sum(lengths)
    for factor, size in enumerate(sizes):  # all values, about equally often
        counts = np.bincount(splits.factors("test")[:, factor], minlength=size)
        assert counts.min() > 0.7 * 10_000 / size


def test_factors_that_are_not_known_are_refused():
    others = data.from_arrays(np.zeros([40, 3]), batch_size=8)
    assert not others.factor_sizes
    with pytest.raises(ValueError, match=r'factors that made .*not known.*"dsprites"'):
        others.factors("test")
    with pytest.raises(ValueError, match="split among"):
        others.factors("tset")

"""The discretised logistic and the Beta: against SciPy, normalised, at their ends, their draws."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import special, stats

from keras_vae import VAE, likelihoods, load_model, networks
from keras_vae.likelihoods import Beta, DiscretizedLogistic

RNG = np.random.default_rng(0)
LEVELS = np.arange(256)[:, np.newaxis].astype(np.float32)


def exact(level, loc, scale):
    """In float64, from differences of SciPy's distribution function; loc and scale in half ranges."""
    of = stats.logistic(127.5 * (loc + 1), 127.5 * scale)
    low = np.where(level == 0, -np.inf, level - 0.5)
    high = np.where(level == 255, np.inf, level + 0.5)
    below = high < of.mean()  # the smaller tails keep the digits
    return np.where(below, of.cdf(high) - of.cdf(low), of.sf(low) - of.sf(high))


@pytest.mark.parametrize("maximum", [1.0, 255.0])
def test_levels_against_scipy(maximum):
    loc, log_variance = RNG.normal(0, 0.7, (2, 300, 4)).astype(np.float32)
    log_variance -= 4.0
    level = RNG.integers(0, 256, (300, 4))
    level[:40] = np.where(level[:40] < 128, 0, 255)
    expected = exact(level, loc, np.exp(0.5 * log_variance))
    params = np.concatenate([loc, log_variance], axis=1)
    x = level * np.float32(maximum / 255)
    likelihood = DiscretizedLogistic(maximum=maximum)
    found = likelihood.log_prob_by_element(params, x).numpy()
    resolved = expected > 1e-30
    assert resolved.mean() > 0.9
    np.testing.assert_allclose(found[resolved], np.log(expected[resolved]), rtol=1e-4, atol=1e-5)
    of_tfd = likelihood.distribution(params).log_prob(x)
    np.testing.assert_allclose(of_tfd, found.sum(1), rtol=1e-6)


def test_mixtures_against_scipy_and_channel_by_channel():
    likelihood = DiscretizedLogistic(num_components=3, event_rank=3, maximum=255.0)
    logits, loc = RNG.normal(size=(2, 5, 2, 2, 2, 3)).astype(np.float32)
    log_variance = (loc - 4.0).astype(np.float32)
    level = RNG.integers(0, 256, (5, 2, 2, 2))
    each = exact(level[..., np.newaxis], loc, np.exp(0.5 * log_variance))
    expected = np.log((special.softmax(logits, axis=-1) * each).sum(-1)).sum((1, 2, 3))
    params = [p.reshape(5, 2, 2, 6) for p in (logits, loc, log_variance)]
    params = np.concatenate(params, axis=-1)
    assert likelihood.params_size(2) == params.shape[-1]
    np.testing.assert_allclose(likelihood.log_prob(params, level), expected, rtol=1e-4)


@pytest.mark.parametrize(
    ("loc", "raw"), [(0, 0), (1, -50), (-1, -8), (5, 3), (1e30, -1e30), (-1e4, 50), (0.001, -9)]
)
def test_probabilities_of_all_levels_sum_to_one(loc, raw):
    likelihood = DiscretizedLogistic(maximum=255.0)
    params = tf.constant(np.repeat([[loc, raw]], 256, axis=0), tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(params)
        log_prob = likelihood.log_prob(params, LEVELS)
    assert np.isfinite(tape.gradient(log_prob, params)).all()
    probabilities = np.exp(log_prob.numpy().astype(np.float64))
    assert probabilities.sum() == pytest.approx(1.0, abs=3e-6)
    mean = float(likelihood.location(params)[0, 0])
    assert mean == pytest.approx(probabilities @ LEVELS[:, 0], abs=0.5)
    if raw > -10:
        assert mean == pytest.approx(probabilities @ LEVELS[:, 0], abs=0.01)


def test_encoders_see_pixels_of_255_levels_as_shares():
    """The same model of the same pictures, as they are and divided by 255."""
    x = RNG.integers(0, 256, (6, 4, 4, 1)).astype(np.float32)
    codes = []
    for maximum in (1.0, 255.0):
        likelihood = DiscretizedLogistic(maximum=maximum, event_rank=3)
        for make, options in ((networks.mlp, {"hidden": 5}), (networks.conv, {"filters": 2})):
            keras.utils.set_random_seed(0)
            nets = make((4, 4, 1), 2, likelihood=likelihood, **options)
            codes.append(VAE(*nets, likelihood=likelihood).embed(x * np.float32(maximum / 255)))
    np.testing.assert_allclose(codes[2], codes[0], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(codes[3], codes[1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("num_components", [1, 7])
def test_a_model_of_pixels_is_loaded(tmp_path, num_components):
    """No layer of it has as many units as there are components."""
    likelihood = DiscretizedLogistic(num_components=num_components)
    model = VAE(*networks.mlp(5, 4, hidden=6, likelihood=likelihood), likelihood=likelihood)
    model.save(tmp_path / "model.keras")
    assert load_model(tmp_path / "model.keras").likelihood == likelihood


@pytest.mark.parametrize(("levels", "maximum"), [(50, 49.0), (100, 99.0), (256, 255.0)])
def test_levels_that_are_whole_numbers_are_exactly_so(levels, maximum):
    alphabet = DiscretizedLogistic(num_levels=levels, maximum=maximum).alphabet
    assert alphabet == tuple(map(float, range(levels)))


def test_draws_are_levels_with_their_probabilities():
    likelihood = DiscretizedLogistic(num_components=2, num_levels=8)
    params = np.array([[0.3, -0.5, -0.6, 0.7, -2.0, -4.0]], np.float32)
    levels = (np.arange(8) / 7).astype(np.float32)[:, np.newaxis]
    log_prob = likelihood.log_prob(np.repeat(params, 8, axis=0), levels).numpy()
    expected = special.softmax(log_prob.astype(np.float64)) * 20_000
    draws = likelihood.sample(np.repeat(params, 20_000, axis=0), seed=[1, 2]).numpy()[:, 0]
    assert likelihood.contains(draws).numpy().all()
    counts = np.bincount(np.round(draws * 7).astype(int), minlength=8)
    assert stats.chisquare(counts, expected).pvalue > 1e-3


@pytest.mark.parametrize(("num_levels", "maximum"), [(16, 1.0), (256, 1.0), (256, 255.0)])
def test_draws_are_of_the_alphabet_to_the_bit(num_levels, maximum):
    likelihood = DiscretizedLogistic(num_levels=num_levels, maximum=maximum)
    draw = tf.function(likelihood.sample, jit_compile=True)
    draws = draw(np.tile(np.float32([0.0, 1.0]), (4000, 1)), seed=[1, 2]).numpy()
    drawn, alphabet = set(draws.flat), set(np.float32(likelihood.alphabet))
    assert drawn <= alphabet
    assert len(drawn) > 0.9 * num_levels


def test_a_level_is_worth_its_interval_of_a_density():
    """Bits per dimension: log p of a level is log density plus log of the width of a level."""
    level, loc, raw = RNG.integers(20, 230, (50, 1)), RNG.normal(0, 0.2, (50, 1)), np.zeros((50, 1))
    params = np.concatenate([loc, raw - 2.0], axis=1).astype(np.float32)
    density = stats.logistic(loc, math.exp(-1.0)).logpdf(2 * level / 255 - 1)[:, 0]
    found = DiscretizedLogistic(maximum=255.0).log_prob(params, level)
    np.testing.assert_allclose(found, density + math.log(2 / 255), atol=1e-4)


@pytest.mark.parametrize(
    "likelihood",
    [DiscretizedLogistic(), DiscretizedLogistic(num_components=3), Beta(squeeze=0.5 / 256)],
    ids=repr,
)
def test_pixels_start_at_the_data_mean(likelihood):
    mean = np.array([[0.02, 0.4, 0.98]])
    params = likelihood.params_for_mean(mean)
    assert params.shape == (1, likelihood.params_size(3))
    np.testing.assert_allclose(likelihood.location(params), mean, atol=1e-4)


@pytest.mark.parametrize("squeeze", [0.0, 0.5 / 256])
def test_a_beta_against_scipy(squeeze):
    likelihood = Beta(squeeze=squeeze)
    logit, log_sum = np.clip(RNG.normal(0, 2, (2, 100, 3)), -5, 5)
    a, b = (2 * np.exp(log_sum) * special.expit(sign * logit) for sign in (1, -1))
    reference = stats.beta(a, b, -squeeze / (1 - 2 * squeeze), 1 / (1 - 2 * squeeze))
    x = np.clip(reference.rvs(random_state=RNG), 1e-3, 1 - 1e-3).astype(np.float32)
    params = np.concatenate([logit, log_sum], axis=1).astype(np.float32)
    expected = reference.logpdf(x).sum(1)
    np.testing.assert_allclose(likelihood.log_prob(params, x), expected, rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(likelihood.distribution(params).log_prob(x), expected, 1e-4, 1e-3)
    mean = np.clip(reference.mean(), 0, 1)
    np.testing.assert_allclose(likelihood.location(params), mean, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(likelihood.stddev(params), reference.std(), rtol=1e-4)
    draws = likelihood.sample(np.tile(params[:1], (8000, 1)), seed=[1, 2])
    assert likelihood.contains(draws).numpy().all()
    error = 5 * reference.std()[0] / np.sqrt(8000)
    assert (np.abs(draws.numpy().mean(0) - mean[0]) < error).all()


@pytest.mark.parametrize("raw", [-1e30, -200.0, 200.0, 1e30])
@pytest.mark.parametrize("likelihood", [Beta(), Beta(squeeze=0.1)], ids=repr)
def test_a_beta_has_gradients_at_extremes_and_under_a_mask(likelihood, raw):
    params = tf.constant([[raw, 0.0], [raw, raw], [1.0, raw]])
    x, mask = np.float32([[1e-6], [1 - 1e-6], [np.nan]]), np.float32([[1], [1], [0]])
    with tf.GradientTape() as tape:
        tape.watch(params)
        log_prob = likelihood.log_prob(params, x, mask=mask)
    assert np.isfinite(log_prob).all()
    assert log_prob[2] == 0.0
    assert np.isfinite(tape.gradient(log_prob, params)).all()


def test_the_ends_of_a_share_are_refused_or_squeezed():
    ends = tf.constant([0.0, 0.5, 1.0, 1.1])
    assert Beta().contains(ends).numpy().tolist() == [False, True, False, False]
    assert Beta(squeeze=0.01).contains(ends).numpy().tolist() == [True, True, True, False]
    levels = DiscretizedLogistic().contains(tf.constant([0.0, 0.4, 0.5, 1.0, 1.004]))
    assert levels.numpy().tolist() == [True, True, False, True, False]
    grey = tf.cast(tf.range(256), tf.float32) / 255.0
    assert likelihoods.DiscretizedLogistic().contains(grey).numpy().all()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: DiscretizedLogistic(num_components=0), "num_components.*at least 1.*0"),
        (lambda: DiscretizedLogistic(num_levels=1), "num_levels.*at least 2"),
        (lambda: DiscretizedLogistic(maximum=0.0), "maximum.*above 0"),
        (lambda: Beta(squeeze=0.5), r"squeeze.*\[0, 0.49\]"),
    ],
)
def test_bad_arguments_are_named(make, words):
    with pytest.raises(ValueError, match=words):
        make()

"""Likelihoods of tables: block by block against SciPy, standardisation, missing values."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from keras_vae import VAE, networks
from keras_vae.likelihoods import Bernoulli, Block, Categorical, Column, Mixed, Normal, StudentT

MIXED = Mixed(
    blocks=(
        Block(likelihood=Normal(data_mean=(10.0, -4.0), data_stddev=(2.0, 0.5)), indices=(3, 0)),
        Block(likelihood=Categorical(num_categories=3), indices=(1,)),
        Block(likelihood=Bernoulli(), indices=(2,)),
    )
)
X = np.array([[-3.5, 2, 1, 9.0], [-4.2, 0, 0, 13.0]], np.float32)
PARAMS = np.random.default_rng(0).normal(size=(2, 8)).astype(np.float32)


def by_hand():
    """Log p of each element, from SciPy; the parameters stand block after block."""
    loc, log_variance = PARAMS[:, :2], PARAMS[:, 2:4]
    scale = np.exp(0.5 * log_variance)
    softmax = np.exp(PARAMS[:, 4:7]) / np.exp(PARAMS[:, 4:7]).sum(1, keepdims=True)
    sigmoid = 1 / (1 + np.exp(-PARAMS[:, 7]))
    return np.stack(
        [
            stats.norm(-4.0 + 0.5 * loc[:, 1], 0.5 * scale[:, 1]).logpdf(X[:, 0]),
            np.log(softmax[np.arange(2), X[:, 1].astype(int)]),
            stats.bernoulli(sigmoid).logpmf(X[:, 2]),
            stats.norm(10.0 + 2.0 * loc[:, 0], 2.0 * scale[:, 0]).logpdf(X[:, 3]),
        ],
        axis=1,
    )


def test_log_probabilities_of_blocks_add_up():
    np.testing.assert_allclose(MIXED.log_prob_by_element(PARAMS, X), by_hand(), rtol=1e-4)
    np.testing.assert_allclose(MIXED.log_prob(PARAMS, X), by_hand().sum(1), rtol=1e-5)
    np.testing.assert_allclose(MIXED.distribution(PARAMS).log_prob(X), by_hand().sum(1), rtol=1e-5)


def test_a_mask_leaves_elements_out_whatever_stands_there():
    mask = np.array([[1, 0, 1, 0], [0, 1, 1, 1]], np.float32)
    hidden = np.where(mask == 1, X, np.nan).astype(np.float32)
    expected = (by_hand() * mask).sum(1)
    with tf.GradientTape() as tape:
        params = tf.constant(PARAMS)
        tape.watch(params)
        log_prob = MIXED.log_prob(params, hidden, mask=mask)
    np.testing.assert_allclose(log_prob, expected, rtol=1e-5)
    assert np.isfinite(tape.gradient(log_prob, params)).all()


def test_locations_and_draws_stand_in_the_order_of_the_columns():
    location = MIXED.location(PARAMS).numpy()
    np.testing.assert_allclose(location[:, 3], 10.0 + 2.0 * PARAMS[:, 0], rtol=1e-6)
    np.testing.assert_allclose(location[:, 0], -4.0 + 0.5 * PARAMS[:, 1], rtol=1e-6)
    np.testing.assert_array_equal(location[:, 1], PARAMS[:, 4:7].argmax(1))
    draws = MIXED.sample(np.repeat(PARAMS[:1], 4000, axis=0), seed=[1, 2]).numpy()
    assert MIXED.contains(draws).numpy().all()
    scale = 2.0 * np.exp(0.5 * PARAMS[0, 2])
    assert abs(draws[:, 3].mean() - location[0, 3]) < 4 * scale / np.sqrt(4000)
    share = np.exp(PARAMS[0, 4:7]) / np.exp(PARAMS[0, 4:7]).sum()
    np.testing.assert_allclose(np.bincount(draws[:, 1].astype(int)) / 4000, share, atol=0.04)


def test_features_are_standardised_and_one_hot():
    features = MIXED.features(tf.constant(X)).numpy()
    np.testing.assert_allclose(
        features, [[-0.5, 1.0, 0, 0, 1, 1], [1.5, -0.4, 1, 0, 0, 0]], atol=1e-6
    )
    assert MIXED.feature_columns == [3, 0, 1, 1, 1, 2]
    layer = networks.Features(MIXED)
    seen = layer(X, np.array([[1, 0, 1, 1], [1, 1, 1, 0]], np.float32)).numpy()
    np.testing.assert_allclose(seen[0], [-0.5, 1.0, 0, 0, 0, 1, 1, 0, 1, 1], atol=1e-6)
    np.testing.assert_allclose(seen[1, :3], [0, -0.4, 1], atol=1e-6)


@pytest.mark.parametrize("family", [Normal, StudentT])
def test_standardising_inside_shifts_the_density_by_the_log_of_the_unit(family):
    x = np.array([[3.0], [7.0]], np.float32)
    inside = family(data_mean=5.0, data_stddev=4.0).log_prob(PARAMS[:, :2], x)
    outside = family().log_prob(PARAMS[:, :2], (x - 5.0) / 4.0) - np.log(4.0)
    np.testing.assert_allclose(inside, outside, rtol=1e-5)


def test_missing_values_change_no_prediction_and_no_gradient():
    """Whatever stands where the mask says missing, the encoder and the loss do not see it."""
    encoder, decoder = networks.table(MIXED, 2, hidden=8, has_missing=True)
    vae = VAE(encoder, decoder, likelihood=MIXED)
    mask = np.array([[1, 0, 1, 0], [0, 1, 1, 1]], np.float32)
    other = np.where(mask == 1, X, np.nan)
    np.testing.assert_array_equal(
        vae.embed({"x": X, "mask": mask}), vae.embed({"x": other, "mask": mask})
    )
    vae.compile("adam", run_eagerly=True)
    terms = vae.test_on_batch({"x": other, "mask": mask}, return_dict=True)
    assert np.isfinite(terms["loss"])


@pytest.mark.parametrize(
    ("block", "said"),
    [
        (
            {"likelihood": Normal(data_mean=(1.0, 2.0)), "indices": (0, 1, 2)},
            "each of the 3 channels",
        ),
        ({"likelihood": Normal(), "indices": ()}, "block of Normal has no indices"),
    ],
)
def test_blocks_of_another_size_are_refused(block, said):
    with pytest.raises(ValueError, match=said):
        Block(**block)


def test_what_is_no_block_is_refused():
    with pytest.raises(ValueError, match=r"likelihood of vectors that has no weights.*Normal"):
        Block(likelihood=Normal, indices=(0,))
    with pytest.raises(ValueError, match=r'"indices".*at least 0.*-1'):
        Block(likelihood=Normal(), indices=(-1,))
    with pytest.raises(TypeError, match="instances of Block"):
        Mixed(blocks=(Normal(),))


def test_schedules_in_blocks_are_read():
    schedule = keras.optimizers.schedules.PolynomialDecay(1.0, 10, 0.1)
    mixed, plain = (
        Mixed(blocks=[Block(likelihood=Normal(scale=scale), indices=(0, 1))])
        for scale in (schedule, 0.1)
    )
    model = VAE(*networks.table(mixed, 2, hidden=3), likelihood=mixed)
    model.step.assign(10)
    params, x = np.ones([4, 2], np.float32), np.zeros([4, 2], np.float32)
    found = model.now(model.likelihood).log_prob(params, x)
    np.testing.assert_allclose(found, plain.log_prob(params, x), rtol=1e-6)
    model.compile("sgd")
    model.fit(x, epochs=1, verbose=0)


def test_a_mixed_likelihood_survives_its_config():
    columns = (
        Column(name="a"),
        Column(name="b", kind="categorical", categories=("x", "y", "z")),
        Column(name="c", kind="binary", categories=(False, True)),
        Column(name="d", kind="integer"),
    )
    mixed = Mixed(blocks=MIXED.blocks, columns=columns)
    config = keras.saving.serialize_keras_object(mixed)
    assert keras.saving.deserialize_keras_object(config) == mixed


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Mixed(blocks=()), "share out"),
        (lambda: Mixed(blocks=[Block(likelihood=Normal(), indices=(0, 0))]), "share out"),
        (lambda: Mixed(blocks=[Block(likelihood=Normal(), indices=(1,))]), "share out"),
        (lambda: Mixed(blocks=MIXED.blocks, columns=[Column(name="a")]), "1 columns"),
        (lambda: MIXED.params_size(5), "4 columns"),
        (lambda: Block(likelihood=Normal(event_rank=3), indices=(0,)), "vectors"),
        (lambda: Column(name="a", kind="colour"), "Unknown kind of column"),
        (lambda: Column(name="a", kind="binary", categories=("x",)), "two categories"),
        (lambda: Column(name="a", kind="categorical", categories=("x", "x")), "twice"),
        (lambda: Normal(data_stddev=0.0), "data_stddev"),
        (lambda: Normal(data_mean=(1.0, np.nan)), "data_mean"),
    ],
)
def test_what_makes_no_table_is_refused(make, said):
    with pytest.raises(ValueError, match=said):
        make()

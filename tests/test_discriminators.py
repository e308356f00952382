"""Objectives with a discriminator, where the best one is known."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_vae import VAE, likelihoods, networks, priors
from keras_vae.objectives import ELBO, AdversarialAutoencoder, FactorVAE
from keras_vae.objectives.factor import permuted

CORRELATION = 0.8
MEAN = np.asarray([0.6, -0.9], np.float32)


def model_of(objective, loc=None, log_variance=-12.0, **parts):
    """A model whose encoder gives x itself, or always the same location, and a fixed log-variance."""
    encoder, decoder = networks.mlp(2, 2, hidden=(), likelihood=likelihoods.Normal(scale=1.0))
    kernel = np.concatenate([np.eye(2) if loc is None else np.zeros([2, 2]), np.zeros([2, 2])], 1)
    bias = np.concatenate([np.zeros(2) if loc is None else loc, np.full(2, log_variance)])
    encoder.layers[-1].set_weights([kernel, bias])
    return VAE(
        encoder, decoder, likelihood=likelihoods.Normal(scale=1.0), objective=objective, **parts
    )


def of_correlation(r):
    """The best discriminator between N(0, [[1, r], [r, 1]]) and the product of its marginals."""
    precision = np.linalg.inv([[1.0, r], [r, 1.0]])
    z = keras.Input((2,))
    product = keras.layers.Dense(2, use_bias=False)
    logit = keras.layers.Dense(1)
    network = keras.Model(z, logit(keras.layers.Dot(1)([z, product(z)])))
    product.set_weights([precision - np.eye(2)])
    logit.set_weights([np.full([1, 1], -0.5), np.full(1, -0.5 * np.log(1.0 - r**2))])
    return network


def of_mean(mean):
    """The best discriminator between N(mean, I) and N(0, I)."""
    z = keras.Input((2,))
    logit = keras.layers.Dense(1)
    network = keras.Model(z, logit(z))
    logit.set_weights([mean[:, np.newaxis], np.full(1, -0.5 * np.sum(mean**2))])
    return network


def gradients_of(term, model, x, variables):
    model.sampling.draws.assign(0)
    with tf.GradientTape() as tape:
        value = model.objective(model, x, training=True)[term]
    return tape.gradient(value, [v.value for v in variables])


def networks_of(model):
    return model.encoder.trainable_variables + model.decoder.trainable_variables


def correlated(num, seed=0):
    rng = np.random.default_rng(seed)
    covariance = [[1.0, CORRELATION], [CORRELATION, 1.0]]
    return rng.multivariate_normal([0.0, 0.0], covariance, num).astype(np.float32)


def test_total_correlation_is_that_of_gaussians():
    objective = FactorVAE(of_correlation(CORRELATION), gamma=3.0)
    model, x = model_of(objective), correlated(20_000)
    terms = objective(model, x, training=True)
    expected = -0.5 * np.log(1.0 - CORRELATION**2)
    assert float(terms["total_correlation"]) == pytest.approx(expected, abs=0.03)
    loss = float(terms["distortion"] + terms["rate"] + 3.0 * terms["total_correlation"])
    assert float(terms["loss"]) == pytest.approx(loss, rel=1e-5)


@pytest.mark.parametrize(
    ("make", "x", "turned"),
    [
        (lambda: model_of(FactorVAE(of_correlation(CORRELATION))), correlated(20_000), 0.1),
        (
            lambda: model_of(AdversarialAutoencoder(of_mean(MEAN)), MEAN, 0.0),
            np.zeros([20_000, 2], np.float32),
            0.1,
        ),
    ],
    ids=["factor", "adversarial"],
)
def test_the_best_discriminator_has_nothing_to_learn(make, x, turned):
    """Both kinds of z are what they should be: no other pair has this optimum."""
    model = make()
    weights = model.objective.discriminator.trainable_variables
    at_best = gradients_of("loss", model, x, weights)
    assert max(np.abs(g).max() for g in at_best) < 0.03
    for weight in weights:
        weight.assign(-weight)
    reversed_ = gradients_of("loss", model, x, weights)
    assert max(np.abs(g).max() for g in reversed_) > turned


def test_without_a_weight_factor_vae_trains_as_the_elbo():
    factor = model_of(FactorVAE(networks.discriminator(2, hidden=4), gamma=0.0))
    elbo = factor.replace(objective=ELBO())
    x = correlated(50)
    ours = gradients_of("loss", factor, x, networks_of(factor))
    for a, b in zip(ours, gradients_of("loss", elbo, x, networks_of(elbo)), strict=True):
        np.testing.assert_array_equal(a, b)
    factor.sampling.draws.assign(0)
    elbo.sampling.draws.assign(0)
    assert float(factor.objective(factor, x)["loss"]) == float(ELBO()(elbo, x)["loss"])


@pytest.mark.parametrize("kind", [FactorVAE, AdversarialAutoencoder])
def test_neither_player_sees_the_other_s_term(kind):
    model = model_of(kind(networks.discriminator(2, hidden=4)))
    x, judge = correlated(50), model.objective.discriminator.trainable_variables
    assert gradients_of("discriminator", model, x, networks_of(model)) == [None] * 4
    term = "total_correlation" if kind is FactorVAE else "adversarial"
    assert gradients_of(term, model, x, judge) == [None] * 4
    of_loss = gradients_of("loss", model, x, judge)
    for a, b in zip(of_loss, gradients_of("discriminator", model, x, judge), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)


def test_the_encoder_moves_to_where_the_discriminator_takes_it_for_the_prior():
    model = model_of(AdversarialAutoencoder(of_mean(MEAN), scale=2.0), MEAN, 0.0)
    x = np.zeros([400, 2], np.float32)
    terms = model.objective(model, x)
    assert float(terms["loss"]) == pytest.approx(
        float(terms["distortion"] + 2.0 * terms["adversarial"]), rel=1e-6
    )
    bias = model.encoder.layers[-1].bias
    (slope,) = gradients_of("adversarial", model, x, [bias])
    model.sampling.draws.assign(0)
    z = model.infer(x)[1].numpy()
    by_hand = MEAN * np.mean(1.0 / (1.0 + np.exp(0.5 * np.sum(MEAN**2) - z @ MEAN)))
    np.testing.assert_allclose(slope[:2], by_hand, rtol=1e-4)


def test_columns_are_permuted_each_by_itself():
    z = tf.reshape(tf.range(60.0), [20, 3])
    once, again, other = (permuted(z, tf.constant([0, seed])).numpy() for seed in (1, 1, 2))
    np.testing.assert_array_equal(np.sort(once, axis=0), z)
    np.testing.assert_array_equal(once, again)
    assert (once != other).any(axis=0).all()
    orders = once // 3
    assert (orders[:, 0] != orders[:, 1]).any()
    np.testing.assert_array_equal(permuted(z[:1], tf.constant([0, 1])), z[:1])


def test_of_a_single_row_nothing_is_learned_and_nothing_breaks():
    model = model_of(FactorVAE(networks.discriminator(2, hidden=4)))
    model.compile("sgd", run_eagerly=True)
    terms = model.train_on_batch(correlated(1), return_dict=True)
    assert np.isfinite(list(terms.values())).all()
    assert all(np.isfinite(w).all() for w in model.get_weights())


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (
            lambda: model_of(FactorVAE(networks.discriminator(3))),
            r"FactorVAE takes z of size 3.*StandardNormal.*discriminator\(2\)",
        ),
        (lambda: FactorVAE(networks.mlp(4, 2)[0]), r"logit \(batch, 1\)"),
        (lambda: AdversarialAutoencoder("mlp"), "Received: 'mlp'"),
        (lambda: FactorVAE(networks.discriminator(2), gamma=-1.0), "gamma"),
        (lambda: AdversarialAutoencoder(networks.discriminator(2), scale=-1.0), "scale"),
        (
            lambda: model_of(
                AdversarialAutoencoder(networks.discriminator(2)),
                prior=priors.NormalMixture(2, num_components=2),
            ),
            "AdversarialAutoencoder trains no prior, and NormalMixture",
        ),
    ],
)
def test_misfits_are_refused(make, said):
    with pytest.raises(ValueError, match=said):
        make()


def test_a_prior_that_was_fitted_before_and_is_frozen_is_taken():
    fitted = priors.NormalMixture(2, num_components=2)
    fitted.trainable = False
    model = model_of(AdversarialAutoencoder(networks.discriminator(2)), prior=fitted)
    assert np.isfinite(float(model.objective(model, correlated(9))["loss"]))

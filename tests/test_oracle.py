"""Bounds, likelihoods and gradients against the linear-Gaussian VAE's closed form."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from oracles import LinearGaussian

from keras_vae import evaluation, objectives, priors
from keras_vae.objectives import ELBO, IWAE

oracle = LinearGaussian.random()


def repeated(objective, model, x, times=200):
    """The objective's terms over `times` independent draws for every row of x, as means."""
    many = np.tile(x, (times, 1))
    return {term: float(value) for term, value in objective(model, many).items()}


def log_weights(model, x, num_samples):
    q, z = model.infer(x, num_samples)
    return model.log_likelihood(x, z) + model.prior_over(x).log_prob(z) - q.log_prob(z)


def test_oracle_itself_is_a_density():
    """In one dimension the density integrates to one, and its samples have its covariance."""
    narrow = LinearGaussian.random(x_size=1, z_size=1)
    grid = np.linspace(-40, 40, 200_001)[:, np.newaxis]
    assert np.trapezoid(np.exp(narrow.log_prob(grid)), grid[:, 0]) == pytest.approx(1.0, abs=1e-6)
    covariance = np.cov(oracle.sample(200_000), rowvar=False)
    expected = oracle.W @ oracle.W.T + oracle.noise**2 * np.eye(5)
    np.testing.assert_allclose(covariance, expected, atol=0.05)


def test_every_weight_is_log_p_at_the_exact_posterior():
    x = oracle.sample(50)
    values = log_weights(oracle.vae(), x, 7).numpy()
    np.testing.assert_allclose(values, np.tile(oracle.log_prob(x), (7, 1)), atol=2e-5)


def test_elbo_is_log_p_at_the_exact_posterior():
    x = oracle.sample(100)
    terms = repeated(ELBO(), oracle.vae(), x)
    assert -terms["negative_elbo"] == pytest.approx(oracle.log_prob(x).mean(), abs=0.02)
    assert terms["loss"] == terms["negative_elbo"]


def test_elbo_below_log_p_by_the_known_gap():
    """With a posterior that is off, the gap is KL(q || true posterior), here in closed form."""
    x, shift, widen = oracle.sample(100), 0.3, 1.5
    terms = repeated(ELBO(), oracle.vae(shift=shift, widen=widen), x)
    variance = 1.0 / (1.0 + np.sum(oracle.W**2, axis=0) / oracle.noise**2)
    gap = 0.5 * np.sum(shift**2 / variance + widen**2 - 1 - 2 * np.log(widen))
    assert -terms["negative_elbo"] == pytest.approx(oracle.log_prob(x).mean() - gap, abs=0.03)


def test_bounds_are_ordered_with_a_wrong_posterior():
    x = oracle.sample(100)
    model = oracle.vae(shift=0.5, widen=1.5)
    elbo = -repeated(ELBO(), model, x)["loss"]
    iwae_5 = -repeated(IWAE(num_samples=5), model, x)["loss"]
    iwae_500 = -repeated(IWAE(num_samples=500), model, x, times=20)["loss"]
    exact = oracle.log_prob(x).mean()
    assert elbo < iwae_5 - 0.1
    assert iwae_5 < iwae_500 - 0.02
    assert iwae_500 < exact
    assert iwae_500 == pytest.approx(exact, abs=0.02)


@pytest.mark.parametrize("num_samples", [30, 1000, 5000])
def test_log_likelihood_is_exact_within_its_own_error(num_samples):
    x = oracle.sample(300)
    model = oracle.vae(shift=0.2, widen=1.4)
    estimate = evaluation.log_likelihood(model, x, num_samples, seed=3, progress=False)
    exact = oracle.log_prob(x)
    assert abs(estimate.mean - exact.mean()) < 4 * estimate.monte_carlo_error
    assert estimate.standard_error == pytest.approx(exact.std(ddof=1) / np.sqrt(300), rel=0.05)
    assert estimate.bits_per_dim == pytest.approx(-estimate.mean / np.log(2) / 5)


def test_monte_carlo_error_is_the_spread_over_repetitions():
    """The same example many times over: its estimates scatter by what the error says."""
    model = oracle.vae(shift=0.2, widen=1.4)
    x = np.tile(oracle.sample(1), (400, 1))
    estimate = evaluation.log_likelihood(model, x, 200, progress=False)
    spread_of_mean = np.std(estimate.per_example, ddof=1) / np.sqrt(400)
    assert estimate.monte_carlo_error == pytest.approx(spread_of_mean, rel=0.15)


def test_log_likelihood_of_data_sets_chunks_and_partial_batches_agrees():
    """Chunked samples, batches that do not divide the data, and a tf.data set: all within the same
    error."""
    x = oracle.sample(53)
    model = oracle.vae(widen=1.3)
    draws = model.sampling.draws.numpy()
    dataset = tf.data.Dataset.from_tensor_slices(x).batch(16)
    a = evaluation.log_likelihood(model, x, 7001, batch_size=20, progress=False)
    b = evaluation.log_likelihood(model, dataset, 7001, batch_size=20, progress=False)
    c = evaluation.log_likelihood(model, x, 400, batch_size=53, seed=9, progress=False)
    np.testing.assert_array_equal(a.per_example, b.per_example)
    assert a.num_examples == c.num_examples == 53
    np.testing.assert_allclose(a.per_example, oracle.log_prob(x), atol=0.1)
    np.testing.assert_allclose(c.per_example, oracle.log_prob(x), atol=0.4)
    assert model.sampling.draws.numpy() == draws


def test_no_samples_are_lost_or_counted_twice_by_chunking():
    """At the exact posterior every weight is p(x): a wrong count would be off by a known factor."""
    x = oracle.sample(10)
    for num_samples in (1, 999, 1001, 2003):
        estimate = evaluation.log_likelihood(
            oracle.vae(), x, num_samples, batch_size=10, progress=False
        )
        np.testing.assert_allclose(estimate.per_example, oracle.log_prob(x), atol=3e-5)


@pytest.mark.parametrize(
    ("objective", "model"),
    [
        (ELBO(), oracle.vae()),
        (IWAE(num_samples=1), oracle.vae()),
        (IWAE(num_samples=300), oracle.vae(shift=0.2, widen=1.3)),
    ],
    ids=["elbo-exact-posterior", "sampled-elbo-exact-posterior", "iwae-wrong-posterior"],
)
def test_decoder_gradient_is_that_of_log_p(objective, model):
    """At the exact posterior (Fisher's identity), or with many samples, E gradient = d log p(x) / d
    W."""
    x = oracle.sample(40)
    kernel = model.decoder.layers[-1].kernel
    many = np.tile(x, (400 if getattr(objective, "num_samples", 1) == 1 else 20, 1))
    with tf.GradientTape() as tape:
        loss = objective(model, many)["loss"]
    gradient = -tape.gradient(loss, kernel.value).numpy()
    np.testing.assert_allclose(gradient, oracle.gradient(x), atol=0.03)
    assert np.abs(oracle.gradient(x)).max() > 0.1


def test_training_from_a_wrong_start_reaches_the_closed_form():
    """ELBO training of all weights ends at a log-likelihood no worse than the truth's on its own
    data."""
    x = oracle.sample(2000)
    model = oracle.vae(
        shift=1.0, widen=2.0, objective=objectives.ELBO(), prior=priors.StandardNormal(3)
    )
    model.compile(keras.optimizers.Adam(0.02), jit_compile=False)
    model.fit(x, batch_size=200, epochs=30, verbose=0)
    estimate = evaluation.log_likelihood(model, x[:500], 500, progress=False)
    assert estimate.mean == pytest.approx(oracle.log_prob(x[:500]).mean(), abs=0.05)


def test_use_of_the_latents():
    """Rates add up to the objective's; a dimension that the encoder ignores is not active."""
    model, x = oracle.vae(), oracle.sample(1200)
    use = evaluation.latent_use(model, x)
    np.testing.assert_allclose(use.variance, np.var(model.embed(x), axis=0), rtol=1e-5)
    rate = float(ELBO()(model, x)["rate"])
    assert float(np.sum(use.rate)) == pytest.approx(rate, rel=1e-5)
    assert use.num_active == len(use.rate)
    kernel, bias = model.encoder.layers[-1].get_weights()
    kernel[:, 0] = 0.0  # of the location of the first dimension
    model.encoder.layers[-1].set_weights([kernel, bias])
    assert evaluation.latent_use(model, x).num_active == len(use.rate) - 1
    with pytest.raises(ValueError, match="at least 2 examples"):
        evaluation.latent_use(model, x[:1])


def test_a_mixture_prior_has_no_rate_by_dimension():
    model = oracle.vae()
    other = type(model)(
        model.encoder,
        model.decoder,
        likelihood=model.likelihood,
        prior=priors.NormalMixture(model.latent_dim, num_components=2),
    )
    assert evaluation.latent_use(other, oracle.sample(10)).rate is None

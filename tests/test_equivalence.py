"""Things that must agree: with NumPy by hand, with each other, with TFP's own classes."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from scipy import stats

from keras_vae import VAE, estimators, likelihoods, networks, posteriors, priors
from keras_vae.objectives import ELBO, IWAE

tfd = tfp.distributions
rng = np.random.default_rng(0)


def sigmoid(a):
    return 1.0 / (1.0 + np.exp(-a))


def test_classic_vae_against_numpy():
    """784-512-20-512-784, relu, Bernoulli: forward pass, reconstruction term and KL, sign and units
    included."""
    encoder, decoder = networks.mlp(784, latent_dim=20, hidden=512)
    vae = VAE(encoder, decoder, likelihood=likelihoods.Bernoulli())
    weights = [w + rng.normal(scale=0.02, size=w.shape).astype("f") for w in encoder.get_weights()]
    encoder.set_weights(weights)
    x = (rng.random((32, 784)) < 0.3).astype(np.float32)

    w1, b1, w2, b2 = (w.astype(np.float64) for w in encoder.get_weights())
    mean, log_variance = np.split(np.maximum(x @ w1 + b1, 0) @ w2 + b2, 2, axis=1)
    kl = -0.5 * np.sum(1 + log_variance - mean**2 - np.exp(log_variance), axis=1).mean()

    q, z = vae.infer(x)
    np.testing.assert_allclose(q.mean(), mean, atol=1e-5)
    np.testing.assert_allclose(q.stddev(), np.exp(0.5 * log_variance), rtol=1e-5)

    w3, b3, w4, b4 = (w.astype(np.float64) for w in decoder.get_weights())
    p = sigmoid(np.maximum(z.numpy() @ w3 + b3, 0) @ w4 + b4)
    reconstruction = -np.sum(x * np.log(p) + (1 - x) * np.log(1 - p), axis=1).mean()
    np.testing.assert_allclose(vae.decode(z).mean(), p, atol=1e-5)
    assert -np.mean(vae.log_likelihood(x, z)) == pytest.approx(reconstruction, rel=1e-5)
    assert np.mean(q.kl_divergence(vae.prior_over(x))) == pytest.approx(kl, rel=1e-5)

    vae.sampling.draws.assign(0)  # the same z again, through the objective
    terms = ELBO(beta=3.0)(vae, x)
    assert float(terms["rate"]) == pytest.approx(kl, rel=1e-5)
    assert float(terms["distortion"]) == pytest.approx(reconstruction, rel=1e-5)
    assert float(terms["negative_elbo"]) == pytest.approx(reconstruction + kl, rel=1e-5)
    assert float(terms["loss"]) == pytest.approx(reconstruction + 3 * kl, rel=1e-5)
    assert 0 < kl < reconstruction, "both terms are costs, in nats per image"

    location = sigmoid(np.maximum(mean @ w3 + b3, 0) @ w4 + b4)
    np.testing.assert_allclose(vae.reconstruct(x), location, atol=1e-5)
    np.testing.assert_allclose(vae.predict(x, verbose=0), location, atol=1e-5)
    np.testing.assert_allclose(vae.embed(x), mean, atol=1e-5)


def test_classic_vae_has_its_sizes():
    encoder, decoder = networks.mlp(784, latent_dim=20, hidden=512)
    assert [w.shape for w in encoder.get_weights()] == [(784, 512), (512,), (512, 40), (40,)]
    assert [w.shape for w in decoder.get_weights()] == [(20, 512), (512,), (512, 784), (784,)]


def small_vae(**parts):
    keras.utils.set_random_seed(1)
    encoder, decoder = networks.mlp(6, 3, hidden=8)
    return VAE(encoder, decoder, likelihood=likelihoods.Bernoulli(), seed=5, **parts)


x6 = (rng.random((64, 6)) < 0.5).astype(np.float32)


def test_iwae_of_one_sample_is_the_sampled_elbo():
    vae = small_vae()
    iwae = IWAE(num_samples=1)(vae, x6)
    vae.sampling.draws.assign(0)
    q, z = vae.infer(x6, 1)
    sampled = -(vae.log_likelihood(x6, z) + vae.prior_over(x6).log_prob(z) - q.log_prob(z))
    np.testing.assert_allclose(iwae["loss"], np.mean(sampled), rtol=1e-6)
    np.testing.assert_allclose(iwae["negative_elbo"], iwae["loss"], rtol=1e-6)


def test_iwae_weighs_samples_by_hand():
    log_weights = np.array([[0.0, 1.0], [np.log(3.0), 1.0], [-np.inf, 1.0]], np.float32)
    bound = estimators.importance_weighted_bound(tf.constant(log_weights))
    np.testing.assert_allclose(bound, [np.log(4.0 / 3.0), 1.0], rtol=1e-6)


def test_mixture_of_one_component_is_the_standard_normal():
    standard, mixture = priors.StandardNormal(3), priors.NormalMixture(3, num_components=1)
    mixture.loc.assign(np.zeros((1, 3)))
    z = rng.normal(size=(50, 3)).astype(np.float32)
    np.testing.assert_allclose(
        mixture.distribution().log_prob(z), standard.distribution().log_prob(z), rtol=1e-5
    )
    noise = rng.normal(size=(50, 5)).astype(np.float32)
    np.testing.assert_allclose(
        mixture.transform(noise), standard.transform(noise[:, 2:]), atol=1e-6
    )


def random_mixture():
    mixture = priors.NormalMixture(2, num_components=3)
    mixture.logits.assign([0.0, 1.0, -0.5])
    mixture.loc.assign([[-4.0, 0.0], [0.0, 3.0], [5.0, -2.0]])
    mixture.log_variance.assign([[0.0, 0.5], [-1.0, 0.2], [0.3, -0.4]])
    return mixture


def test_mixture_density_against_scipy():
    mixture = random_mixture()
    weights = np.exp([0.0, 1.0, -0.5]) / np.exp([0.0, 1.0, -0.5]).sum()
    z = rng.normal(scale=3, size=(40, 2))
    density = np.zeros(40)
    loc, log_variance = np.asarray(mixture.loc), np.asarray(mixture.log_variance)
    for k in range(3):
        component = stats.multivariate_normal(loc[k], np.diag(np.exp(log_variance[k])))
        density += weights[k] * component.pdf(z)
    np.testing.assert_allclose(
        mixture.distribution().log_prob(z.astype("f")), np.log(density), rtol=1e-4
    )


def test_mixture_transform_draws_from_its_density():
    """Samples through `transform` and through the distribution have the same means, covariances and
    tails."""
    mixture = random_mixture()
    ours = mixture.sample(100_000, seed=3).numpy()
    theirs = mixture.distribution().sample(100_000, seed=4).numpy()
    np.testing.assert_allclose(ours.mean(0), theirs.mean(0), atol=0.06)
    np.testing.assert_allclose(np.cov(ours.T), np.cov(theirs.T), rtol=0.03, atol=0.06)
    for axis in (0, 1):
        assert stats.ks_2samp(ours[:, axis], theirs[:, axis]).statistic < 0.01


def test_normal_posterior_is_multivariate_normal_diag():
    params = rng.normal(size=(10, 6)).astype(np.float32)
    loc, log_variance = np.split(params, 2, axis=1)
    ours = posteriors.Normal().distribution(params)
    theirs = tfd.MultivariateNormalDiag(loc, np.exp(0.5 * log_variance))
    z = rng.normal(size=(5, 10, 3)).astype(np.float32)
    np.testing.assert_allclose(ours.log_prob(z), theirs.log_prob(z), rtol=1e-5)
    np.testing.assert_allclose(
        ours.kl_divergence(priors.StandardNormal(3).distribution()),
        theirs.kl_divergence(tfd.MultivariateNormalDiag(tf.zeros(3))),
        rtol=1e-5,
    )


def test_posterior_transform_is_its_distribution():
    posterior, params = posteriors.Normal(), rng.normal(size=(3, 4)).astype(np.float32)
    draws = posterior.transform(params, rng.normal(size=(200_000, 3, 2)).astype(np.float32)).numpy()
    q = posterior.distribution(params)
    np.testing.assert_allclose(draws.mean(0), q.mean(), atol=0.02)
    np.testing.assert_allclose(draws.std(0), q.stddev(), rtol=0.01)
    np.testing.assert_allclose(posterior.location(params), q.mean())


def test_closed_form_kl_is_the_monte_carlo_kl():
    q = posteriors.Normal().distribution(rng.normal(size=(4, 6)).astype(np.float32))
    p = priors.StandardNormal(3).distribution()
    z = q.sample(200_000, seed=1)
    estimates = (q.log_prob(z) - p.log_prob(z)).numpy()
    error = estimates.std(0) / np.sqrt(len(estimates))
    assert np.all(np.abs(estimates.mean(0) - estimators.kl_divergence(q, p, z[0])) < 5 * error)


def test_kl_falls_back_to_monte_carlo_where_there_is_no_closed_form():
    q = posteriors.Normal().distribution(rng.normal(size=(4, 4)).astype(np.float32))
    mixture = random_mixture().distribution()
    with pytest.raises(NotImplementedError):
        q.kl_divergence(mixture)
    z = q.sample(seed=1)
    np.testing.assert_allclose(
        estimators.kl_divergence(q, mixture, z), q.log_prob(z) - mixture.log_prob(z), rtol=1e-6
    )


def test_objective_with_a_mixture_prior_estimates_the_same_rate():
    """A one-component mixture has no closed-form KL; on average the rate is the standard normal's."""
    exact = small_vae()
    mixture = priors.NormalMixture(3, num_components=1)
    mixture.loc.assign(np.zeros((1, 3)))
    estimated = exact.with_prior(mixture)
    many = np.tile(x6, (300, 1))
    rate = float(ELBO()(exact, x6)["rate"])
    assert float(ELBO()(estimated, many)["rate"]) == pytest.approx(rate, rel=0.05)


def test_k_samples_in_one_pass_are_k_passes():
    vae = small_vae()
    _, z = vae.infer(x6, 4)
    one_by_one = np.stack([vae.log_likelihood(x6, z[k]) for k in range(4)])
    np.testing.assert_allclose(vae.log_likelihood(x6, z), one_by_one, rtol=1e-5)


def test_a_schedule_is_its_value_at_the_step():
    schedule = keras.optimizers.schedules.PolynomialDecay(0.0, 10, 1.0)
    vae = small_vae(objective=ELBO(beta=schedule))
    for step, beta in [(0, 0.0), (5, 0.5), (10, 1.0), (50, 1.0)]:
        vae.step.assign(step)
        terms = vae.now(vae.objective)(vae, x6)
        np.testing.assert_allclose(
            terms["loss"], terms["distortion"] + beta * terms["rate"], rtol=1e-6
        )


def test_warm_up_runs_in_graph_without_retracing():
    schedule = keras.optimizers.schedules.PolynomialDecay(0.0, 8, 1.0)
    vae = small_vae(objective=ELBO(beta=schedule))
    vae.compile("sgd", jit_compile=False)
    traces, infer = [], vae.infer
    vae.infer = lambda *args, **kwargs: (traces.append(1), infer(*args, **kwargs))[1]
    history = vae.fit(x6, batch_size=16, epochs=3, verbose=0).history
    assert int(vae.step.numpy()) == 12
    assert len(traces) == 1, "the schedule is read inside one graph"
    beta = (np.array(history["loss"]) - history["distortion"]) / history["rate"]
    np.testing.assert_allclose(
        beta, [np.mean([0, 1, 2, 3]) / 8, np.mean([4, 5, 6, 7]) / 8, 1.0], atol=0.05
    )


def test_seed_decides_the_draws():
    a, b, c = small_vae(), small_vae(), small_vae()
    c.sampling.seed = 6
    za, zb, zc = a.infer(x6)[1], b.infer(x6)[1], c.infer(x6)[1]
    np.testing.assert_array_equal(za, zb)
    assert not np.allclose(za, zc)
    assert not np.allclose(za, a.infer(x6)[1]), "the next draw is another one"

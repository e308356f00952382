"""What a model does with its latents: identities, hand-made encoders, and a model that has collapsed."""

import sys

import numpy as np
import pytest
import scipy.special
import scipy.stats
from oracles import LinearGaussian

from keras_vae import VAE, evaluation, likelihoods, networks, priors

oracle = LinearGaussian.random()


def hand_made(kernel, scale) -> VAE:
    """q(z|x) = N(x @ kernel, scale^2) and p(x|z) = N(z @ kernel.T, 1)."""
    kernel = np.asarray(kernel, np.float64)
    size, latent_dim = kernel.shape
    likelihood = likelihoods.Normal(scale=1.0)
    encoder, decoder = networks.mlp(size, latent_dim, hidden=(), likelihood=likelihood)
    bias = np.concatenate([np.zeros(latent_dim), np.full(latent_dim, 2 * np.log(scale))])
    weights = np.concatenate([kernel, np.zeros_like(kernel)], axis=1)
    encoder.layers[-1].set_weights([weights, bias])
    decoder.layers[-1].set_weights([kernel.T, np.zeros(size)])
    return VAE(encoder, decoder, likelihood=likelihood)


def test_terms_add_up_exactly_and_are_those_of_the_whole_matrix(monkeypatch):
    """In blocks that do not divide the data, against every log q(z_i|x_j) at once in SciPy."""
    module = sys.modules[
        "keras_vae.evaluation.surgery"
    ]  # the package's name for it is the function's
    monkeypatch.setattr(module, "_ROWS", 40)
    monkeypatch.setattr(module, "_NUMBERS_PER_PASS", 40 * 3 * 17)
    model, x, drawn = oracle.vae(widen=1.2), oracle.sample(90), []
    draw = type(model.sampling).draw

    def remembering(*arguments):
        drawn.append(draw(*arguments))
        return drawn[-1]

    monkeypatch.setattr(type(model.sampling), "draw", remembering)
    found = evaluation.surgery(model, x, seed=4)
    z = np.concatenate([z for _, z in drawn])
    loc, scale = np.split(model.embed(x, with_stddev=True), 2, axis=1)
    each = scipy.stats.norm(loc, scale).logpdf(z[:, np.newaxis])
    log_q = scipy.special.logsumexp(each.sum(axis=2), axis=1) - np.log(90)
    log_marginals = scipy.special.logsumexp(each, axis=1) - np.log(90)
    own, log_p = np.einsum("iid->i", each), scipy.stats.norm().logpdf(z)
    assert found.mutual_information == pytest.approx(np.mean(own - log_q), abs=1e-4)
    assert found.total_correlation == pytest.approx(
        np.mean(log_q - log_marginals.sum(axis=1)), abs=1e-4
    )
    np.testing.assert_allclose(
        found.dimension_kl, np.mean(log_marginals - log_p, axis=0), atol=1e-4
    )
    np.testing.assert_allclose(
        found.dimension_information + found.dimension_kl,
        np.mean(np.einsum("iid->id", each) - log_p, axis=0),
        atol=1e-4,
    )
    assert found.rate == pytest.approx(found.mutual_information + found.marginal_kl, abs=1e-5)
    assert found.marginal_kl == pytest.approx(
        found.total_correlation + found.dimension_kl.sum(), abs=1e-5
    )
    assert f"at most {np.log(90):.2f}" in str(found.rows())


def test_at_the_exact_posterior_the_aggregate_is_the_prior():
    """Of data that the model draws: no marginal KL, and the information is 1/2 log det (I + W'W / s^2)."""
    small = LinearGaussian(oracle.W * 0.5, oracle.b, 0.8)
    found = evaluation.surgery(small.vae(), small.sample(3000))
    exact = 0.5 * np.sum(np.log1p(np.sum(small.W**2, axis=0) / small.noise**2))
    assert found.mutual_information == pytest.approx(exact, abs=0.1)
    assert abs(found.marginal_kl) < 0.1
    assert np.abs(found.dimension_kl).max() < 0.03


def test_the_information_cannot_be_above_that_of_the_numbers_of_examples():
    """Examples that are far apart: which it was is known, log N nats."""
    x = 10.0 * np.arange(64, dtype=np.float32)[:, np.newaxis]
    found = evaluation.surgery(hand_made([[1.0]], 0.1), x)
    assert found.mutual_information == pytest.approx(np.log(64), abs=1e-4)
    assert found.most_information == pytest.approx(np.log(64))


def test_latents_that_say_the_same_are_correlated():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(800, 1)).astype(np.float32)
    twice = evaluation.surgery(hand_made([[1.0, 1.0]], 0.5), x)
    correlation = 1 / (1 + 0.5**2)
    assert twice.total_correlation == pytest.approx(-0.5 * np.log1p(-(correlation**2)), abs=0.06)
    apart = rng.normal(size=(800, 2)).astype(np.float32)
    assert abs(evaluation.surgery(hand_made(np.eye(2), 0.5), apart).total_correlation) < 0.05


def test_a_prior_that_is_no_product_has_a_marginal_kl_and_no_dimensions():
    model, x = oracle.vae(), oracle.sample(50)
    mixed = model.with_prior(priors.NormalMixture(3, num_components=2))
    found = evaluation.surgery(mixed, x)
    assert found.dimension_kl is None
    assert found.rate == pytest.approx(found.mutual_information + found.marginal_kl, abs=1e-5)
    with pytest.raises(ValueError, match="at least 2 examples"):
        evaluation.surgery(model, x[:1])


def test_a_collapsed_model_is_reported_as_such():
    x = oracle.sample(200)
    report = evaluation.collapse_report(hand_made(np.zeros([5, 3]), 1.0), x)
    assert report.is_collapsed
    assert report.worth == 0.0
    for words in (
        "Posterior collapse: every x gets the same q(z|x).",
        "The decoder does not notice z",
        "--warm-up",
        "--free-bits",
    ):
        assert words in str(report)
    deaf = oracle.vae()
    deaf.decoder.layers[-1].kernel.assign(np.zeros([3, 5]))
    report = evaluation.collapse_report(deaf, x)
    assert report.is_collapsed
    assert "collapse: the encoder tells examples apart in 3 of 3 dimensions, and the" in str(report)
    assert "does not listen. The decoder does not notice z" in str(report)
    assert "every x" not in str(report)
    whole = evaluation.collapse_report(oracle.vae(), x)
    assert not whole.is_collapsed
    assert "3 of 3 dimensions are used. The decoder reads z" in str(whole)


def test_unused_and_unread_dimensions_are_named():
    """Dimension 0 is used, 1 is written and not read, 2 is not written and costs its KL."""
    model = hand_made([[1.0, 1.0, 0.0], [0.0, 1.0, 0.0]], 0.5)
    decoder = model.decoder.layers[-1]
    decoder.set_weights([np.array([[1.0, 0.0], [0.0, 0.0], [0.0, 0.0]]), np.zeros(2)])
    report = evaluation.collapse_report(model, oracle.sample(1100)[:, :2])
    assert (*report.unused, *report.unread) == (2, 1)
    cost = 0.5 * (0.25 - 1 - np.log(0.25))
    assert report.use.rate[2] == pytest.approx(cost, rel=1e-4)
    assert f"Dimension 2 is unused: q(z_d|x) is the same for every x. They cost {cost:.2f}" in str(
        report
    )
    assert "Dimension 1 is written by the encoder, and the decoder does not notice" in str(report)


def test_the_worth_of_z_is_what_exchanging_it_costs():
    """p(x|z) = N(z, 1), z = x up to 0.001: the fall is half the squared distance to the next example."""
    x = np.array([[0.0], [1.0], [3.0]], np.float32)
    report = evaluation.collapse_report(hand_made([[1.0]], 0.001), x, num_samples=50)
    assert report.worth == pytest.approx(0.5 * (9 + 1 + 4) / 3, rel=1e-2)
    np.testing.assert_allclose(report.worth_by_dimension, [report.worth], rtol=1e-5)


def test_the_worth_of_z_does_not_depend_on_the_order_of_examples():
    """Two groups, one after the other: neighbours have the same z, others at random have not."""
    x = np.repeat([[0.0], [3.0]], 600, axis=0).astype(np.float32)
    report = evaluation.collapse_report(hand_made([[1.0]], 0.01), x)
    assert report.worth == pytest.approx(0.5 * 0.5 * 9, rel=0.15)
    assert not report.is_collapsed


@pytest.mark.parametrize("seed", range(4))
def test_chance_is_no_worth(seed):
    """The same q for every x: z is worth nothing, whatever one draw of it says."""
    report = evaluation.collapse_report(
        hand_made(np.zeros([5, 3]), 1.0), oracle.sample(50), seed=seed
    )
    assert abs(report.worth) < 3 * report.worth_error + 1e-6
    assert not len(report.unread)
    assert report.is_collapsed


def test_a_prior_under_conditions_has_no_surgery():
    encoder, decoder = networks.mlp(4, 2, hidden=4, conditions={"label": 3})
    prior = priors.ConditionalNormal(networks.conditional({"label": 3}, 4, hidden=()))
    model = VAE(encoder, decoder, prior=prior, likelihood=likelihoods.Bernoulli())
    x = {"x": np.zeros([4, 4], np.float32), "label": np.arange(4) % 3}
    with pytest.raises(ValueError, match="ConditionalNormal is another for every label"):
        evaluation.surgery(model, x)

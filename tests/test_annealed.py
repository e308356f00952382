"""Annealed importance sampling against the linear-Gaussian VAE's closed form."""

import numpy as np
import pytest
from oracles import LinearGaussian

from keras_vae import evaluation, models
from keras_vae.evaluation._annealing import Annealing

oracle = LinearGaussian.random()


@pytest.fixture(scope="module")
def check():
    """60 examples that the oracle drew, in two batches, with log p(x) from both sides."""
    settings = {"num_leapfrog_steps": 3, "batch_size": 40, "progress": False}
    return evaluation.bidirectional_check(oracle.vae(), 60, 100, 16, seed=3, **settings)


def test_chains_from_the_prior_find_log_p_and_their_own_error(check):
    exact, found = oracle.log_prob(check.examples), check.lower
    assert abs(found.mean - exact.mean()) < 4 * found.monte_carlo_error
    assert found.monte_carlo_error < 0.1
    assert found.acceptance_rate == pytest.approx(0.65, abs=0.12)
    for words in ("temperatures=100", "chains=16", "start=prior", "acceptance rate 0."):
        assert words in str(found)


def test_bounds_from_both_sides_enclose_log_p(check):
    """The gap that few temperatures leave has log p(x) inside it."""
    exact, error = oracle.log_prob(check.examples).mean(), check.gap_standard_error
    assert error < check.gap < 0.3
    assert check.lower.mean < exact - error / 2
    assert check.upper.mean() > exact + error / 2
    assert f"a gap of {check.gap:.3f}" in str(check)


def test_chains_mend_what_importance_sampling_misses_and_repeat_themselves():
    """Under a posterior that is too narrow a few samples are too low; chains from it are not."""
    model, x = oracle.vae(shift=0.6, widen=0.6), oracle.sample(20)
    exact = oracle.log_prob(x).mean()
    sampled = evaluation.log_likelihood(model, x, 8, progress=False)
    annealing = Annealing(model, 80, 8, 3, "posterior")
    a, b = (evaluation.annealed._estimated(annealing, x, 5, 20, False) for _ in range(2))
    assert sampled.mean < exact - 1.0
    assert a.mean == pytest.approx(exact, abs=0.2)
    np.testing.assert_array_equal(a.per_example, b.per_example)
    with pytest.raises(ValueError, match=r"same protocol.*method LogLikelihood and Annealed"):
        evaluation.difference(sampled, a)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_temperatures": 1}, "at least 2"),
        ({"num_chains": 0}, "num_chains"),
        ({"start": "priors"}, "Did you mean 'prior'"),
    ],
)
def test_settings_that_make_no_chain_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        evaluation.annealed_log_likelihood(oracle.vae(), oracle.sample(2), **settings)


def test_conditions_of_another_number_are_refused():
    with pytest.raises(
        ValueError, match=r"'angle' has to have a row for each of the 5 examples.*4 rows"
    ):
        evaluation.bidirectional_check(oracle.vae(), 5, 3, conditions={"angle": np.zeros([4, 1])})


def test_latents_that_are_not_real_and_densities_that_are_not_known_are_refused(monkeypatch):
    model = oracle.vae()
    monkeypatch.setattr(type(model.posterior), "invertible", False)
    with pytest.raises(ValueError, match='Use start="prior"'):
        Annealing(model, 10, 2, 3, "posterior")
    monkeypatch.setattr(type(model.prior), "support", "sphere")
    with pytest.raises(ValueError, match="StandardNormal has its density on 'sphere'"):
        Annealing(model, 10, 2, 3, "prior")
    with pytest.raises(ValueError, match=r"takes a keras_vae\.VAE"):
        Annealing(models, 10, 2, 3, "prior")

"""Every likelihood against SciPy or a computation by hand; masks; bad arguments."""

import numpy as np
import pytest
import tensorflow as tf
from scipy import integrate, stats

from keras_vae import likelihoods

rng = np.random.default_rng(0)
LOC = rng.normal(size=(7, 3)).astype(np.float32)
LOG_VARIANCE = rng.normal(size=(7, 3)).astype(np.float32)
X = rng.normal(size=(7, 3)).astype(np.float32)
BOTH = np.concatenate([LOC, LOG_VARIANCE], axis=1)
SCALE = np.exp(0.5 * LOG_VARIANCE)


@pytest.mark.parametrize(
    ("likelihood", "params", "reference"),
    [
        (likelihoods.Normal(), BOTH, stats.norm(LOC, SCALE)),
        (likelihoods.Normal(scale=0.3), LOC, stats.norm(LOC, 0.3)),
        (likelihoods.SharedScaleNormal(initial_scale=0.3), LOC, stats.norm(LOC, 0.3)),
        (likelihoods.OptimalNormal(initial_scale=0.3), LOC, stats.norm(LOC, 0.3)),
        (likelihoods.Laplace(), BOTH, stats.laplace(LOC, SCALE)),
        (likelihoods.Laplace(scale=2.0), LOC, stats.laplace(LOC, 2.0)),
        (likelihoods.StudentT(df=3.0), BOTH, stats.t(3.0, LOC, SCALE)),
        (likelihoods.StudentT(df=3.0, scale=0.5), LOC, stats.t(3.0, LOC, 0.5)),
    ],
    ids=lambda value: repr(value) if isinstance(value, likelihoods.Likelihood) else "",
)
def test_location_scale_families_against_scipy(likelihood, params, reference):
    expected = reference.logpdf(X).sum(axis=1)
    np.testing.assert_allclose(likelihood.log_prob(params, X), expected, rtol=1e-4)
    np.testing.assert_allclose(likelihood.distribution(params).log_prob(X), expected, rtol=1e-4)
    np.testing.assert_allclose(likelihood.location(params), LOC)
    draws = likelihood.distribution(params).sample(20_000, seed=1).numpy()
    quantiles = reference.cdf(draws).reshape(20_000, -1)
    assert all(stats.kstest(column, "uniform").pvalue > 1e-4 for column in quantiles.T)


def test_bernoulli_by_hand_at_ordinary_and_extreme_logits():
    logits = np.array([[0.0, 2.0], [-40.0, 3.0], [40.0, -1.0]], np.float32)
    x = np.array([[1.0, 0.0], [1.0, 1.0], [0.0, 0.0]], np.float32)
    by_hand = [
        np.log(0.5) - np.log1p(np.exp(2.0)),
        -40.0 - np.log1p(np.exp(-3.0)),
        -40.0 - np.log1p(np.exp(-1.0)),
    ]
    np.testing.assert_allclose(likelihoods.Bernoulli().log_prob(logits, x), by_hand, rtol=1e-6)


@pytest.mark.parametrize("bit", [0.0, 1.0])
def test_a_bernoulli_is_tfp_s_in_value_and_gradient(bit):
    """Its own form is one that LiteRT computes at any logit; at 0 the slopes of its parts cancel."""
    logits = tf.constant([-1e30, -200.0, -88.0, -3.0, -1e-4, 0.0, 0.5, 17.0, 89.0, 1e30])[:, None]
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(logits)
        ours = likelihoods.Bernoulli().log_prob(logits, tf.fill([10, 1], bit))
        theirs = likelihoods.Bernoulli().distribution(logits).log_prob(tf.fill([10, 1], bit))
    np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-7)
    slopes = tape.gradient(ours, logits), tape.gradient(theirs, logits)
    np.testing.assert_allclose(*slopes, rtol=1e-5, atol=1e-7)


def test_continuous_bernoulli_is_normalised_and_knows_its_mean():
    likelihood = likelihoods.ContinuousBernoulli()
    for logit in (-30.0, -1.0, -1e-3, 0.0, 0.5, 20.0):
        params = np.full((1, 1), logit, np.float32)

        def density(x, params=params):
            return float(np.exp(likelihood.log_prob(params, np.float32([[x]]))[0]))

        mass, _ = integrate.quad(density, 0, 1, epsrel=1e-5)
        mean, _ = integrate.quad(lambda x: x * density(x), 0, 1, epsrel=1e-5)
        assert mass == pytest.approx(1.0, abs=1e-4)
        assert float(likelihood.location(params)[0, 0]) == pytest.approx(mean, abs=1e-4)


def test_continuous_bernoulli_mean_against_its_formula():
    """In float64, across the switch to the series, and without overflow or NaN in the gradient."""
    logits = np.concatenate([np.linspace(-3, 3, 600), [-1e4, -90.0, 90.0, 1e4]])
    exact = -1 / np.expm1(np.clip(-logits, -700, 700)) - 1 / logits
    params = tf.constant(logits, tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(params)
        mean = likelihoods.ContinuousBernoulli().location(params)
    np.testing.assert_allclose(mean, exact, atol=5e-7)
    assert np.isfinite(tape.gradient(mean, params)).all()


def test_categorical_against_numpy():
    logits = rng.normal(size=(5, 2, 3, 4)).astype(np.float32)
    x = rng.integers(0, 4, size=(5, 2, 3))
    log_softmax = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    expected = np.take_along_axis(log_softmax, x[..., np.newaxis], -1).sum(axis=(1, 2, 3))
    likelihood = likelihoods.Categorical(num_categories=4, event_rank=2)
    params = logits.reshape(5, 2, 12)
    np.testing.assert_allclose(likelihood.log_prob(params, x), expected, rtol=1e-5)
    np.testing.assert_array_equal(likelihood.location(params), logits.argmax(-1))
    assert likelihood.params_size(3) == 12


def test_images_sum_over_the_whole_event():
    image = rng.random((4, 5, 6, 1)).astype(np.float32)
    flat = likelihoods.Normal(scale=0.5).log_prob(np.zeros((4, 30), "f"), image.reshape(4, 30))
    whole = likelihoods.Normal(scale=0.5, event_rank=3).log_prob(np.zeros((4, 5, 6, 1), "f"), image)
    np.testing.assert_allclose(whole, flat, rtol=1e-5)


def test_k_samples_broadcast_against_one_x():
    params = rng.normal(size=(4, 7, 3)).astype(np.float32)
    log_prob = likelihoods.Bernoulli().log_prob(params, (X > 0).astype(np.float32))
    assert log_prob.shape == (4, 7)


ALL = [
    (likelihoods.Normal(), BOTH),
    (likelihoods.SharedScaleNormal(), LOC),
    (likelihoods.OptimalNormal(), LOC),
    (likelihoods.Laplace(), BOTH),
    (likelihoods.StudentT(), BOTH),
    (likelihoods.Bernoulli(), LOC),
    (likelihoods.ContinuousBernoulli(), LOC),
    (likelihoods.Beta(squeeze=0.1), BOTH),
    (likelihoods.DiscretizedLogistic(), BOTH),
    (likelihoods.Categorical(num_categories=2), BOTH),
]


@pytest.mark.parametrize(("likelihood", "params"), ALL, ids=lambda v: type(v).__name__)
def test_masked_elements_add_nothing_and_nan_reaches_no_gradient(likelihood, params):
    x = (X > 0).astype(np.float32)
    mask = (rng.random(X.shape) < 0.6).astype(np.float32)
    hidden = np.where(mask > 0, x, np.nan).astype(np.float32)
    params = tf.constant(params)
    with tf.GradientTape() as tape:
        tape.watch(params)
        masked = likelihood.log_prob(params, hidden, mask=mask)
    gradient = tape.gradient(masked, params).numpy()
    elementwise = likelihood.elementwise(params).log_prob(x).numpy()
    np.testing.assert_allclose(masked, (elementwise * mask).sum(axis=1), rtol=1e-5)
    assert np.isfinite(gradient).all()
    everything = likelihood.log_prob(params, x, mask=np.ones_like(mask))
    np.testing.assert_allclose(everything, likelihood.log_prob(params, x), rtol=1e-6)


@pytest.mark.parametrize("raw", [-1e30, -200.0, 200.0, 1e30])
def test_extreme_network_outputs_stay_finite(raw):
    for likelihood in (likelihoods.Normal(), likelihoods.Laplace(), likelihoods.StudentT()):
        params = tf.constant([[0.0, raw]])
        with tf.GradientTape() as tape:
            tape.watch(params)
            log_prob = likelihood.log_prob(params, np.float32([[0.5]]))
        assert np.isfinite(log_prob).all()
        assert np.isfinite(tape.gradient(log_prob, params)).all()


@pytest.mark.parametrize("event_shape", [(6,), (4, 4, 1)])
@pytest.mark.parametrize(
    "family",
    [
        likelihoods.Normal,
        likelihoods.Laplace,
        likelihoods.Bernoulli,
        likelihoods.ContinuousBernoulli,
    ],
)
def test_output_bias_starts_at_the_data_mean(family, event_shape):
    from keras_vae import networks

    mean = (
        np.linspace(0.02, 0.98, int(np.prod(event_shape))).reshape(event_shape).astype(np.float32)
    )
    likelihood = family(event_rank=len(event_shape))
    _, decoder = networks.mlp(event_shape, 2, hidden=4, likelihood=likelihood, output_mean=mean)
    shown = likelihood.location(decoder(np.zeros((1, 2), np.float32)))
    np.testing.assert_allclose(shown[0], mean, atol=1e-4)


@pytest.mark.parametrize("event_shape", [(6,), (2, 3, 2)])
def test_categories_start_at_the_data_mean(event_shape):
    mean = np.linspace(0.1, 3.9, int(np.prod(event_shape))).reshape(event_shape)
    likelihood = likelihoods.Categorical(num_categories=5, event_rank=len(event_shape))
    params = likelihood.params_for_mean(mean)
    assert params.shape == (*event_shape[:-1], 5 * event_shape[-1])
    probabilities = likelihood.elementwise(params[np.newaxis]).probs_parameter().numpy()[0]
    np.testing.assert_allclose(probabilities @ np.arange(5), mean, atol=1e-4)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: likelihoods.Normal(scale=0.0), "scale.*Normal.*above 0.*0.0"),
        (lambda: likelihoods.Normal(scale=float("nan")), "above 0.*nan"),
        (lambda: likelihoods.Laplace(scale=-1.0), "scale.*Laplace"),
        (lambda: likelihoods.StudentT(df=0.0), "df.*StudentT"),
        (lambda: likelihoods.SharedScaleNormal(initial_scale=-2.0), "initial_scale"),
        (lambda: likelihoods.OptimalNormal(initial_scale=0.0), "initial_scale.*OptimalNormal"),
        (lambda: likelihoods.OptimalNormal(momentum=1.5), r"momentum.*\[0, 1\].*1.5"),
        (lambda: likelihoods.Categorical(num_categories=1), "num_categories.*at least 2.*1"),
        (lambda: likelihoods.Bernoulli(event_rank=0), "event_rank.*Bernoulli.*at least 1.*0"),
        (lambda: likelihoods.OptimalNormal(event_rank=0), "event_rank.*OptimalNormal.*0"),
        (lambda: likelihoods.SharedScaleNormal(event_rank=2.5), "event_rank.*SharedScale.*2.5"),
        (lambda: likelihoods.Normal(data_mean="a"), "data_mean.*Normal.*one for each channel.*'a'"),
        (lambda: likelihoods.Normal(data_stddev=()), r"data_stddev.*Received: \(\)"),
        (lambda: likelihoods.Poisson(log_mean=True), "log_mean.*Poisson.*True"),
    ],
)
def test_bad_arguments_are_named(make, words):
    with pytest.raises(ValueError, match=words):
        make()


@pytest.mark.parametrize("scale", [1e-3, 0.05, 1.0, 300.0, 1000.0])
def test_a_shared_scale_starts_where_it_is_told_to(scale):
    assert float(likelihoods.SharedScaleNormal(initial_scale=scale).scale) == pytest.approx(
        scale, rel=1e-3
    )


LOCS = rng.normal(size=(4, 7, 3)).astype(np.float32)  # of four samples of z


@pytest.mark.parametrize("mask", [None, (rng.random(X.shape) < 0.6).astype(np.float32)])
def test_an_optimal_scale_is_the_batch_s_in_training_and_a_mean_of_batches_after(mask):
    likelihood = likelihoods.OptimalNormal(initial_scale=3.0, momentum=0.5)
    x = X if mask is None else np.where(mask == 1, X, np.nan).astype(np.float32)
    shown = np.broadcast_to(np.ones_like(X) if mask is None else mask, LOCS.shape)
    squares, num = np.sum(shown * (X - LOCS) ** 2), shown.sum()
    in_training = likelihood.log_prob(LOCS, x, mask=mask, training=True)
    of_batch = stats.norm(LOCS, np.sqrt(squares / num)).logpdf(X)
    np.testing.assert_allclose(in_training, (of_batch * shown).sum(-1), rtol=1e-4)
    likelihood.log_prob(2.0 * LOCS, x, mask=mask, training=True)
    doubled = np.sum(shown * (X - 2.0 * LOCS) ** 2)
    mean = (0.25 * 9.0 + 0.5 * squares + doubled) / (0.25 + 1.5 * num)
    stored = float(likelihood.scale)
    assert stored == pytest.approx(np.sqrt(mean), rel=1e-5)
    evaluated = likelihood.log_prob(LOCS, x, mask=mask)
    of_stored = stats.norm(LOCS, stored).logpdf(X)
    np.testing.assert_allclose(evaluated, (of_stored * shown).sum(-1), rtol=1e-4)
    np.testing.assert_allclose(likelihood.stddev(LOC), np.full_like(LOC, stored), rtol=1e-6)
    assert float(likelihood.scale) == stored


@pytest.mark.parametrize("error", [2e-3, 1.0, 1e3, 1e5])
def test_an_optimal_scale_is_optimal_for_errors_of_any_size(error):
    likelihood, x = likelihoods.OptimalNormal(), error * X
    found = likelihood.log_prob(tf.zeros_like(x), x, training=True)
    best = stats.norm(0.0, np.sqrt(np.mean(x.astype(np.float64) ** 2))).logpdf(x).sum(-1)
    np.testing.assert_allclose(found, best, rtol=1e-4)


def test_the_gradient_through_an_optimal_scale():
    """Of a sum over the batch, that of the log of the mean squared error, and that at a fixed scale."""
    likelihood, loc = likelihoods.OptimalNormal(), tf.constant(LOC)
    scale = float(np.sqrt(np.mean((X - LOC) ** 2)))
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(loc)
        ours = tf.reduce_sum(likelihood.log_prob(loc, X, training=True))
        log_error = -0.5 * X.size * tf.math.log(tf.reduce_mean((X - loc) ** 2))
        fixed = tf.reduce_sum(likelihoods.Normal(scale=scale).log_prob(loc, X))
    slope = tape.gradient(ours, loc)
    np.testing.assert_allclose(slope, tape.gradient(log_error, loc), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(slope, tape.gradient(fixed, loc), rtol=1e-3, atol=1e-4)


def test_an_optimal_scale_of_nothing_and_of_no_error_is_finite():
    likelihood, loc = likelihoods.OptimalNormal(), tf.constant(LOC)
    for mask in (np.zeros_like(X), np.ones_like(X)):
        with tf.GradientTape() as tape:
            tape.watch(loc)
            log_prob = likelihood.log_prob(loc, LOC, mask=mask, training=True)
        assert np.isfinite(log_prob).all()
        assert np.isfinite(tape.gradient(log_prob, loc)).all()

"""Likelihoods of counts against SciPy, at zeros and at extremes; counts in tables."""

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from scipy import special, stats

from keras_vae import VAE, evaluation, networks
from keras_vae.applications import AnomalyDetector, Imputer, Synthesizer
from keras_vae.data import tables
from keras_vae.likelihoods import Mixed, NegativeBinomial, Normal, Poisson, ZeroInflated
from keras_vae.likelihoods._stable import log_gamma, log_rising
from keras_vae.training import Recipe

RNG = np.random.default_rng(0)
MEAN, R = np.exp(RNG.normal(0, 2, (2, 40, 3)))
LOGIT = RNG.normal(0, 2, (40, 3))
PI = special.expit(LOGIT)
X = RNG.poisson(MEAN * RNG.gamma(2.0, 0.5, MEAN.shape)) * (RNG.random(MEAN.shape) < 0.7)
POISSON, NEGATIVE_BINOMIAL = stats.poisson(MEAN), stats.nbinom(R, R / (R + MEAN))


class Inflated:
    """A zero-inflated distribution of SciPy's."""

    def __init__(self, of):
        self.of = of

    def pmf(self, x):
        return PI * (x == 0) + (1 - PI) * self.of.pmf(x)

    def mean(self):
        return (1 - PI) * self.of.mean()

    def std(self):
        square = (1 - PI) * (self.of.var() + self.of.mean() ** 2)
        return np.sqrt(square - self.mean() ** 2)


FAMILIES = [
    (Poisson(), (np.log(MEAN),), POISSON),
    (Poisson(data_mean=(1.0, 20.0, 0.5)), (np.log(MEAN / [1.0, 20.0, 0.5]),), POISSON),
    (NegativeBinomial(), (np.log(MEAN), np.log(R)), NEGATIVE_BINOMIAL),
    (ZeroInflated(likelihood=Poisson()), (np.log(MEAN), LOGIT), Inflated(POISSON)),
    (
        ZeroInflated(likelihood=NegativeBinomial(data_mean=3.0)),
        (np.log(MEAN / 3.0), np.log(R), LOGIT),
        Inflated(NEGATIVE_BINOMIAL),
    ),
]


@pytest.mark.parametrize(
    ("likelihood", "params", "reference"), FAMILIES, ids=lambda v: type(v).__name__
)
def test_families_of_counts_against_scipy(likelihood, params, reference):
    params = np.concatenate(params, axis=-1).astype(np.float32)
    expected = np.log(reference.pmf(X))
    assert likelihood.params_size(3) == params.shape[-1]
    np.testing.assert_allclose(likelihood.log_prob_by_element(params, X), expected, 1e-4, 2e-5)
    np.testing.assert_allclose(likelihood.log_prob(params, X), expected.sum(-1), 1e-5, 2e-5)
    of_tfp = likelihood.distribution(params).log_prob(X.astype(np.float32))
    np.testing.assert_allclose(of_tfp, expected.sum(-1), 1e-4)
    np.testing.assert_allclose(likelihood.location(params), reference.mean(), 1e-4)
    np.testing.assert_allclose(likelihood.expected(params), reference.mean(), 1e-4)
    np.testing.assert_allclose(likelihood.stddev(params), reference.std(), 1e-4)
    draws = likelihood.sample(np.tile(params[:1], (8000, 1)), seed=[1, 2]).numpy()
    assert likelihood.contains(draws).numpy().all()
    error = 5 * reference.std()[0] / np.sqrt(8000)
    assert (np.abs(draws.mean(0) - reference.mean()[0]) < error).all()
    np.testing.assert_allclose((draws == 0).mean(0), reference.pmf(np.zeros(3))[0], atol=0.03)


@pytest.mark.parametrize("likelihood", [family[0] for family in FAMILIES], ids=repr)
def test_a_mask_hides_counts_and_extremes_have_gradients(likelihood):
    size = likelihood.params_size(3)
    params = RNG.normal(size=(2, size)).astype(np.float32)
    x = np.array([[0, np.nan, 5], [np.nan, 2, 0]], np.float32)
    masked = likelihood.log_prob(params, x, mask=~np.isnan(x))
    elements = likelihood.log_prob_by_element(params, np.nan_to_num(x)).numpy()
    np.testing.assert_allclose(masked, (elements * ~np.isnan(x)).sum(1), rtol=1e-6)
    for raw in (-1e30, -50.0, 50.0, 1e30):
        for count in (0.0, 1.0, 1e7):
            params = tf.fill([1, size], raw)
            with tf.GradientTape() as tape:
                tape.watch(params)
                log_prob = likelihood.log_prob(params, np.full((1, 3), count, np.float32))
            assert np.isfinite(log_prob).all()
            assert np.isfinite(tape.gradient(log_prob, params)).all()


@pytest.mark.parametrize("mean", [1e-5, 1e-2, 1.0, 1e3, 1e5, 1e6])
@pytest.mark.parametrize("r", [None, 0.01, 2.0, 1e4])
def test_counts_of_any_size_against_scipy(mean, r):
    """None of terms like x log x, 1e7 here, is left to cancel in float32."""
    mean = float(np.float32(mean))
    if r is None:
        likelihood, params, reference = Poisson(data_mean=mean), [[0.0]], stats.poisson(mean)
    else:
        likelihood, params = NegativeBinomial(data_mean=mean), [[0.0, np.log(r)]]
        r = float(np.exp(np.float64(np.float32(np.log(r)))))
        reference = stats.nbinom(r, r / (r + mean))
    drawn = reference.rvs(30, random_state=0)
    x = np.unique([*drawn, 0, 1, 2, 15, 16, 17, np.floor(2 * mean)]).astype(np.float32)
    found = likelihood.log_prob_by_element(np.repeat(params, len(x), 0), x[:, np.newaxis])
    expected = reference.logpmf(x.astype(np.float64))
    # The logs of mean and r themselves are known to some 1e-6.
    np.testing.assert_allclose(found[:, 0], expected, rtol=2e-5, atol=0.01)
    usual = np.abs(expected) < 30
    np.testing.assert_allclose(found[:, 0][usual], expected[usual], rtol=1e-4, atol=5e-3)


@pytest.mark.parametrize("family", [Poisson, NegativeBinomial])
def test_fields_by_channel_have_as_many_numbers_as_the_data_have_channels(family):
    for fields in ({"data_mean": (1.0, 2.0)}, {"log_mean": (1.0,)}, {"log_stddev": (1.0, 2.0)}):
        likelihood = family(**fields)
        message = f'"{next(iter(fields))}" of {family.__name__}.*each of the 3 channels'
        for wrapped in (likelihood, ZeroInflated(likelihood=likelihood)):
            with pytest.raises(ValueError, match=message):
                VAE(*networks.mlp(3, 2, hidden=4, likelihood=wrapped), likelihood=wrapped)
    inflated = ZeroInflated(likelihood=Poisson())
    with pytest.raises(ValueError, match=r"Use Poisson\(event_rank=3"):
        VAE(*networks.mlp((4, 4, 1), 2, hidden=4, likelihood=inflated), likelihood=inflated)


def test_gamma_functions_against_scipy():
    x = np.concatenate([np.linspace(0.3, 5, 100), np.geomspace(1e-6, 1e5, 100)]).astype(np.float32)
    exact = special.gammaln(x.astype(np.float64))
    np.testing.assert_allclose(log_gamma(tf.constant(x)), exact, rtol=1e-6, atol=2e-6)
    base, steps = x[:, np.newaxis].astype(np.float64), np.array([0.0, 1.0, 7.0, 300.0])
    rising = special.gammaln(base + steps) - special.gammaln(base)
    found = log_rising(tf.constant(base, tf.float32), tf.constant(steps, tf.float32))
    np.testing.assert_allclose(found, rising, rtol=1e-6, atol=4e-6)


def test_gradients_of_a_negative_binomial_against_finite_differences():
    """In float64 of SciPy: the gamma functions here are our own."""
    params = np.concatenate([np.log(MEAN), np.log(R)], axis=-1)

    def exact(params):
        log_mean, log_r = np.split(params, 2, axis=-1)
        r, mean = np.exp(log_r), np.exp(log_mean)
        gammas = special.gammaln(X + r) - special.gammaln(r) - special.gammaln(X + 1)
        return (gammas + r * np.log(r / (r + mean)) + X * np.log(mean / (r + mean))).sum(-1)

    inputs = tf.constant(params, tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        log_prob = NegativeBinomial().log_prob(inputs, X)
    gradient = tape.gradient(log_prob, inputs).numpy()
    for column in range(6):
        step = np.zeros(6)
        step[column] = 1e-4
        slope = (exact(params + step) - exact(params - step)) / 2e-4
        np.testing.assert_allclose(gradient[:, column], slope, rtol=1e-3, atol=1e-3)


def test_a_negative_binomial_of_large_r_is_a_poisson():
    log_mean = np.log(MEAN).astype(np.float32)
    params = np.concatenate([log_mean, np.full_like(log_mean, 40.0)], axis=-1)
    nearly = NegativeBinomial().log_prob(params, X)
    np.testing.assert_allclose(nearly, Poisson().log_prob(log_mean, X), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("likelihood", [Poisson(data_mean=4.0), NegativeBinomial(), FAMILIES[4][0]])
def test_counts_start_at_the_data_mean(likelihood):
    mean = np.array([[0.02, 1.0, 300.0]])
    params = likelihood.params_for_mean(mean)
    assert params.shape == (1, likelihood.params_size(3))
    np.testing.assert_allclose(likelihood.location(params), mean, rtol=1e-4)


@pytest.mark.parametrize("likelihood", [Poisson(log_mean=1.5, log_stddev=0.5), FAMILIES[4][0]])
def test_an_encoder_of_count_images_sees_logarithms(likelihood):
    x = np.array([0.0, 3.0, 250.0, 1e5], np.float32).reshape(1, 2, 2, 1)
    for encoder in (
        networks.mlp((2, 2, 1), 2, hidden=4, likelihood=likelihood)[0],
        networks.conv((2, 2, 1), 2, filters=(3,), units=4, likelihood=likelihood)[0],
    ):
        inner = keras.Model(encoder.layers[2].input, encoder.output)
        family = getattr(likelihood, "likelihood", likelihood)
        seen = (np.log1p(x) - family.log_mean) / family.log_stddev
        expected = inner(seen.reshape(1, *inner.input_shape[1:]))
        np.testing.assert_allclose(encoder(x), expected, rtol=1e-5, atol=1e-5)


def test_a_recipe_of_counts_takes_their_size_from_the_data(tmp_path):
    x = np.random.default_rng(0).negative_binomial(2, 0.02, (300, 4, 4, 1)).astype(np.float32)
    np.save(tmp_path / "counts.npy", x)
    for name, kind in (("negative-binomial", NegativeBinomial), ("zero-inflated-poisson", Poisson)):
        recipe = Recipe(data=str(tmp_path / "counts.npy"), protocol="raw", likelihood=name)
        splits = recipe.load_data()
        model = recipe.build(splits)
        family = getattr(model.likelihood, "likelihood", model.likelihood)
        assert type(family) is kind
        of_training = splits.examples("train", splits.num_train)
        assert family.data_mean == pytest.approx(of_training.mean(), rel=1e-5)
        assert family.log_mean == pytest.approx(np.log1p(of_training).mean(), rel=1e-5)
        assert family.log_stddev == pytest.approx(np.log1p(of_training).std(), rel=1e-5)
        assert evaluation.bound(model, of_training[:50]).rate.mean() < 20.0


def test_what_is_no_count_is_refused():
    inside = FAMILIES[4][0].contains(tf.constant([0.0, 3.0, -1.0, 0.5, np.inf, np.nan]))
    assert inside.numpy().tolist() == [True, True, False, False, False, False]
    vae = VAE(*networks.mlp(3, 2, hidden=4, likelihood=Poisson()), likelihood=Poisson())
    with pytest.raises(ValueError, match=r"Poisson is defined for a non-negative integer.*-2"):
        vae.check_batch(np.array([[0.0, -2.0, 1.0]]))
    with pytest.raises(ValueError, match=r"ZeroInflated adds zeros.*Received: Normal"):
        ZeroInflated(likelihood=Normal())
    with pytest.raises(ValueError, match=r"data_mean.*Poisson.*above 0.*0"):
        Poisson(data_mean=(1.0, 0.0))


# Tables.

FRAME = pd.DataFrame(
    {
        "size": RNG.normal(10.0, 2.0, 60),
        "visits": RNG.negative_binomial(2.0, 0.2, 60),
        "claims": RNG.poisson(2.0, 60) * (RNG.random(60) < 0.4),
        "sort": RNG.choice(list("ab"), 60),
    }
)
TYPES = {"visits": "count", "claims": "zero-inflated-count"}


def test_columns_of_counts_add_up_with_the_others():
    columns = tables.infer_columns(FRAME, TYPES)
    assert [c.kind for c in columns] == ["real", "count", "zero-inflated-count", "binary"]
    assert [c.kind for c in tables.infer_columns(FRAME)][1:3] == ["integer", "integer"]
    x = tables.encode(FRAME, columns)
    mixed = tables.mixed(columns, x)
    params = RNG.normal(size=(60, mixed.params_size(4))).astype(np.float32)
    mean = FRAME.mean(numeric_only=True).to_numpy()
    log_mean, log_r, inner_mean, inner_r, logit, bit = params[:, 2:].T
    m, r = mean[1] * np.exp(log_mean), np.exp(log_r)
    visits = stats.nbinom(r, r / (r + m)).logpmf(x[:, 1])
    m, r, pi = mean[2] * np.exp(inner_mean), np.exp(inner_r), special.expit(logit)
    claims = (1 - pi) * stats.nbinom(r, r / (r + m)).pmf(x[:, 2]) + pi * (x[:, 2] == 0)
    unit = FRAME["size"].std(ddof=0)
    scale = unit * np.exp(0.5 * params[:, 1])
    size = stats.norm(mean[0] + unit * params[:, 0], scale).logpdf(x[:, 0])
    sort = stats.bernoulli(special.expit(bit)).logpmf(x[:, 3].astype(int))
    by_hand = np.stack([size, visits, np.log(claims), sort], axis=1)
    np.testing.assert_allclose(mixed.log_prob_by_element(params, x), by_hand, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(mixed.log_prob(params, x), by_hand.sum(1), rtol=1e-4)
    features = mixed.features(tf.constant(x)).numpy()
    np.testing.assert_allclose(features[:, :3].mean(0), 0.0, atol=1e-5)
    np.testing.assert_allclose(features[:, :3].std(0), 1.0, rtol=1e-5)
    order = np.argsort(features[:, 1])
    assert (np.diff(x[order, 1]) >= 0).all()
    assert "a non-negative integer in visits; a non-negative integer in claims" in mixed.support


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([1.0, -2.0], r"'n' is to be a count.*holds -2.*real or integer"),
        ([1.0, 0.5], "holds 0.5"),
        ([0, 0], "zeros only"),
        (["a", "b"], "is to be count and holds 'a'"),
    ],
)
def test_columns_that_are_no_counts_are_refused(values, said):
    with pytest.raises(ValueError, match=said):
        tables.infer_columns(pd.DataFrame({"n": values}), {"n": "count"})


def test_applications_take_columns_of_counts(untraced):
    small = {"epochs": 1, "hidden": (4,), "latent_dim": 2, "column_types": TYPES}
    rows = Synthesizer(**small, num_components=2).fit(FRAME).sample(50, seed=1)
    assert (rows.dtypes == FRAME.dtypes).all()
    assert (rows[["visits", "claims"]] >= 0).all(axis=None)
    holes = FRAME.astype({"visits": float})
    holes.loc[::7, "visits"] = np.nan
    imputer = Imputer(**small, num_samples=2, num_imputation_samples=20).fit(holes)
    filled = imputer.transform(holes)
    assert not filled.isna().any(axis=None)
    assert (filled["visits"] == filled["visits"].round()).all()
    detector = AnomalyDetector(**small, false_positive_rate=0.2).fit(FRAME)
    assert isinstance(detector.model_.likelihood, Mixed)
    strange = FRAME.head(4).assign(visits=100_000)
    assert (detector.score_samples(strange) < detector.score_samples(FRAME.head(4))).all()

"""Anomaly scores against closed forms, thresholds against their promises, exports against `predict`."""

import json
import pickle

import keras
import numpy as np
import pytest
from scipy import stats
from sklearn.covariance import LedoitWolf
from sklearn.exceptions import NotFittedError

from keras_vae import VAE, export, likelihoods, networks
from keras_vae.applications import (
    SCORES,
    AnomalyDetector,
    AnomalyScore,
    Threshold,
    anomaly_scores,
    attributions,
    calibrate,
)

RNG = np.random.default_rng(0)
X = RNG.normal(size=(300, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def linear():
    """p(x|z) = N(Wz, 0.5^2), and a posterior that is wrong: its parameters do not see x's scale."""
    keras.utils.set_random_seed(0)
    likelihood = likelihoods.Normal(scale=0.5)
    return VAE(*networks.mlp(3, 2, hidden=(), likelihood=likelihood), likelihood=likelihood)


@pytest.fixture(scope="module")
def bits():
    keras.utils.set_random_seed(0)
    likelihood = likelihoods.Bernoulli(event_rank=3)
    return VAE(
        *networks.mlp((2, 2, 1), 2, hidden=(8,), likelihood=likelihood), likelihood=likelihood
    )


PIXELS = RNG.integers(0, 2, (300, 2, 2, 1)).astype(np.float32)


def log_evidence(vae, x):
    """log N(x; b, W W' + 0.25 I)."""
    weights, bias = vae.decoder.get_weights()
    return stats.multivariate_normal(bias, weights.T @ weights + 0.25 * np.eye(3)).logpdf(x)


def negative_elbo(vae, x):
    """In closed form: the expectation of a square under a diagonal Gaussian."""
    loc, log_variance = np.split(np.asarray(vae.encode(x), np.float64), 2, axis=-1)
    weights, bias = (w.astype(np.float64) for w in vae.decoder.get_weights())
    rest = x - loc @ weights - bias
    square = np.sum(rest**2, axis=1) + np.exp(log_variance) @ np.sum(weights**2, axis=1)
    distortion = square / (2 * 0.25) + 1.5 * np.log(2 * np.pi * 0.25)
    rate = 0.5 * np.sum(np.exp(log_variance) + loc**2 - 1 - log_variance, axis=1)
    return distortion + rate, distortion


def test_scores_are_what_they_are_called(linear):
    elbo, distortion = negative_elbo(linear, X)
    for name, expected, rate in (
        ("elbo", elbo, 0.03),
        ("reconstruction", distortion, 0.03),
        ("log_likelihood", -log_evidence(linear, X), 0.03),
    ):
        found = anomaly_scores(linear, X, name, num_samples=4000)
        assert np.median(np.abs(found / expected - 1)) < rate, name


def test_regret_reaches_the_best_posterior(linear):
    """The gain of the bound, up to what a diagonal Gaussian cannot have of the evidence."""
    gain = anomaly_scores(linear, X[:32], "likelihood_regret", num_samples=256)
    before = anomaly_scores(linear, X[:32], "elbo", num_samples=256)
    weights = linear.decoder.get_weights()[0].astype(np.float64)
    precision = np.eye(2) + weights @ weights.T / 0.25
    gap = 0.5 * (np.sum(np.log(np.diag(precision))) - np.linalg.slogdet(precision)[1])
    np.testing.assert_allclose(before - gain, -log_evidence(linear, X[:32]) + gap, atol=0.5)
    assert (gain >= 0).all()


def test_scores_that_know_normal_data(linear):
    z = linear.embed(X[:200]).astype(np.float64)
    distance = anomaly_scores(linear, X[200:], "latent_distance", normal=X[:200])
    expected = LedoitWolf().fit(z).mahalanobis(linear.embed(X[200:]).astype(np.float64))
    np.testing.assert_allclose(distance**2, expected, rtol=1e-4)
    nll = anomaly_scores(linear, X, "log_likelihood")
    typicality = anomaly_scores(linear, X[200:], "typicality", normal=X[:200])
    np.testing.assert_allclose(typicality, abs(nll[200:] - nll[:200].mean()), atol=1e-4)
    with pytest.raises(ValueError, match=r"Expected normal=\.\.\."):
        anomaly_scores(linear, X, "typicality")


@pytest.mark.parametrize("name", SCORES)
def test_a_score_is_a_function_of_the_row_and_the_seed(name, bits):
    score = AnomalyScore.fit(bits, PIXELS, name, num_samples=4, seed=1)
    together, order = score(PIXELS), RNG.permutation(300)
    assert together.dtype == np.float64
    np.testing.assert_array_equal(score(PIXELS[order]), together[order])
    np.testing.assert_array_equal(score(PIXELS[7:8]), together[7:8])
    if name not in ("latent_distance",):
        other = AnomalyScore.fit(bits, PIXELS, name, num_samples=4, seed=2)
        assert not np.array_equal(other(PIXELS), together)


def test_attributions_add_up_and_point_at_what_is_odd(bits):
    heat = attributions(bits, PIXELS, num_samples=8)
    assert heat.shape == PIXELS.shape
    whole = anomaly_scores(bits, PIXELS, "reconstruction", num_samples=8)
    np.testing.assert_allclose(heat.sum(axis=(1, 2, 3)), whole, rtol=1e-5)
    masked = {"x": PIXELS, "mask": np.zeros_like(PIXELS)}
    assert not attributions(bits, masked, num_samples=2).any()


def test_a_threshold_keeps_its_rate_and_its_interval():
    """Over many calibration sets: at most the rate in the mean, and the interval as often as it says."""
    rates, inside = [], []
    for _ in range(2000):
        threshold = Threshold.of(RNG.normal(size=199), false_positive_rate=0.1, confidence=0.9)
        rate = stats.norm.sf(threshold.value)
        low, high = threshold.interval
        rates.append(rate)
        inside.append(low <= rate <= high)
    assert np.mean(rates) == pytest.approx(0.1, abs=0.002)
    assert np.mean(inside) == pytest.approx(0.9, abs=0.025)


def test_a_threshold_needs_enough_scores():
    assert Threshold.of(np.arange(19.0)).value > 18
    with pytest.raises(ValueError, match=r"from 18 normal examples\. Expected at least 19"):
        Threshold.of(np.arange(18.0))
    with pytest.raises(ValueError, match="1 of the 20 scores are NaN"):
        Threshold.of(np.r_[np.nan, np.arange(19.0)])
    with pytest.raises(ValueError, match="false_positive_rate"):
        Threshold.of(np.arange(19.0), false_positive_rate=0)
    contaminated = Threshold.of_contaminated(np.arange(50.0), 0.1)
    assert (np.arange(50.0) > contaminated.value).sum() == 5


@pytest.mark.parametrize("name", ["elbo", "relative_error"])
def test_exported_files_flag_what_the_detector_flags(name, bits, tmp_path):
    detector = calibrate(bits, PIXELS[:100], PIXELS[100:], name, num_samples=4, seed=3)
    folder = tmp_path / "exported"
    export.export(bits, folder, detector=detector)
    about = export.metadata(folder / "model.tflite")["detector"]
    assert about == json.loads((folder / "config.json").read_text())["detector"]
    extra = folder / "saved_model/1/assets.extra/detector.json"
    assert about == json.loads(extra.read_text())
    assert about["value"] == detector.threshold.value
    assert about["score"] == name
    for file in ("model.tflite", "saved_model"):
        model = export.load(folder / file)
        scores = model("score", x=PIXELS, seed=about["seed"])["anomaly_score"]
        np.testing.assert_allclose(scores, detector(PIXELS), rtol=1e-5)
        np.testing.assert_array_equal(scores > about["value"], detector.is_anomaly(PIXELS))
    assert detector.is_anomaly(PIXELS).any()


def test_a_score_with_gradients_is_refused_by_litert(bits, tmp_path):
    detector = calibrate(bits, PIXELS[:20], PIXELS[20:], "likelihood_regret", num_samples=1)
    with pytest.raises(ValueError, match="LiteRT cannot take this model"):
        export.tflite(bits, tmp_path / "m.tflite", signatures=["score"], detector=detector)
    with pytest.raises(ValueError, match="has the signatures"):
        export.tflite(bits, tmp_path / "m.tflite", signatures=["score"])


def small(**options):
    return AnomalyDetector(
        **{"epochs": 4, "hidden": (8,), "latent_dim": 2, "num_samples": 4} | options
    )


def test_a_detector_flags_what_is_far():
    detector = small().fit(X)
    far = np.float32([[9, -9, 9], [0, 0, 0]])
    assert detector.predict(far).tolist() == [-1, 1]
    decision = detector.decision_function(X)
    np.testing.assert_array_equal(detector.predict(X) == -1, decision < 0)
    np.testing.assert_allclose(decision, detector.score_samples(X) - detector.offset_)
    low, high = detector.false_positive_rate_interval_
    assert low < 0.05 < high
    assert detector.attributions(far).argmax(axis=1)[0] in (0, 1, 2)
    again = pickle.loads(pickle.dumps(detector))
    np.testing.assert_array_equal(again.score_samples(X), detector.score_samples(X))


def test_contaminated_rows_are_left_out_and_flagged():
    mixed = np.concatenate([X[:180], X[:20] + 12])
    detector = small(contamination=0.1).fit(mixed)
    flagged = detector.predict(mixed) == -1
    assert flagged.sum() == 20
    assert flagged[180:].mean() > 0.9
    assert detector.detector_.threshold.contamination == 0.1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"validation_fraction": 0.05}, "Expected at least 19"),
        ({"anomaly_score": "elbow"}, "Did you mean 'elbo'"),
        ({"contamination": 0.6}, r"\(0, 0.5\]"),
        ({"num_samples": 0}, "num_samples"),
    ],
)
def test_mistakes_are_named(options, said):
    with pytest.raises(ValueError, match=said):
        small(epochs=1, **options).fit(X)


def test_a_detector_that_is_not_fitted_says_so():
    for method in ("predict", "score_samples", "attributions"):
        with pytest.raises(NotFittedError):
            getattr(small(), method)(X)
    with pytest.raises(NotFittedError):
        small().export("nowhere")

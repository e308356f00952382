"""Distances between sets of features, against closed forms, hand-made points and second implementations."""

import keras
import numpy as np
import pytest
import scipy.linalg

from keras_vae import evaluation

rng = np.random.default_rng(0)


def with_moments(mean, covariance, num=400):
    """Points whose mean and covariance are exactly these."""
    x = rng.normal(size=(num, len(mean)))
    x -= x.mean(axis=0)
    x = x @ np.linalg.inv(np.linalg.cholesky(np.cov(x, rowvar=False))).T
    return mean + x @ np.linalg.cholesky(covariance).T


def test_frechet_distance_is_that_of_the_fitted_normals():
    a_cov, b_cov = (m @ m.T + 0.1 * np.eye(4) for m in rng.normal(size=(2, 4, 4)))
    mean = np.array([1.0, -2.0, 0.0, 0.5])
    a, b = with_moments(np.zeros(4), a_cov), with_moments(mean, b_cov, 500)
    exact = mean @ mean + np.trace(a_cov + b_cov - 2 * scipy.linalg.sqrtm(a_cov @ b_cov).real)
    assert evaluation.frechet_distance(a, b) == pytest.approx(exact, rel=1e-9)
    assert evaluation.frechet_distance(a, a[::-1]) == pytest.approx(0.0, abs=1e-6)
    flat = np.concatenate([a, np.zeros([400, 3])], axis=1)  # a feature that is always off
    assert evaluation.frechet_distance(flat, flat + 1.0) == pytest.approx(7.0, abs=1e-6)


def test_kernel_distance_is_the_sum_over_pairs_and_without_bias(monkeypatch):
    monkeypatch.setattr("keras_vae.evaluation.distances._ROWS", 7)
    a, b = rng.normal(size=(20, 3)), rng.normal(size=(30, 3)) + 0.5

    def kernel(x, y):
        return (x @ y / 3 + 1) ** 3

    def of_pairs(x):
        return np.mean([kernel(x[i], x[j]) for i in range(len(x)) for j in range(len(x)) if i != j])

    exact = of_pairs(a) + of_pairs(b) - 2 * np.mean([kernel(x, y) for x in a for y in b])
    assert evaluation.kernel_distance(a, b) == pytest.approx(exact, rel=1e-9)
    found = [evaluation.kernel_distance(*rng.normal(size=(2, 25, 3))) for _ in range(300)]
    assert abs(np.mean(found)) < 3 * np.std(found) / np.sqrt(300)
    assert min(found) < 0 < max(found)


def brute_force(real, generated, k):
    """Precision, recall, density and coverage, as they are written in the papers."""

    def radius(x, points):
        return sorted(np.linalg.norm(points - x, axis=1))[k]  # itself is the first

    def inside(x, points):
        return [np.linalg.norm(x - p) <= radius(p, points) for p in points]

    return (
        np.mean([any(inside(g, real)) for g in generated]),
        np.mean([any(inside(r, generated)) for r in real]),
        np.sum([inside(g, real) for g in generated]) / (k * len(generated)),
        np.mean([np.linalg.norm(generated - r, axis=1).min() <= radius(r, real) for r in real]),
    )


@pytest.mark.parametrize("shift", [0.0, 1.0, 9.0])
def test_neighbourhoods_are_those_of_the_papers(shift):
    real, generated = rng.normal(size=(40, 2)), shift + rng.normal(size=(30, 2))
    found = (
        *evaluation.precision_recall(real, generated, 3),
        *evaluation.density_coverage(real, generated, 3),
    )
    np.testing.assert_allclose(found, brute_force(real, generated, 3))
    assert found[0] == 0.0 if shift == 9.0 else found[0] > 0.2


def test_hand_made_points():
    """Real points in two groups; all that is generated lies in one of them."""
    real = np.array([[0.0], [1.0], [2.0], [10.0], [11.0], [12.0]])
    generated = np.array([[0.4], [0.5], [1.5]])
    assert evaluation.precision_recall(real, generated, 1) == (1.0, 0.0 + 2 / 6)
    # Balls of 0, 1 and 2 have the radius 1: 0.4 and 0.5 lie in two of them, 1.5 in two.
    assert evaluation.density_coverage(real, generated, 1) == (2.0, 3 / 6)
    assert evaluation.precision_recall(real, real, 1) == (1.0, 1.0)
    assert evaluation.density_coverage(real, real, 1)[1] == 1.0


def test_what_lies_on_the_surface_of_a_ball_lies_in_it():
    """However large the numbers are: a point's own copy, and balls of radius 0 around duplicates."""
    base = np.random.default_rng(0).normal(size=(5, 3))
    real, generated = np.repeat(base, 10, axis=0), np.repeat(base, 12, axis=0)
    assert evaluation.precision_recall(real, generated) == (1.0, 1.0)
    assert evaluation.density_coverage(real, generated) == (10 / 5, 1.0)
    x = np.random.default_rng(1).normal(size=(80, 64))
    for offset in (0.0, 1e3):
        # Every point lies in its own ball and, on average, in those of five others.
        assert evaluation.density_coverage(x + offset, x + offset) == pytest.approx((6 / 5, 1.0))


def test_features_that_are_none_are_refused():
    a = rng.normal(size=(10, 3))
    for b in (a[:, :2], a[:2], a[0]):
        with pytest.raises(ValueError, match="two sets of features"):
            evaluation.precision_recall(a, b)
    with pytest.raises(ValueError, match="NaN"):
        evaluation.frechet_distance(a, a * np.nan)
    with pytest.raises(ValueError, match="num_neighbors"):
        evaluation.density_coverage(a, a, 0)
    with pytest.raises(ValueError, match="num_neighbors"):
        evaluation.precision_recall(a, a, "3")
    with pytest.raises(ValueError, match="two sets of features"):
        evaluation.frechet_distance(a[:, :0], a[:, :0])


@pytest.fixture(scope="module")
def digits():
    """Images of two classes, bright above or bright below, and their labels."""
    labels = np.arange(256) % 2
    x = 0.5 * rng.random((256, 8, 8, 1))
    x[labels == 0, :4] += 0.5
    x[labels == 1, 4:] += 0.5
    return x.astype(np.float32), np.array(["above", "below"])[labels]


def test_a_classifier_of_the_data_set_tells_good_samples_from_bad(digits):
    x, labels = digits
    features = evaluation.train_features(
        x[:192], labels[:192], (x[192:], labels[192:]), epochs=6, seed=1
    )
    assert features.accuracy > 0.9
    assert features(x).shape == (256, 64)
    good = evaluation.sample_quality(x[:128], x[128:], features)
    one_class = evaluation.sample_quality(x[:128], x[labels == "above"], features)
    noise = evaluation.sample_quality(x[:128], rng.random((128, 8, 8, 1)), features)
    assert good.frechet_distance < one_class.frechet_distance
    assert one_class.coverage < 0.75 < good.coverage
    assert noise.precision < 0.5 < good.precision
    for words in ("a classifier of 2 classes", "seed 1", "accuracy", features.sha256[:12]):
        assert words in good.features
    for bad, said in (
        (x * np.nan, "NaN"),
        (x[:0], "at least one"),
        (x[..., 0], r"shape \(8, 8, 1\).*\(256, 8, 8\)"),
    ):
        with pytest.raises(ValueError, match=said):
            evaluation.sample_quality(x, bad, features)
    with pytest.raises(ValueError, match="NaN"):
        evaluation.train_features(x * np.nan, labels, (x, labels))
    with pytest.raises(ValueError, match="256 examples and 9 labels"):
        evaluation.train_features(x, labels[:9], (x, labels))
    with pytest.raises(TypeError, match=r"FeatureSpace.*'inception'"):
        evaluation.sample_quality(x, x, "inception")
    with pytest.raises(TypeError, match=r"takes a classifier.*'inception'"):
        evaluation.features_of("inception", "of others")
    with pytest.raises(ValueError, match="at least 2 classes"):
        evaluation.train_features(x, np.zeros(256), (x, np.zeros(256)))


def test_features_of_a_classifier_of_ones_own():
    classifier = keras.Sequential(
        [keras.Input((3,)), keras.layers.Dense(2, activation="relu"), keras.layers.Dense(4)]
    )
    features = evaluation.features_of(classifier, "mine")
    kernel, bias = classifier.layers[0].get_weights()
    x = rng.normal(size=(5, 3))
    np.testing.assert_allclose(features(x), np.maximum(x @ kernel + bias, 0), atol=1e-5)
    assert str(features) == f"features of mine, sha256 {features.sha256[:12]}"
    with pytest.raises(TypeError, match="that is built"):
        evaluation.features_of(keras.Sequential([keras.layers.Dense(2)]), "unbuilt")
    with pytest.raises(ValueError, match="labels of shape"):
        evaluation.train_features(x, np.eye(5), (x, np.arange(5)))
    images = keras.Sequential([keras.Input((4, 4, 1)), keras.layers.Conv2D(2, 3)])
    with pytest.raises(ValueError, match="last layer of the classifier"):
        evaluation.features_of(images, "images")

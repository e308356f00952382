"""The base of the applications: rows and images of every kind, and what is refused."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from keras_vae.applications._base import VAEEstimator

RNG = np.random.default_rng(0)
ROWS = RNG.normal(size=(40, 3)) * [1, 10, 100] + [0, 5, 1000]
FRAME = pd.DataFrame({"size": ROWS[:, 1], "sort": list("abcd") * 10, "is_new": [True, False] * 20})
IMAGES = RNG.integers(0, 256, (40, 4, 4)).astype(np.uint8)


@dataclasses.dataclass(kw_only=True, eq=False, repr=False)
class Embedding(VAEEstimator):
    """As little of an application as there can be."""

    def transform(self, X):
        return self.model.embed(self._batch(X))


def small(**options):
    return Embedding(**{"epochs": 1, "hidden": (4,), "latent_dim": 2, **options})


@pytest.fixture(scope="module")
def fitted():
    return {name: small().fit(X) for name, X in KINDS.items()}


KINDS = {"array": ROWS, "frame": FRAME, "images": IMAGES}


@pytest.mark.parametrize("kind", KINDS)
def test_rows_of_every_kind(kind, fitted):
    X = KINDS[kind]
    z = fitted[kind].transform(X)
    assert z.shape == (40, 2)
    np.testing.assert_allclose(fitted[kind].transform(X[5:6]), z[5:6], atol=1e-5)
    again = clone(fitted[kind]).fit(X)
    np.testing.assert_array_equal(again.transform(X), z)


def test_units_do_not_matter(fitted):
    """Standardised inside: the same rows in other units are the same latents."""
    scaled = ROWS * [1000, 0.01, 3] - [5, 500, 0]
    np.testing.assert_allclose(
        small().fit(scaled).transform(scaled), fitted["array"].transform(ROWS), atol=1e-2
    )


def test_the_best_epoch_is_kept():
    estimator = small(epochs=40, patience=3, learning_rate=0.05).fit(ROWS)
    bounds = estimator.history_["val_negative_elbo"]
    held_out = estimator._splits(ROWS, has_missing=False).validation
    again = estimator.model.evaluate(held_out, verbose=0, return_dict=True)["negative_elbo"]
    assert again == pytest.approx(min(bounds), rel=1e-5)
    assert len(bounds) < 40


def test_missing_values_are_known_to_a_model_that_was_fitted_with_some(fitted):
    holes = np.where(RNG.random(ROWS.shape) < 0.2, np.nan, ROWS)
    holes[:, 0] = ROWS[:, 0]
    z = small().fit(holes).transform(holes)
    assert np.isfinite(z).all()
    with pytest.raises(ValueError, match="contains NaN"):
        fitted["array"].transform(holes)


@pytest.mark.parametrize(
    ("kind", "change", "said"),
    [
        ("array", lambda X: X[:, :2], "2 features"),
        ("array", lambda X: X[:0], "0 sample"),
        ("array", lambda X: np.where(X > 0, np.inf, X), "infinity"),
        ("array", lambda X: np.full_like(X, np.nan), "no value at all"),
        ("frame", lambda X: X[["sort", "size", "is_new"]], "same order"),
        ("frame", lambda X: X.drop(columns="sort"), "missing"),
        ("frame", lambda X: X.assign(more=1), "unseen"),
        ("frame", lambda X: X.assign(sort="e"), "not there in training: e"),
        ("frame", lambda X: X.assign(size="large"), "hold numbers"),
        ("frame", lambda X: X.assign(size=np.inf), "infinite"),
        ("frame", lambda X: X[:0], "0 sample"),
        ("images", lambda X: X[:, :3], "3 features"),
        ("images", lambda X: X[:, :, :3], r"fitted on images of shape \(4, 4, 1\)"),
    ],
)
def test_rows_that_do_not_fit_are_refused(kind, change, said, fitted):
    with pytest.raises(ValueError, match=said):
        fitted[kind].transform(change(KINDS[kind]))


@pytest.mark.parametrize(
    ("X", "options", "said"),
    [
        (ROWS[:1], {}, "1 sample"),
        (FRAME[:1], {}, "1 sample"),
        (FRAME.assign(size=np.nan), {}, "no value at all"),
        (ROWS, {"validation_fraction": 1.0}, "validation_fraction"),
        (ROWS, {"likelihood": "bernoulli"}, "likelihood of a table"),
        (ROWS, {"latent_dim": 0}, "latent_dim"),
        (FRAME, {"column_types": {"sorts": "real"}}, "Did you mean 'sort'"),
    ],
)
def test_what_cannot_be_fitted_is_refused(X, options, said):
    with pytest.raises(ValueError, match=said):
        small(**options).fit(X)


def test_nothing_is_asked_before_fit():
    with pytest.raises(NotFittedError):
        _ = small().model
    with pytest.raises(NotFittedError):
        small().transform(ROWS)


def test_a_constant_column_is_learned():
    constant = np.concatenate([ROWS, np.full((40, 1), 7.0)], axis=1)
    assert np.isfinite(small().fit(constant).transform(constant)).all()

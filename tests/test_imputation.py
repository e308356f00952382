"""Imputation: against Gaussian conditioning, and as scikit-learn and tables have it."""

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from oracles import LinearGaussian
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import (
    check_set_output_transform,
    check_transformer_get_feature_names_out,
)

from keras_vae import VAE, likelihoods, networks
from keras_vae.applications import (
    Imputer,
    fill_table,
    impute,
    sample_imputations,
    sample_tables,
)
from keras_vae.applications import imputation as module

pytestmark = pytest.mark.usefixtures("untraced")

ORACLE = LinearGaussian.random(x_size=5, z_size=2, noise=0.7)
RNG = np.random.default_rng(0)
X = ORACLE.sample(6)
MASK = np.array([[1, 0, 1, 1, 0], [0, 1, 1, 0, 1], [1, 1, 1, 1, 1], [0, 0, 0, 0, 0], [1] * 4 + [0],
                 [0, 0, 1, 0, 0]], np.float32)  # fmt: skip
HOLES = np.where(MASK == 1, X, np.nan).astype(np.float32)


def conditioned(x, mask):
    """Mean and covariance of x_m given x_o under the oracle, in float64."""
    o, m = mask == 1, mask == 0
    covariance = ORACLE.W @ ORACLE.W.T + ORACLE.noise**2 * np.eye(len(x))
    gain = np.linalg.solve(covariance[np.ix_(o, o)], covariance[np.ix_(o, m)]).T
    mean = ORACLE.b[m] + gain @ (x[o] - ORACLE.b[o])
    return mean, covariance[np.ix_(m, m)] - gain @ covariance[np.ix_(o, m)]


def test_imputed_values_are_the_conditional_mean():
    """The oracle's posterior is that of whole rows: the weights have to make up for it."""
    filled = impute(ORACLE.vae(widen=2.0), {"x": HOLES, "mask": MASK}, num_samples=40_000, seed=1)
    np.testing.assert_array_equal(filled[MASK == 1], X[MASK == 1])
    for row, x, mask in zip(filled, X, MASK, strict=True):
        np.testing.assert_allclose(row[mask == 0], conditioned(x, mask)[0], atol=0.06)


def test_multiple_imputations_have_the_conditional_mean_and_covariance():
    drawn = sample_imputations(
        ORACLE.vae(widen=2.0), {"x": HOLES, "mask": MASK}, 4000, num_samples=20_000, seed=2
    )
    assert drawn.shape == (4000, 6, 5)
    for number, (x, mask) in enumerate(zip(X, MASK, strict=True)):
        of_row = drawn[:, number]
        np.testing.assert_array_equal(of_row[:, mask == 1], np.tile(x[mask == 1], (4000, 1)))
        if not mask.all():
            mean, covariance = conditioned(x, mask)
            np.testing.assert_allclose(of_row[:, mask == 0].mean(axis=0), mean, atol=0.12)
            found = np.atleast_2d(np.cov(of_row[:, mask == 0].T))
            np.testing.assert_allclose(found, covariance, atol=0.3)


def test_draws_of_different_rows_are_independent():
    rows = {"x": np.tile(HOLES[:1], (2, 1)), "mask": np.tile(MASK[:1], (2, 1))}
    drawn = sample_imputations(ORACLE.vae(), rows, 2000, num_samples=4000)
    assert abs(np.corrcoef(drawn[:, 0, 1], drawn[:, 1, 1])[0, 1]) < 0.08


def test_neither_other_rows_nor_the_size_of_a_pass_matter(monkeypatch):
    vae, batch = ORACLE.vae(), {"x": HOLES, "mask": MASK}
    whole = impute(vae, batch, num_samples=50, seed=3)
    one = impute(vae, {"x": HOLES[1:2], "mask": MASK[1:2]}, num_samples=50, seed=3)
    np.testing.assert_allclose(one[0], whole[1], atol=1e-5)
    monkeypatch.setattr(module, "_NUMBERS", 35)  # 7 samples of a row
    np.testing.assert_allclose(impute(vae, batch, num_samples=50, seed=3), whole, atol=1e-5)
    assert np.abs(impute(vae, batch, num_samples=50, seed=4) - whole).max() > 1e-3


def table_model(columns, bias, **options):
    """A model of a table whose p(x|z) does not depend on z: its parameters are `bias`."""
    mixed = likelihoods.Mixed(columns=columns, **options)
    encoder, decoder = networks.table(mixed, 2, hidden=(), has_missing=True)
    decoder.layers[-1].set_weights([np.zeros([2, len(bias)]), np.array(bias)])
    return VAE(encoder, decoder, likelihood=mixed)


COLUMNS = (
    likelihoods.Column(name="sort", kind="categorical", categories=("a", "b", "c")),
    likelihoods.Column(name="size"),
    likelihoods.Column(name="sold", kind="binary", categories=(False, True)),
    likelihoods.Column(name="rooms", kind="integer"),
)
BLOCKS = (
    likelihoods.Block(likelihood=likelihoods.Normal(scale=0.5, data_mean=10.0), indices=(1, 3)),
    likelihoods.Block(likelihood=likelihoods.Bernoulli(), indices=(2,)),
    likelihoods.Block(likelihood=likelihoods.Categorical(num_categories=3), indices=(0,)),
)
PROBS = np.array([0.2, 0.3, 0.5])
FRAME = pd.DataFrame(
    {
        "rooms": pd.array([3, None, 5], "Int64"),
        "sort": pd.Categorical(["b", None, None], categories=["c", "b", "a", "unused"]),
        "sold": pd.array([None, True, None], "boolean"),
        "size": np.array([1.25, np.nan, np.nan], np.float32),
    },
    index=[7, 8, 9],
)


def test_tables_are_filled_in_by_what_their_columns_are():
    model = table_model(COLUMNS, [0.5, -6.3, 2.0, *np.log(PROBS)], blocks=BLOCKS)
    filled = fill_table(model, FRAME, num_samples=5)
    assert (filled.dtypes == FRAME.dtypes).all()
    assert filled.index.tolist() == [7, 8, 9]
    assert filled["rooms"].tolist() == [3, 4, 5]
    assert filled["sort"].tolist() == ["b", "c", "c"]
    assert filled["sold"].tolist() == [True, True, True]
    np.testing.assert_allclose(filled["size"], [1.25, 10.5, 10.5])
    tables = sample_tables(model, pd.concat([FRAME] * 100), 20, num_samples=50)
    sorts = np.array(
        [each["sort"].astype(str).to_numpy().reshape(100, 3)[:, 1:] for each in tables]
    )
    shares = [(sorts == name).mean() for name in "abc"]
    np.testing.assert_allclose(shares, PROBS, atol=0.03)
    sizes = np.array([each["size"].to_numpy().reshape(100, 3)[:, 1:] for each in tables])
    assert (sizes.mean(), sizes.std()) == pytest.approx((10.5, 0.5), abs=0.03)


def test_probabilities_of_categories_are_averaged_not_codes():
    """Half of the samples say 0 and half say 2: the answer is never the 1 between them."""
    mixed = likelihoods.Mixed(blocks=(BLOCKS[2],))
    expected = mixed.expected(tf.constant([[[4.0, 1.0, 3.9]], [[3.9, 1.0, 4.1]]]))
    np.testing.assert_allclose(np.sum(expected, axis=-1), 1.0, rtol=1e-6)
    np.testing.assert_array_equal(mixed.decided(tf.reduce_mean(expected, axis=0)), [[2.0]])


SMALL = {
    "epochs": 1,
    "hidden": (4,),
    "latent_dim": 2,
    "num_samples": 2,
    "num_imputation_samples": 8,
}
ROWS = np.where(RNG.random((40, 3)) < 0.2, np.nan, RNG.normal(size=(40, 3)) * [1, 10, 100])


@pytest.fixture(scope="module")
def fitted():
    return Imputer(**SMALL).fit(ROWS)


def test_arrays_come_back_filled(fitted):
    filled = fitted.transform(ROWS)
    assert filled.dtype == np.float64
    np.testing.assert_array_equal(filled[~np.isnan(ROWS)], ROWS[~np.isnan(ROWS)])
    assert np.isfinite(filled).all()
    np.testing.assert_array_equal(clone(fitted).fit(ROWS).transform(ROWS), filled)
    np.testing.assert_allclose(fitted.transform(ROWS[5:9]), filled[5:9], rtol=1e-4)
    several = fitted.sample_imputations(ROWS, 3)
    assert len(several) == 3
    missing = np.isnan(ROWS)
    assert all((a[~missing] == ROWS[~missing]).all() for a in several)
    assert (several[0][missing] != several[1][missing]).all()
    assert fitted.transform(ROWS.astype(np.float32)).dtype == np.float32


def test_rows_and_columns_without_a_value(fitted):
    empty = np.full((2, 3), np.nan)
    filled = fitted.transform(empty)
    assert np.isfinite(filled).all()
    np.testing.assert_allclose(filled[0], filled[1], rtol=1e-5)
    assert np.isfinite(fitted.transform(np.where([True, False, False], np.nan, ROWS))).all()
    with pytest.raises(ValueError, match="no value at all"):
        Imputer(**SMALL).fit(np.where([True, False, False], np.nan, ROWS))


def test_frames_come_back_as_frames():
    frame = pd.concat([FRAME] * 8).assign(note="unread")
    frame.iloc[2, 1], frame.iloc[5, 2] = "c", False
    frame["fixed"] = 7.0
    imputer = Imputer(**SMALL, column_types={"note": "skip"}).fit(frame)
    filled = imputer.transform(frame)
    assert (filled.dtypes == frame.dtypes).all()
    assert not filled.isna().any().any()
    for name in frame:
        kept = frame[name].notna().to_numpy()
        assert filled[name][kept].tolist() == frame[name][kept].tolist()
    assert list(imputer.get_feature_names_out()) == list(frame.columns)
    for X, said in (
        (frame.drop(columns="sold"), "missing"),
        (frame.assign(more=1), "unseen"),
        (frame[frame.columns[::-1]], "same order"),
        (frame.assign(sort="unknown"), "not there in training: unknown"),
        (frame.assign(size="large"), "hold numbers"),
        (frame.assign(size=np.inf), "infinite"),
        (frame[:0], "0 sample"),
    ):
        with pytest.raises(ValueError, match=said):
            imputer.transform(X)


def test_whole_numbers_with_gaps_stay_whole():
    """A column of integers is one of floats as soon as one is missing."""
    frame = pd.DataFrame({"rooms": [1.0, 2.0, None, 4.0] * 8, "size": RNG.normal(size=32)})
    filled = Imputer(**SMALL).fit(frame).set_output(transform="pandas").transform(frame)
    assert (filled["rooms"] == filled["rooms"].round()).all()


def test_in_a_pipeline_and_a_search():
    y = RNG.normal(size=40)
    pipeline = make_pipeline(Imputer(**SMALL), LinearRegression())
    search = GridSearchCV(pipeline, {"imputer__latent_dim": [1, 2]}, cv=2, refit=False).fit(ROWS, y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


@pytest.mark.parametrize(
    ("X", "said"),
    [
        (np.zeros((8, 4, 4)), "Imputer fills in tables"),
        (ROWS[:1], "1 sample"),
        (ROWS[:0], "0 sample"),
        (np.full((8, 2), np.inf), "infinity"),
    ],
)
def test_what_is_no_table_is_refused(X, said):
    with pytest.raises(ValueError, match=said):
        Imputer(**SMALL).fit(X)


def test_models_that_cannot_fill_in_are_refused():
    with pytest.raises(NotFittedError):
        Imputer().transform(ROWS)
    with pytest.raises(ValueError, match="Expected a dict"):
        impute(ORACLE.vae(), X)
    with pytest.raises(ValueError, match="likelihood Mixed"):
        fill_table(ORACLE.vae(), FRAME)
    mixed = likelihoods.Mixed(columns=COLUMNS, blocks=BLOCKS)
    complete = VAE(*networks.table(mixed, 2, hidden=()), likelihood=mixed)
    with pytest.raises(ValueError, match="without missing values"):
        fill_table(complete, FRAME)


def test_names_of_columns_and_pandas_output_as_scikit_learn_checks_them():
    for check in (check_transformer_get_feature_names_out, check_set_output_transform):
        check("Imputer", Imputer(**SMALL, batch_size=1000))

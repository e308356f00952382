"""Embedder: scikit-learn's own checks, numbers of the model underneath, pipelines and searches."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler
from sklearn.utils.estimator_checks import check_estimator

from keras_vae.applications import Embedder

RNG = np.random.default_rng(0)
ROWS = RNG.normal(size=(40, 3)) * [1, 10, 100] + [0, 5, 1000]


pytestmark = pytest.mark.usefixtures("untraced")


def small(**options):
    return Embedder(**{"epochs": 1, "hidden": (4,), "latent_dim": 2, **options})


@pytest.fixture(scope="module")
def fitted():
    return small(with_stddev=True).fit(ROWS)


def test_embeddings_are_the_posterior_of_the_model_and_what_its_decoder_shows(fitted):
    z = fitted.transform(ROWS)
    assert z.dtype == np.float32
    q = fitted.model.posterior.distribution(fitted.model.encode(ROWS.astype(np.float32)))
    np.testing.assert_allclose(z, np.hstack([q.mean(), q.stddev()]), atol=1e-5)
    expected = fitted.model.decode(z[:, :2]).mean()
    for given in (z, z[:, :2]):
        np.testing.assert_allclose(fitted.inverse_transform(given), expected, rtol=1e-5)
    with pytest.raises(ValueError, match=r"\(N, 2\)\. Received: \(40, 3\)"):
        fitted.inverse_transform(z[:, :3])


def test_names_of_columns_and_pandas_output(fitted):
    names = ["latent0", "latent1", "latent0_stddev", "latent1_stddev"]
    assert list(fitted.get_feature_names_out()) == names
    with pytest.raises(NotFittedError):
        small().get_feature_names_out()
    frame = small().set_output(transform="pandas").fit_transform(ROWS)
    assert isinstance(frame, pd.DataFrame)
    assert list(frame.columns) == names[:2]


def test_a_data_frame_comes_back_as_one(tmp_path):
    frame = pd.DataFrame({"size": ROWS[:, 1], "sort": list("abcd") * 10})
    embedder = small().fit(frame)
    back = embedder.inverse_transform(embedder.transform(frame))
    assert list(back.columns) == ["size", "sort"]
    assert set(back["sort"]) <= set("abcd")
    embedder.draw(tmp_path / "map.png", frame, labels=frame["sort"])
    with Image.open(tmp_path / "map.png") as image:
        assert image.size[0] > 300


def test_the_score_is_the_bound_and_chooses_a_model_without_labels(fitted):
    x = ROWS.astype(np.float32)
    terms = fitted.model.evaluate(x, batch_size=len(x), verbose=0, return_dict=True)
    assert fitted.score(ROWS) == pytest.approx(-terms["negative_elbo"], rel=1e-5)
    assert fitted.score(ROWS) == fitted.score(ROWS)
    pipeline = make_pipeline(MinMaxScaler(), small(epochs=4))
    search = GridSearchCV(pipeline, {"embedder__learning_rate": [1e-6, 0.03]}, cv=2).fit(ROWS)
    assert search.best_params_ == {"embedder__learning_rate": 0.03}
    assert search.best_estimator_.transform(ROWS).shape == (40, 2)


def test_images_of_another_size_are_refused():
    images = RNG.integers(0, 256, (30, 4, 4)).astype(np.uint8)
    embedder = small().fit(images)
    assert embedder.inverse_transform(embedder.transform(images[:1])).shape == (1, 4, 4, 1)
    with pytest.raises(ValueError, match=r"images of shape \(4, 4, 1\)"):
        embedder.transform(images[:, :, :3])


def test_scikit_learns_own_checks():
    skipped = {"check_array_api_input"}  # needs SCIPY_ARRAY_API
    results = check_estimator(small(), on_skip=None, on_fail=None)
    assert len(results) > 30
    failed = {
        each["check_name"]: each["exception"] for each in results if each["status"] != "passed"
    }
    assert set(failed) <= skipped, failed

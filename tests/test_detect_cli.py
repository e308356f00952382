"""`keras-vae detect`, on pictures and on tables."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from keras_vae import training
from keras_vae.applications import calibrate

RNG = np.random.default_rng(0)


def trained(folder, source, **options):
    recipe = training.Recipe(
        data=str(source), hidden=(8,), latent_dim=2, epochs=2, batch_size=32, jit_compile=False,
        **options,
    )  # fmt: skip
    return training.train(recipe, folder / "run")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    images = (RNG.random((400, 6, 6)) < 0.1).astype(np.uint8) * 255
    np.save(folder / "dark.npy", images)
    np.save(folder / "light.npy", 255 - images)
    return folder, trained(folder, folder / "dark.npy", protocol="static")


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    folder = tmp_path_factory.mktemp("table")
    size = RNG.normal(size=400)
    frame = pd.DataFrame(
        {"id": range(400), "size": size, "twice": 2 * size, "sort": list("ab") * 200}
    )
    frame.loc[::9, "size"] = np.nan
    frame.to_csv(folder / "rows.csv", index=False)
    return folder, frame, trained(folder, folder / "rows.csv", column_types=(("id", "skip"),))


@pytest.fixture
def detect(cli):
    def run(*words, code=0):
        received, out, err = cli("detect", *words)
        assert received == code, err
        return out if not code else err

    return run


def test_pictures_of_another_kind_are_flagged(detect, pictures, tmp_path):
    folder, run = pictures
    said = detect(
        run.path, "--data", folder / "light.npy", "--false-positive-rate", "0.1",
        "--num-samples", "4", "--output", tmp_path / "found.csv",
    )  # fmt: skip
    found = pd.read_csv(tmp_path / "found.csv")
    assert list(found.columns) == ["row", "score", "is_anomaly"]
    assert len(found) == 40
    assert found["is_anomaly"].all()
    assert "at most 10.00% asked for" in said
    with Image.open(tmp_path / "found.png") as picture:
        assert picture.size[0] > 300
    detect(run.path, "--false-positive-rate", "0.1", "--num-samples", "4")
    own = pd.read_csv(run.path / "anomalies.csv")
    detector = calibrate(
        run.model, run.data.examples("train"), run.data.examples("validation"),
        false_positive_rate=0.1, num_samples=4,
    )  # fmt: skip
    np.testing.assert_allclose(own["score"], detector(run.data.examples("test")), rtol=1e-5)
    assert own["is_anomaly"].mean() < 0.5


def test_rows_of_another_table_keep_their_order(detect, table, tmp_path):
    _, frame, run = table
    other = frame[::-1].reset_index(drop=True)
    other.loc[3, "twice"] = 500.0
    other.to_csv(tmp_path / "other.csv", index=False)
    said = detect(run.path, "--data", tmp_path / "other.csv", "--output", tmp_path / "found.csv")
    found = pd.read_csv(tmp_path / "found.csv")
    assert len(found) == 400
    assert found["score"].argmax() == 3
    assert found["is_anomaly"][3] == 1
    assert "rows of other.csv" in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--false-positive-rate", "0.001"), "Expected at least 999"),
        (("--score", "elbow"), "Did you mean 'elbo'"),
        (("--false-positive-rate", "1.5"), "false_positive_rate"),
    ],
)
def test_mistakes(detect, table, tmp_path, words, said):
    err = detect(table[2].path, *words, "--output", tmp_path / "found.csv", code=1)
    assert said in err
    assert not (tmp_path / "found.csv").exists()


def test_a_table_of_other_columns_is_refused(detect, table, tmp_path):
    table[1].drop(columns="sort").to_csv(tmp_path / "other.csv", index=False)
    out = tmp_path / "found.csv"
    err = detect(table[2].path, "--data", tmp_path / "other.csv", "--output", out, code=1)
    assert "no column 'sort'" in err

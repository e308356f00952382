"""Synthetic tables: draws of a known distribution, numbers of the report by hand, commands."""

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.exceptions import NotFittedError
from test_imputation import BLOCKS, COLUMNS, PROBS, table_model

from keras_vae.applications import Synthesizer, _base, quality, synthesize
from keras_vae.training import Recipe, train

RNG = np.random.default_rng(0)
SMALL = {"epochs": 1, "hidden": (4,), "latent_dim": 2, "num_components": 2}
FRAME = pd.DataFrame(
    {
        "size": RNG.gamma(2.0, size=60).astype(np.float32),
        "rooms": RNG.integers(1, 6, 60),
        "sort": pd.Categorical(RNG.choice(list("abc"), 60), categories=["c", "b", "a"]),
        "sold": RNG.random(60) < 0.5,
    }
)


def test_rows_are_drawn_from_the_likelihood():
    model = table_model(COLUMNS, [0.5, -6.3, 2.0, *np.log(PROBS)], blocks=BLOCKS)
    rows = synthesize(model, 3000, seed=1)
    assert list(rows.columns) == [column.name for column in COLUMNS]
    shares = rows["sort"].value_counts(normalize=True)
    np.testing.assert_allclose([shares[name] for name in "abc"], PROBS, atol=0.03)
    assert (rows["size"].mean(), rows["size"].std()) == pytest.approx((10.5, 0.5), abs=0.04)
    assert rows["sold"].mean() == pytest.approx(1 / (1 + np.exp(-2.0)), abs=0.03)
    assert rows["rooms"].dtype.kind == "i"
    pd.testing.assert_frame_equal(rows, synthesize(model, 3000, seed=1))
    assert not rows.equals(synthesize(model, 3000, seed=2))
    low, high = np.array([0, 10.4, 0, 4]), np.array([2, 10.6, 1, 4])
    within = synthesize(model, 500, bounds=(low, high))
    assert within["size"].between(10.39, 10.61).all()
    assert (within["rooms"] == 4).all()


def test_frames_have_the_types_of_the_fitted_ones(monkeypatch, eagerly):
    monkeypatch.setattr(_base, "_STEPS", 1)
    holes = FRAME.assign(sold=FRAME["sold"].astype("boolean"))
    holes.iloc[3, 3] = None
    synthesizer = Synthesizer(**SMALL).fit(holes)
    rows = synthesizer.sample(200, seed=3)
    assert (rows.dtypes == holes.dtypes).all()
    assert not rows.isna().any().any()
    for name in ("size", "rooms"):
        assert rows[name].min() >= FRAME[name].min()
        assert rows[name].max() <= FRAME[name].max()
    report = synthesizer.report(holes[:40], holes[40:], target="sort", n=50)
    assert set(report.scores) == {"real", "synthetic"}
    array = Synthesizer(**SMALL).fit(FRAME[["size", "rooms"]].to_numpy()).sample(7)
    assert (array.shape, array.dtype) == ((7, 2), np.float64)


def test_the_report_by_hand():
    columns = ["size", "sort"]
    train = pd.DataFrame([(0.0, "a"), (2.0, "b"), (0.0, "b"), (2.0, "a")], columns=columns)
    test = pd.DataFrame([(0.5, "a"), (4.0, "b")], columns=columns)
    synthetic = pd.DataFrame([(0.0, "a"), (0.25, "a"), (3.0, "a"), (9.0, "b")], columns=columns)
    report = quality(synthetic, train, test, target="sort")
    # Values have standard deviation 1 in training, so distances are in their own unit.
    np.testing.assert_allclose(report.distances["test"], [0.5, 2.0], rtol=1e-5)
    np.testing.assert_allclose(report.distances["synthetic"], [0, 0.25, 1, 7], atol=1e-5)
    assert report.copies == 0.25
    assert report.closer == 0.75  # nearer than 1.25
    assert report.marginals["size"] == (0.5, 0.5)
    assert report.marginals["sort"] == (0.25, 0.0)
    test_r = np.corrcoef([0.5, 4.0], [0, 1])[0, 1]
    synthetic_r = np.corrcoef(synthetic["size"], [0, 0, 0, 1])[0, 1]
    assert report.correlation_error == pytest.approx((test_r - synthetic_r, test_r), rel=1e-5)
    assert ("copies of a training row", "25.0%", "") in report.rows()


def test_categories_and_missing_values_in_distances():
    train = pd.DataFrame({"sort": list("abc") * 4, "size": [1.0, 2.0, 3.0] * 4})
    other = pd.DataFrame({"sort": ["a", None], "size": [2.0, 2.0]})
    report = quality(train, train, other)
    step = np.std([1.0, 2.0, 3.0])
    np.testing.assert_allclose(
        report.distances["test"], [min(1.0, 1 / step), np.sqrt(0.5)], rtol=1e-5
    )


def test_a_target_that_is_a_number_and_what_is_written(tmp_path):
    y = 2.0 * FRAME["size"]
    table = FRAME[["size", "rooms"]].assign(price=y)
    shuffled = table.assign(price=RNG.permutation(y))
    report = quality(shuffled, table[:40], table[40:], target="price")
    assert report.scores["real"] > 0.8 > 0.3 > report.scores["synthetic"]
    report.save(tmp_path / "report")
    record = json.loads((tmp_path / "report/report.json").read_text())
    assert record["scores"] == report.scores
    text = (tmp_path / "report/report.md").read_text()
    assert "R² of price" in text
    assert "| rooms |" in text
    assert (tmp_path / "report/report.png").stat().st_size > 5000
    with pytest.raises(ValueError, match="Did you mean 'price'"):
        quality(table, table, table, target="prize")


def test_what_cannot_be_made_is_refused():
    with pytest.raises(NotFittedError):
        Synthesizer().sample(3)
    with pytest.raises(ValueError, match="Synthesizer makes tables"):
        Synthesizer(**SMALL).fit(np.zeros((8, 4, 4)))
    with pytest.raises(ValueError, match="num_rows"):
        synthesize(table_model(COLUMNS, [0.0] * 6, blocks=BLOCKS), 0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Runs on a table with and without missing values."""
    path = tmp_path_factory.mktemp("tables")
    holes = FRAME.astype({"sort": str}).assign(note="kept")
    holes.loc[RNG.random(60) < 0.3, "size"] = None
    holes.loc[RNG.random(60) < 0.3, "sort"] = None
    holes.to_csv(path / "holes.csv", index=False)
    FRAME.astype({"sort": str}).to_csv(path / "whole.csv", index=False)
    options = {"hidden": (4,), "latent_dim": 2, "epochs": 1, "batch_size": 24, "jit_compile": False}
    for source, types in (("holes.csv", (("note", "skip"),)), ("whole.csv", ())):
        recipe = Recipe(data=str(path / source), column_types=types, **options)
        train(recipe, path / source.split(".")[0])
    return path


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_impute_fills_a_file_in(ending, cli, folder, tmp_path):
    path, picture = tmp_path / f"filled.{ending}", tmp_path / "p.png"
    words = ("--input", folder / "holes.csv", "--num-samples", 20, "--picture", picture)
    code, out, err = cli("impute", folder / "holes", *words, "--output", path)
    assert code == 0, err
    before = pd.read_csv(folder / "holes.csv")
    filled = pd.read_csv(path) if ending == "csv" else pd.read_parquet(path)
    assert list(filled.columns) == list(before.columns)
    assert not filled.isna().any().any()
    kept = before.notna().to_numpy()
    assert (filled.to_numpy(object)[kept] == before.to_numpy(object)[kept]).all()
    assert picture.stat().st_size > 3000
    code, out, _ = cli(
        "impute", folder / "holes", *words[:4], "--num-imputations", 2, "--output", path
    )
    assert code == 0
    assert f"filled-2.{ending}" in out
    assert (tmp_path / f"filled-1.{ending}").exists()


def test_impute_says_how_well_hidden_values_are_filled_in(cli, folder, tmp_path):
    code, out, err = cli(
        "impute",
        folder / "holes",
        "--hide",
        0.5,
        "--num-samples",
        20,
        "--picture",
        tmp_path / "p.png",
    )
    assert code == 0, err
    assert "RMSE of numbers" in out
    assert "accuracy of categories" in out
    assert (tmp_path / "p.png").exists()


def test_synthesize_writes_rows_and_their_report(cli, folder, tmp_path):
    words = ("synthesize", folder / "holes", "--num-rows", 40, "--output", tmp_path / "s.csv")
    code, out, err = cli(*words, "--report", tmp_path / "report", "--target", "sold")
    assert code == 0, err
    rows = pd.read_csv(tmp_path / "s.csv")
    assert rows.shape == (40, 4)
    assert set(rows["sort"]) <= set("abc")
    assert "accuracy of sold" in out
    assert (tmp_path / "report/report.png").exists()


def test_mistakes_of_the_commands(cli, folder, tmp_path):
    out = ("--output", tmp_path / "new.csv")
    (tmp_path / "short.csv").write_text("size,rooms\n1,2\n")
    listed = [
        (("impute", folder / "holes", *out), 2, "go together"),
        (("impute", folder / "holes", "--hide", 1.5), 2, "share"),
        (("impute", folder / "holes", "--input", folder / "no.csv", *out), 1, "no.csv"),
        (("impute", folder / "holes", "--input", tmp_path / "short.csv", *out), 1, "no column"),
        (("impute", folder / "whole"), 1, "without missing values"),
        (("synthesize", folder / "whole", "--output", tmp_path / "a.txt"), 2, ".csv"),
        (("synthesize", folder / "whole", *out, "--target", "soldd"), 2, "Did you mean 'sold'"),
    ]
    for words, expected, hint in listed:
        code, _, err = cli(*words)
        assert code == expected, (words, err)
        assert hint in " ".join(err.split()), (words, err)
    assert not (tmp_path / "new.csv").exists()

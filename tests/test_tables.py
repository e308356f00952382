"""Tables: types of columns, numbers and back, files, training on them with values missing."""

import numpy as np
import pandas as pd
import pytest

from keras_vae import data, likelihoods
from keras_vae.data import tables
from keras_vae.likelihoods import Column
from keras_vae.models import NotMIWAE
from keras_vae.training import Recipe, Run, train

FRAME = pd.DataFrame(
    {
        "size": [1.5, None, 3.25, 4.0],
        "rooms": [1, 2, 3, 2],
        "sold": [True, False, False, True],
        "flag": [0.0, 1.0, None, 1.0],
        "sort": ["b", "a", None, "c"],
    }
)
COLUMNS = (
    Column(name="size", kind="real"),
    Column(name="rooms", kind="integer"),
    Column(name="sold", kind="binary", categories=(False, True)),
    Column(name="flag", kind="binary", categories=(0.0, 1.0)),
    Column(name="sort", kind="categorical", categories=("a", "b", "c")),
)
NUMBERS = np.array(
    [[1.5, 1, 1, 0, 1], [np.nan, 2, 0, 1, 0], [3.25, 3, 0, np.nan, np.nan], [4, 2, 1, 1, 2]],
    np.float32,
)


def rows(num=60, missing=True):
    frame = pd.concat([FRAME] * (num // 4), ignore_index=True)
    rng = np.random.default_rng(0)
    frame["size"] += rng.normal(size=len(frame))
    return frame if missing else frame.ffill().bfill()


def test_columns_are_what_they_look_like():
    assert tables.infer_columns(FRAME) == COLUMNS


def test_types_can_be_given():
    columns = tables.infer_columns(
        FRAME, {"rooms": "categorical", "flag": "real", "sort": "skip", "sold": "real"}
    )
    kinds = {column.name: column.kind for column in columns}
    assert kinds == {"size": "real", "rooms": "categorical", "sold": "real", "flag": "real"}
    assert columns[1].categories == (1, 2, 3)


def test_numbers_and_back():
    numbers = tables.encode(FRAME[FRAME.columns[::-1]], COLUMNS)
    np.testing.assert_array_equal(numbers, NUMBERS)
    again = tables.decode(numbers, COLUMNS)
    assert list(again.columns) == list(FRAME.columns)
    for name in FRAME.columns:
        assert again[name].isna().tolist() == FRAME[name].isna().tolist()
        kept = FRAME[name].notna()
        assert again[name][kept].tolist() == FRAME[name][kept].tolist()
    between = tables.decode(np.array([[1.0, 2.4, 0.7, 0.2, 1.0]]), COLUMNS)
    assert between.iloc[0].tolist() == [1.0, 2, True, 0.0, "b"]


def test_real_columns_are_standardised_by_the_training_rows():
    mixed = tables.mixed(COLUMNS, NUMBERS)
    real = mixed.blocks[0].likelihood
    assert mixed.blocks[0].indices == (0, 1)
    np.testing.assert_allclose(real.data_mean, np.nanmean(NUMBERS[:, :2], axis=0), rtol=1e-6)
    np.testing.assert_allclose(real.data_stddev, np.nanstd(NUMBERS[:, :2], axis=0), rtol=1e-6)
    assert [type(block.likelihood).__name__ for block in mixed.blocks] == [
        "Normal", "Bernoulli", "Categorical",
    ]  # fmt: skip
    constant = tables.mixed(COLUMNS[:1], np.full((3, 1), 7.0, np.float32))
    assert constant.blocks[0].likelihood.data_stddev == (1.0,)


@pytest.mark.parametrize(
    ("frame", "types", "said"),
    [
        (FRAME.assign(size=None), {}, "'size' has no value at all"),
        (FRAME.assign(sort="a"), {}, "one value only"),
        (FRAME.assign(when=pd.Timestamp(0)), {}, "dates"),
        (FRAME, {"sort": "real"}, "holds 'b'"),
        (FRAME, {"rooms": "binary"}, "3 values"),
        (FRAME, {"roms": "real"}, "Did you mean 'rooms'"),
        (FRAME, {"rooms": "number"}, "Unknown type of column"),
        (FRAME[["sort"]], {"sort": "skip"}, "no column left"),
        (pd.DataFrame({"id": [f"n{i}" for i in range(200)]}), {}, "identifier"),
        (pd.concat([FRAME, FRAME], axis=1), {}, "several columns of one name"),
    ],
)
def test_columns_that_cannot_be_modelled_are_refused(frame, types, said):
    with pytest.raises(ValueError, match=said):
        tables.infer_columns(frame, types)


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        (FRAME.drop(columns="sold"), "no column 'sold'"),
        (FRAME.assign(more=1), "further columns: 'more'"),
        (FRAME.assign(sort="d"), "not there in training: d"),
        (FRAME.assign(size="large"), "has to hold numbers"),
        (FRAME.assign(size=np.inf), "infinite"),
    ],
)
def test_rows_that_do_not_fit_the_columns_are_refused(frame, said):
    with pytest.raises(ValueError, match=said):
        tables.encode(frame, COLUMNS)


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_file_gives_rows_with_their_masks(tmp_path, ending):
    frame, path = rows(), tmp_path / f"houses.{ending}"
    frame.to_csv(path, index=False) if ending == "csv" else frame.to_parquet(path)
    splits = data.load(path, batch_size=8, column_types={"rooms": "real"})
    assert splits.columns == (COLUMNS[0], Column(name="rooms", kind="real"), *COLUMNS[2:])
    assert (splits.num_train, splits.num_validation, splits.num_test) == (48, 6, 6)
    batches = [*splits.train.take(6), *splits.validation, *splits.test]
    seen = np.concatenate([batch["x"] for batch in batches])
    np.testing.assert_array_equal(
        np.concatenate([batch["mask"] for batch in batches]), ~np.isnan(seen)
    )
    order = np.lexsort(np.nan_to_num(seen, nan=-99).T)
    expected = tables.encode(frame, splits.columns)
    np.testing.assert_allclose(
        seen[order], expected[np.lexsort(np.nan_to_num(expected, nan=-99).T)], rtol=1e-6
    )
    assert ("sort", "categorical: a, b, c") in splits.summary()


def test_a_table_without_missing_values_gives_arrays():
    splits = data.from_table(rows(missing=False), batch_size=8)
    assert splits.examples("test").shape == (6, 5)
    assert not splits.has_missing


def test_a_run_on_a_table(tmp_path):
    rows().to_csv(tmp_path / "houses.csv", index=False)
    recipe = Recipe(
        data=str(tmp_path / "houses.csv"), hidden=(8,), latent_dim=2, epochs=2, batch_size=16,
        column_types=(("rooms", "categorical"),), jit_compile=False,
    )  # fmt: skip
    train(recipe, tmp_path / "run")
    run = Run(tmp_path / "run")
    assert run.recipe == recipe
    mixed = run.model.likelihood
    assert isinstance(mixed, likelihoods.Mixed)
    assert [column.name for column in mixed.columns] == list(FRAME.columns)
    made = tables.decode(run.model.generate(5, seed=1), mixed.columns)
    assert set(made["sort"]) <= {"a", "b", "c"}
    assert "houses" in (tmp_path / "run/report.md").read_text()


def test_a_run_on_values_that_are_missing_for_what_they_are(tmp_path, cli):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 1)) @ np.ones((1, 3)) + 0.3 * rng.normal(size=(200, 3))
    holes = pd.DataFrame(np.where([False, False, True] & (x > 0.5), np.nan, x), columns=[*"abc"])
    holes.to_csv(tmp_path / "holes.csv", index=False)
    words = ("--data", tmp_path / "holes.csv", "--hidden", 8, "--latent-dim", 1, "--epochs", 2)
    words = (*words, "--batch-size", 20, "--no-jit", "--objective", "iwae")
    code, _, err = cli(
        "train", *words, "--mechanism", "self-masking-high", "--output", tmp_path / "a"
    )
    assert code == 0, err
    model = Run(tmp_path / "a").model
    assert isinstance(model, NotMIWAE)
    assert type(model.missingness.layers[-1]).__name__ == "SelfMasking"
    for command, said in (
        (("info", tmp_path / "a"), "NotMIWAE"),
        (("evaluate", tmp_path / "a", "--num-samples", 5), "log p(x)"),
        (
            (
                "impute",
                tmp_path / "a",
                "--input",
                tmp_path / "holes.csv",
                "--output",
                tmp_path / "f.csv",
            ),
            "filled in",
        ),
        (("synthesize", tmp_path / "a", "--output", tmp_path / "s.csv"), "1,000 rows"),
        (
            ("fit-prior", tmp_path / "a", "--output", tmp_path / "c", "--num-components", 1),
            "report",
        ),
    ):
        code, out, err = cli(*command)
        assert code == 0, err
        assert said in out
    filled = pd.read_csv(tmp_path / "f.csv")
    assert not filled.isna().any(axis=None)
    seen = ~holes.isna()
    np.testing.assert_allclose(filled.to_numpy()[seen], holes.to_numpy()[seen])

    for words in (("evaluate", tmp_path / "a", "--all"), ("detect", tmp_path / "a")):
        code, _, err = cli(*words)
        assert code == 1
        assert "takes a keras_vae.VAE. Received: NotMIWAE" in err

    rows().to_csv(tmp_path / "houses.csv", index=False)
    words = ("--data", tmp_path / "houses.csv", "--mechanism", "linear", "--batch-size", 8)
    code, _, err = cli("train", *words, "--output", tmp_path / "b")
    assert code == 1
    assert "takes real and integer columns" in err


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", "", "cannot be read as a table"),
        ("a.csv", "x,y\n", "is empty"),
        ("a.parquet", "no parquet", "cannot be read as a table"),
        ("a.csv", "x,y\n1,2,3,4\n1\n5,6,7,8,9\n", "cannot be read as a table"),
    ],
)
def test_files_that_are_no_tables_are_refused(tmp_path, name, content, said):
    (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=said):
        data.load(tmp_path / name)

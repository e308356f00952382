"""Runs on tables: their missing values filled in, and synthetic rows made after them."""

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from keras_vae import _files, pictures
from keras_vae._parts import check_known, check_share
from keras_vae.applications.imputation import (
    check_takes_missing,
    columns_of,
    fill_table,
    impute,
    sample_tables,
)
from keras_vae.applications.synthesis import bounds_of, synthesize
from keras_vae.applications.table_quality import QualityReport, quality
from keras_vae.data.tables import decode, encode, read_frame
from keras_vae.likelihoods import Column
from keras_vae.models import x_of
from keras_vae.training import Run

_WRITERS: dict[str, Callable[[pd.DataFrame, Path], Any]] = {
    ".csv": lambda table, path: table.to_csv(path, index=False),
    ".parquet": lambda table, path: table.to_parquet(path, index=False),
}


def check_table_output(path: str | os.PathLike[str]) -> None:
    """Raises `ValueError` where a table cannot be written under that name."""
    if Path(path).suffix.lower() not in _WRITERS:
        raise ValueError(
            f"A table is written as {' or '.join(_WRITERS)}. Received: {Path(path).name}"
        )


def check_target(model: Any, target: str | None) -> None:
    """Raises `ValueError` where a model's table has no such column."""
    if target is not None:
        check_known("target", target, [column.name for column in columns_of(model)])


def write_table(table: pd.DataFrame, path: str | os.PathLike[str]) -> None:
    """Writes a .csv or .parquet file, whole or not at all."""
    check_table_output(path)
    with _files.replacing(path) as new:
        _WRITERS[Path(path).suffix.lower()](table, new)


def impute_file(
    run: Run,
    input: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    num_imputations: int = 1,
    num_samples: int = 1000,
    seed: int = 0,
    picture: str | os.PathLike[str] | None = None,
) -> list[Path]:
    """Fills in the missing values of a table in a file.

    Args:
        run: one on a table.
        input: a .csv or .parquet file with the run's columns, and others, which stay as they are.
        output: what to write, .csv or .parquet; of several imputations, the number is put behind
            the name: filled-1.csv, filled-2.csv, ...
        num_imputations: 1 for what is expected; more for draws from p(x_m|x_o).
        num_samples: importance samples.
        seed: of all draws.
        picture: a PNG file of observed and filled-in values, column by column.

    Returns:
        The files written.
    """
    check_table_output(output)
    columns, table = columns_of(run.model), read_frame(input)
    names = [column.name for column in columns]
    known: Any = table[[name for name in table.columns if name in names]]
    options = {"num_samples": num_samples, "seed": seed}
    if num_imputations == 1:
        filled = [fill_table(run.model, known, **options)]
    else:
        filled = sample_tables(run.model, known, num_imputations, **options)
    path = Path(output)
    paths = [path.with_stem(f"{path.stem}-{i + 1}") for i in range(len(filled))]
    paths = [path] if num_imputations == 1 else paths
    for each, where in zip(filled, paths, strict=True):
        write_table(table.assign(**{str(name): each[name] for name in each.columns}), where)
    if picture is not None:
        before, after = encode(known, columns), encode(filled[0], columns)
        missing = np.isnan(before)
        shown = [
            (column.name, {"observed": before[:, i], "imputed": after[missing[:, i], i]}, column)
            for i, column in enumerate(columns)
            if missing[:, i].any()
        ]
        pictures.true_and_imputed(picture, _panels(shown))
    return paths


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class HiddenError:
    """How well hidden values are imputed.

    Attributes:
        num_hidden: how many values were hidden.
        rmse: of numbers, in standard deviations of the training rows; NaN without any. By "imputed"
            and "mean".
        accuracy: of categories; "mean" is the most frequent one. NaN without any.
    """

    num_hidden: int
    rmse: dict[str, float]
    accuracy: dict[str, float]

    def rows(self) -> list[tuple[str, str, str]]:
        """Rows of (what, imputed, by the mean) for a table."""
        named = (
            ("RMSE of numbers, in standard deviations", self.rmse, "{:.3f}"),
            ("accuracy of categories", self.accuracy, "{:.1%}"),
        )
        return [
            (what, form.format(found["imputed"]), form.format(found["mean"]))
            for what, found, form in named
            if np.isfinite(found["imputed"])
        ]


def hidden_error(
    run: Run,
    *,
    hide: float = 0.1,
    num_samples: int = 1000,
    seed: int = 0,
    picture: str | os.PathLike[str] | None = None,
) -> HiddenError:
    """Hides a share of the observed values of the test split, imputes them, and compares.

    Args:
        run: one on a table with missing values.
        hide: share of the observed values, in (0, 1).
        num_samples: importance samples.
        seed: of what is hidden and of all draws.
        picture: a PNG file of hidden and imputed values.
    """
    check_share("impute", proper=True, hide=hide)
    columns = columns_of(run.model)
    check_takes_missing(run.model)
    train, x = np.asarray(run.data.stored["train"].values), x_of(run.data.examples("test"))
    hidden = (np.random.default_rng(seed % 2**64).random(x.shape) < hide) & ~np.isnan(x)
    if not hidden.any():
        raise ValueError(f"A share of {hide} hides none of {x.size} values. Hide more.")
    kept = (~np.isnan(x) & ~hidden).astype(np.float32)
    values = impute(run.model, {"x": x, "mask": kept}, num_samples=num_samples, seed=seed)
    filled = encode(decode(values, columns), columns)
    is_number = np.array([not column.categories for column in columns])
    mean = np.array(
        [
            np.nanmean(train[:, i]) if number else _most_frequent(train[:, i])
            for i, number in enumerate(is_number)
        ]
    )
    scale = np.where(is_number, np.nanstd(train, axis=0), 1.0)
    scale = np.where(scale > 0, scale, 1.0)
    numbers, categories = hidden & is_number, hidden & ~is_number
    answers = {"imputed": filled, "mean": np.broadcast_to(mean, x.shape)}
    if picture is not None:
        pairs = tuple(((each - mean) / scale)[numbers] for each in (x, filled))
        shown = [
            (
                column.name,
                {"hidden": x[hidden[:, i], i], "imputed": filled[hidden[:, i], i]},
                column,
            )
            for i, column in enumerate(columns)
            if hidden[:, i].any()
        ]
        pictures.true_and_imputed(picture, _panels(shown), pairs if numbers.any() else None)  # pyright: ignore[reportArgumentType]
    return HiddenError(
        num_hidden=int(hidden.sum()),
        rmse={
            name: float(np.sqrt(np.mean(((each - x) / scale)[numbers] ** 2)))
            if numbers.any()
            else float("nan")
            for name, each in answers.items()
        },
        accuracy={
            name: float(np.mean((each == x)[categories])) if categories.any() else float("nan")
            for name, each in answers.items()
        },
    )


def _most_frequent(values: np.ndarray) -> float:
    found, counts = np.unique(values[~np.isnan(values)], return_counts=True)
    return float(found[np.argmax(counts)])


def _panels(shown: list[tuple[str, dict[str, np.ndarray], Column]], most: int = 11) -> list:
    return [
        (name, values, [str(category) for category in column.categories])
        for name, values, column in shown[:most]
    ]


def synthesize_run(run: Run, num_rows: int, *, seed: int = 0) -> pd.DataFrame:
    """New rows of the table that a run was trained on, within what was observed in training."""
    columns_of(run.model)
    bounds = bounds_of(np.asarray(run.data.stored["train"].values))
    return synthesize(run.model, num_rows, seed=seed, bounds=bounds)


def quality_of_run(
    run: Run, synthetic: pd.DataFrame, *, target: str | None = None, seed: int = 0
) -> QualityReport:
    """Compares synthetic rows with a run's training and test rows: see `quality`."""
    columns = columns_of(run.model)
    train, test = (
        decode(np.asarray(run.data.stored[split].values), columns) for split in ("train", "test")
    )
    return quality(synthetic, train, test, columns=columns, target=target, seed=seed)

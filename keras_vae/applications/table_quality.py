"""How like real rows synthetic ones are."""

import dataclasses
import json
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import tensorflow as tf
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.neighbors import NearestNeighbors

from keras_vae import _files, pictures, reports
from keras_vae._parts import check_known
from keras_vae.data.tables import encode, infer_columns, mixed
from keras_vae.likelihoods import Column


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class QualityReport:
    """How like a real table a synthetic one is; real held-out rows say what is attainable.

    Attributes:
        columns: what the columns are.
        tables: the rows compared, by "train", "test" and "synthetic".
        marginals: by column, the distance of its distribution from that of the held-out rows:
            Kolmogorov and Smirnov's statistic of numbers, the total variation of categories. Pairs:
            of the synthetic rows, and of the training rows.
        correlations: Pearson's, [F, F], by "test" and "synthetic"; a category is a column of 0 and 1.
        correlation_error: mean absolute difference of those off the diagonal from the held-out rows'.
            A pair: of the synthetic rows, and of the training rows.
        distances: by "test" and "synthetic", the distance of every row to the nearest training row;
            real columns in standard deviations, another category counts 1.
        copies: share of the synthetic rows that are at distance 0.
        closer: share of the synthetic rows that are nearer than the median held-out row: 0.5 where
            they are as near as new rows are, towards 1 where training rows were memorised.
        target: the column that is predicted from the others, or None.
        scores: of a random forest on the held-out rows, by the rows that it was trained on: "real"
            and "synthetic"; accuracy, or R^2 where the target is a number. {} without a target.
    """

    columns: tuple[Column, ...]
    tables: Mapping[str, pd.DataFrame]
    marginals: Mapping[str, tuple[float, float]]
    correlations: Mapping[str, np.ndarray]
    correlation_error: tuple[float, float]
    distances: Mapping[str, np.ndarray]
    copies: float
    closer: float
    target: str | None
    scores: Mapping[str, float]

    def rows(self) -> list[tuple[str, ...]]:
        """Rows of (what, of the synthetic rows, of real rows) for a table."""
        distances = np.array(list(self.marginals.values()))
        worst = max(self.marginals, key=lambda name: self.marginals[name][0])
        is_number = any(c.name == self.target and not c.categories for c in self.columns)
        score = "R²" if is_number else "accuracy"
        near = {name: float(np.median(each)) for name, each in self.distances.items()}
        found: list[tuple[str, Any]] = [
            ("distance of marginals, mean", distances.mean(axis=0)),
            (f"largest: {worst}", self.marginals[worst]),
            ("error of correlations, mean", self.correlation_error),
            ("distance to a training row, median", (near["synthetic"], near["test"])),
        ]
        if self.scores:
            scores = self.scores["synthetic"], self.scores["real"]
            found.append((f"{score} of {self.target}, trained on them", scores))
        return [
            *((what, f"{synthetic:.3f}", f"{real:.3f}") for what, (synthetic, real) in found),
            ("nearer than half of the held-out rows", f"{self.closer:.1%}", "50.0%"),
            ("copies of a training row", f"{self.copies:.1%}", ""),
        ]

    def __str__(self) -> str:
        return reports.table(("", "synthetic", "real"), self.rows())

    def draw(self, path: str | os.PathLike[str]) -> None:
        """Draws marginals, correlations and distances to training rows as a PNG file."""
        shown = [self._values(column) for column in self.columns[:12]]
        pictures.table_quality(path, shown, dict(self.correlations), dict(self.distances))

    def _values(self, column: Column) -> tuple[str, dict[str, np.ndarray], list[str]]:
        """A column's name, its values among held-out and synthetic rows, its categories' names."""
        tables: Mapping[str, Any] = self.tables
        values = {
            name: encode(tables[name][[column.name]], [column])[:, 0]
            for name in ("test", "synthetic")
        }
        return column.name, values, [str(category) for category in column.categories]

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Writes report.md, report.json and report.png into a folder."""
        path = os.fspath(folder)
        os.makedirs(path, exist_ok=True)
        by_column = [(name, *(f"{d:.3f}" for d in pair)) for name, pair in self.marginals.items()]
        num = {name: f"{len(table):,}" for name, table in self.tables.items()}
        text = (
            f"# Quality of {num['synthetic']} synthetic rows\n\nCompared with {num['test']} held-out rows; "
            f"real: {num['train']} training rows.\n\n{self}\n\n"
            "![marginals, correlations, distances](report.png)\n\n"
            f"{reports.table(('distance of the marginal of', 'synthetic', 'real'), by_column)}\n"
        )
        record = {
            "marginals": {name: list(pair) for name, pair in self.marginals.items()},
            "correlation_error": list(self.correlation_error),
            "scores": dict(self.scores),
            "target": self.target,
            "copies": self.copies,
            "closer": self.closer,
            "median_distance": {n: float(np.median(each)) for n, each in self.distances.items()},
        }
        self.draw(os.path.join(path, "report.png"))
        _files.write(os.path.join(path, "report.json"), json.dumps(record, indent=2) + "\n")
        _files.write(os.path.join(path, "report.md"), text)


def quality(
    synthetic: pd.DataFrame,
    train: pd.DataFrame,
    test: pd.DataFrame,
    *,
    columns: tuple[Column, ...] | None = None,
    target: str | None = None,
    seed: int = 0,
) -> QualityReport:
    """Compares synthetic rows with the training rows they were made after and with held-out ones.

    Args:
        synthetic, train, test: tables with the same columns; missing values of real rows are left out
            of marginals, and count as the column's mean elsewhere.
        columns: what the columns are; by default, what they look like in `train`.
        target: a column to predict from the others.
        seed: of the random forest.

    Example:
        >>> rows = pd.DataFrame({"size": np.linspace(0.0, 1.0, 40), "sort": list("ab") * 20})
        >>> report = quality(rows, rows, rows)
        >>> report.copies, report.correlation_error
        (1.0, (0.0, 0.0))

    References:
        Esteban, Hyland and Rätsch, Real-valued (Medical) Time Series Generation with Recurrent
        Conditional GANs, 2017, arXiv:1706.02633 (train on synthetic, test on real).
    """
    columns = columns or infer_columns(train)
    names = [column.name for column in columns]
    tables: dict[str, Any] = {
        "train": train[names],
        "test": test[names],
        "synthetic": synthetic[names],
    }
    values = {name: encode(table, columns) for name, table in tables.items()}
    if target is not None:
        check_known("target", target, names)
    likelihood = mixed(columns, values["train"])
    of_features = likelihood.feature_columns

    def featured(x: np.ndarray) -> np.ndarray:
        """Features [N, F] of x, those of missing values zero, the mean."""
        features = likelihood.features(tf.constant(np.nan_to_num(x))).numpy()
        return np.where(np.isnan(x)[:, of_features], 0.0, features)

    features = {name: featured(x) for name, x in values.items()}
    correlations = {name: _correlations(x) for name, x in features.items()}
    distances = _distances(features, likelihood)
    return QualityReport(
        columns=columns,
        tables=tables,
        marginals={
            column.name: (
                _distance(values["synthetic"][:, i], values["test"][:, i], column),
                _distance(values["train"][:, i], values["test"][:, i], column),
            )
            for i, column in enumerate(columns)
        },
        correlations={name: correlations[name] for name in ("test", "synthetic")},
        correlation_error=(
            _difference(correlations["synthetic"], correlations["test"]),
            _difference(correlations["train"], correlations["test"]),
        ),
        distances=distances,
        copies=float(np.mean(distances["synthetic"] < 1e-6)),
        closer=float(np.mean(distances["synthetic"] < np.median(distances["test"]))),
        target=target,
        scores={}
        if target is None
        else _scores(values, features, columns, of_features, target, seed),
    )


def _distance(a: np.ndarray, b: np.ndarray, column: Column) -> float:
    """Of the distributions of two samples: Kolmogorov-Smirnov, or the total variation."""
    a, b = np.sort(a[~np.isnan(a)]), np.sort(b[~np.isnan(b)])
    if not len(a) or not len(b):
        return float("nan")
    if column.categories:
        of_a, of_b = (
            np.bincount(each.astype(int), minlength=len(column.categories)) / len(each)
            for each in (a, b)
        )
        return float(np.abs(of_a - of_b).sum() / 2)
    places = np.concatenate([a, b])
    shares = (np.searchsorted(each, places, side="right") / len(each) for each in (a, b))
    return float(np.abs(np.subtract(*shares)).max())


def _correlations(features: np.ndarray) -> np.ndarray:
    centred = features - features.mean(axis=0)
    scale = centred.std(axis=0)
    unit = centred / np.where(scale > 0, scale, 1.0)
    return unit.T @ unit / len(unit)


def _difference(a: np.ndarray, b: np.ndarray) -> float:
    off = ~np.eye(len(a), dtype=bool)
    return float(np.abs(a - b)[off].mean()) if off.any() else 0.0


def _distances(features: Mapping[str, np.ndarray], likelihood: Any) -> dict[str, np.ndarray]:
    """Of held-out and of synthetic rows to the nearest training row."""
    sizes = np.bincount(likelihood.feature_columns)[likelihood.feature_columns]
    scale = np.where(sizes > 1, np.sqrt(0.5), 1.0)  # another category changes two of its columns
    nearest = NearestNeighbors(n_neighbors=1).fit(features["train"] * scale)
    return {
        name: nearest.kneighbors(features[name] * scale)[0][:, 0] for name in ("test", "synthetic")
    }


def _scores(values, features, columns, of_features, target: str, seed: int) -> dict[str, float]:
    """Train on synthetic, test on real, beside train on real."""
    place = [column.name for column in columns].index(target)
    inputs = np.array(of_features) != place
    kind = RandomForestClassifier if columns[place].categories else RandomForestRegressor

    def known(name: str) -> tuple[np.ndarray, np.ndarray]:
        y = values[name][:, place]
        return features[name][:, inputs][~np.isnan(y)], y[~np.isnan(y)]

    return {
        name: float(kind(random_state=seed).fit(*known(rows)).score(*known("test")))
        for name, rows in (("real", "train"), ("synthetic", "synthetic"))
    }

"""Runs side by side, by the likelihoods that `keras-vae evaluate` left in their folders."""

import dataclasses
import json
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_vae.evaluation import Difference, check_comparable, difference_of
from keras_vae.training.run import Run

HEADER = ("", "-log p(x)", "behind the best", "bits/dim", "active units")
_ALIKE = ("data", "protocol", "split", "num_examples", "sha256", "num_samples", "measure")
"""What two numbers have to agree in."""
_BOUNDS = "; ≤: a bound, as is what is behind, since the prior's density is one"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Comparison:
    """Runs in the order of their likelihoods, the best first.

    Attributes:
        names: of the runs, as they were given.
        records: what their evaluation.json say.
        behind: how much lower than the best run's log p(x) is, over the same examples.
    """

    names: tuple[str, ...]
    records: tuple[dict[str, Any], ...]
    behind: tuple[Difference, ...]

    def rows(self) -> list[tuple[str, ...]]:
        """Rows for a table under `HEADER`, in nats per example."""
        return [
            (
                name,
                f"{'' if record['is_exact'] else '≤ '}{-record['log_likelihood']:.2f}",
                "best" if number == 0 else f"{behind.mean:.2f} ± {behind.standard_error:.2f}",
                f"{record['bits_per_dim']:.4f}",
                str(record["active_units"]),
            )
            for number, (name, record, behind) in enumerate(
                zip(self.names, self.records, self.behind, strict=True)
            )
        ]

    def __str__(self):
        alike = self.records[0]
        bounds = "" if all(record["is_exact"] for record in self.records) else _BOUNDS
        return (
            f"{alike['data']}, {alike['split']}, protocol {alike['protocol']}, {alike['num_examples']:,} examples, "
            f"sha256 {alike['sha256'][:12]}, k={alike['num_samples']}, {alike['measure']}; errors are those of the "
            f"difference over the same examples{bounds}"
        )


def compare(paths: Sequence[str | os.PathLike[str]]) -> Comparison:
    """Compares runs that were evaluated on the same examples, under the same protocol, with the same k.

    Args:
        paths: run folders, each with the evaluation.json of `keras-vae evaluate`.

    Raises:
        FileNotFoundError: where a run has not been evaluated.
        ValueError: where two of the numbers cannot be compared, saying what differs, and where one is of a
            model that the run has no longer.
    """
    names = [os.fspath(path) for path in paths]
    evaluated = [_read(Run(path)) for path in paths]
    for record, _ in evaluated:
        check_comparable(
            *({what: each[what] for what in _ALIKE} for each in (evaluated[0][0], record))
        )
    order = np.argsort([-record["log_likelihood"] for record, _ in evaluated], kind="stable")
    best = evaluated[order[0]][1]
    return Comparison(
        names=tuple(names[i] for i in order),
        records=tuple(evaluated[i][0] for i in order),
        behind=tuple(difference_of(best, evaluated[i][1]) for i in order),
    )


def _read(run: Run) -> tuple[dict[str, Any], np.ndarray]:
    """A run's evaluation.json, and log p(x) of every example."""
    path, advice = run.path / "evaluation.json", f"Run: keras-vae evaluate {run.path}"
    try:
        record = json.loads(path.read_text())
        mean, per_example = record["log_likelihood"], None
        if mean is not None:
            per_example = np.load(run.path / "log_likelihood.npy", allow_pickle=False)
            _ = [record[name] for name in (*_ALIKE, "bits_per_dim", "is_exact", "model_sha256")]
            if not np.isclose(per_example.mean(), mean):
                raise ValueError("it does not belong to log_likelihood.npy")
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{run.path} has not been evaluated yet. {advice}") from error
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(
            f"{path} is damaged, or of an earlier version: {error}. {advice}"
        ) from error
    if per_example is None:
        raise ValueError(
            f"{run.path} has no log p(x) to be compared by: its posterior is a point and has no density."
        )
    if record["model_sha256"] != run.model_sha256:
        raise ValueError(
            f"{path} is of another model than {run.model_path}: the run was trained further. {advice}"
        )
    return record, per_example

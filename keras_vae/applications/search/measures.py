"""What a run reached on the validation examples."""

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from keras_vae import _files
from keras_vae.data import Splits
from keras_vae.evaluation import bound, latent_use
from keras_vae.models import VAE, num_rows
from keras_vae.training import Run

_FILE = "search.npz"  # in the run's folder
_PROBED = 5000  # training examples that the linear probe is fitted to, at most
_MOST_CLASSES = 100


@dataclasses.dataclass(frozen=True, kw_only=True)
class Measures:
    """What the best model of a run reached on the validation examples.

    Attributes:
        negative_elbo: distortion + rate of every example, nats, float64 [N].
        rate: KL(q(z|x) || p(z)), nats, mean over examples.
        active_units: latent dimensions whose posterior mean has a variance above 0.01.
        accuracy: of a linear probe of the labels; NaN without labels.
        history: validation negative ELBO after each epoch, nats.
        is_pruned: whether the run was stopped early, because it fell behind others.
    """

    negative_elbo: np.ndarray
    rate: float
    active_units: int
    accuracy: float
    history: list[float]
    is_pruned: bool

    @property
    def mean(self) -> float:
        """Negative ELBO, nats, mean over examples."""
        return float(np.mean(self.negative_elbo))

    @property
    def standard_error(self) -> float:
        """Standard error of `mean` over examples, nats."""
        return float(np.std(self.negative_elbo, ddof=1) / math.sqrt(len(self.negative_elbo)))

    def __str__(self):
        probe = "" if math.isnan(self.accuracy) else f", probe {100 * self.accuracy:.1f} %"
        early = f", stopped early: behind after epoch {len(self.history)}" * self.is_pruned
        return f"{self.mean:.2f} nats, rate {self.rate:.2f}, {self.active_units} active units{probe}{early}"

    def write(self, run: Path) -> None:
        """Writes them into a run's folder."""
        with _files.replacing(run / _FILE) as new:
            np.savez(new, **dataclasses.asdict(self))

    @classmethod
    def read(cls, run: Path) -> "Measures | None":
        """Those in a run's folder; None where the run has not come to its end.

        Raises:
            ValueError: where the file is damaged.
        """
        path = run / _FILE
        if not path.exists():
            return None
        try:
            with np.load(path, allow_pickle=False) as arrays:
                fields = {field.name: arrays[field.name] for field in dataclasses.fields(cls)}
        except Exception as error:  # whatever the damage leads to
            raise ValueError(
                f"{path} is damaged: {error}. Take it away, and --resume writes it anew."
            ) from error
        bounds = fields.pop("negative_elbo")
        plain: dict[str, Any] = {name: array.tolist() for name, array in fields.items()}
        return cls(negative_elbo=bounds, **plain)


def measure(run: Run, splits: Splits, limit: int, *, is_pruned: bool) -> Measures:
    """Measures the best model of a run on the first `limit` validation examples."""
    x = splits.examples("validation", min(limit, splits.num_validation))
    sides = bound(run.model, x)
    return Measures(
        negative_elbo=sides.negative_elbo,
        rate=float(np.mean(sides.rate)),
        active_units=latent_use(run.model, x).num_active,
        accuracy=_probe(run.model, splits, x),
        history=run.history()["val_negative_elbo"],
        is_pruned=is_pruned,
    )


def _probe(model: VAE, splits: Splits, x) -> float:
    """The linear probe's accuracy on x, the first validation examples; NaN without classes."""
    labels, new_labels = _classes(splits.train_labels), _classes(splits.validation_labels)
    if labels is None or new_labels is None:
        return math.nan
    number = min(_PROBED, splits.num_train)
    if not 2 <= len(np.unique(labels[:number])) <= _MOST_CLASSES:
        return math.nan
    return linear_probe(
        model.embed(splits.examples("train", number)),
        labels[:number],
        model.embed(x),
        new_labels[: num_rows(x)],
    )


def _classes(labels: np.ndarray | None) -> np.ndarray | None:
    """Labels as names of classes; None where there are none, or numbers that are no whole ones."""
    if labels is None or labels.ndim != 1:
        return None
    if labels.dtype.kind == "f" and not np.array_equal(labels, np.round(labels)):
        return None
    return labels.astype(str)


def linear_probe(
    z: np.ndarray, labels: np.ndarray, new_z: np.ndarray, new_labels: np.ndarray
) -> float:
    """Share of new examples whose label a logistic regression tells from standardised embeddings.

    Args:
        z, labels: what it is fitted to, [N, D] and [N].
        new_z, new_labels: what it is tested on.

    References:
        Alain and Bengio, Understanding intermediate layers using linear classifier probes, 2016,
        arXiv:1610.01644.
    """
    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=5000))
    return float(probe.fit(z, labels).score(new_z, new_labels))

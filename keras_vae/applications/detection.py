"""From scores to decisions: a threshold with a stated false-positive rate, and a calibrated detector."""

import dataclasses
import math
import os
from typing import Any

import numpy as np
import pandas as pd
import tensorflow as tf
from scipy import stats

from keras_vae import _files, pictures
from keras_vae._parts import check_known, check_share
from keras_vae.applications.scores import SCORES
from keras_vae.applications.scoring import AnomalyScore, attributions
from keras_vae.data.tables import encode, read_frame
from keras_vae.models import VAE, need_vae
from keras_vae.noise import as_seed
from keras_vae.training import Run
from keras_vae.training.results import examples

__all__ = ["Detection", "Detector", "Threshold", "calibrate", "detect_run"]

_NORMAL = 10_000  # training examples that a score is fitted on at most
_SHOWN = 8  # anomalies in a picture


@dataclasses.dataclass(frozen=True, kw_only=True)
class Threshold:
    """The score above which an example is called anomalous; `calibrate` makes it.

    Attributes:
        value: in units of the score.
        num_examples: how many examples it was calibrated on.
        false_positive_rate: what was asked for: at most this share of normal examples, in the mean
            over calibration sets, lies above.
        interval: within which the rate of this very threshold lies.
        confidence: the probability with which it does.
        contamination: what was asked for instead: this share of the training examples lies above.
    """

    value: float
    num_examples: int
    false_positive_rate: float | None = None
    interval: tuple[float, float] | None = None
    confidence: float | None = None
    contamination: float | None = None

    @classmethod
    def of(
        cls, scores: np.ndarray, *, false_positive_rate: float = 0.05, confidence: float = 0.95
    ) -> "Threshold":
        """The threshold from scores of normal examples that the model was not trained on.

            value = the k-th smallest of n scores,    k = ceil((n + 1) (1 - rate))

        A new normal example, exchangeable with those, then lies above with probability at most
        `rate` (split conformal prediction), whatever the distribution of the scores. Given the n
        scores, the rate is Beta(n + 1 - k, k) distributed, whence the interval. (The value is put as
        much above that score as another runtime may round it up by.)

        Args:
            scores: float [n].
            false_positive_rate: in (0, 1).
            confidence: in (0, 1), of the interval.

        Raises:
            ValueError: for too few scores for the rate; the message says how many are needed.

        Example:
            >>> threshold = Threshold.of(np.arange(1.0, 100.0), false_positive_rate=0.1)
            >>> round(threshold.value, 2)
            90.0
            >>> [round(end, 3) for end in threshold.interval]
            [0.05, 0.166]

        References:
            Vovk, Conditional validity of inductive conformal predictors, 2012, arXiv:1209.2673.
            Bates et al., Testing for Outliers with Conformal p-values, 2021, arXiv:2104.08279.
        """
        shares = {"false_positive_rate": false_positive_rate, "confidence": confidence}
        check_share("Threshold", proper=True, **shares)
        scores = np.asarray(scores, np.float64)
        if not np.isfinite(scores).all():
            raise ValueError(
                f"{np.sum(~np.isfinite(scores))} of the {scores.size} scores are NaN or infinite, of which no "
                "threshold can be made. Expected finite scores."
            )
        n = scores.size
        above = math.floor((n + 1) * false_positive_rate * (1 + 1e-12))  # n + 1 - k
        if above < 1:
            raise ValueError(
                f"A false-positive rate of {false_positive_rate:g} cannot be told from {n} normal "
                f"examples. Expected at least {math.ceil(1 / false_positive_rate) - 1}. Hold out more, or ask "
                "for a higher rate."
            )
        k = n + 1 - above
        at, *beyond = np.sort(scores)[k - 1 : k + 1]
        rounding = 1e-5 * max(1.0, abs(at))  # what another runtime may be off by
        tail = (1.0 - confidence) / 2.0
        low, high = stats.beta(above, k).ppf([tail, 1.0 - tail])
        return cls(
            value=float(min([at + rounding, *((at + score) / 2 for score in beyond)])),
            false_positive_rate=float(false_positive_rate),
            interval=(float(low), float(high)),
            confidence=float(confidence),
            num_examples=n,
        )

    @classmethod
    def of_contaminated(cls, scores: np.ndarray, contamination: float) -> "Threshold":
        """The threshold above which that share of the scores lies: scikit-learn's `contamination`.

        Args:
            scores: float [n], of training examples some of which are anomalous.
            contamination: share of anomalies, in (0, 0.5].
        """
        check_share("Threshold", proper=True, most=0.5, contamination=contamination)
        value = np.percentile(scores, 100.0 * (1.0 - contamination))
        return cls(value=float(value), num_examples=len(scores), contamination=float(contamination))


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Detector:
    """A model, a score and a threshold: what flags examples, here and where it is exported to.

    Attributes:
        score: the score, ready for any data.
        threshold: above it an example is anomalous.
    """

    score: AnomalyScore
    threshold: Threshold

    def __call__(self, x) -> np.ndarray:
        """The score of every example, float64 [N]."""
        return self.score(x)

    def is_anomaly(self, x) -> np.ndarray:
        """Whether every example is anomalous, bool [N]."""
        return self(x) > self.threshold.value

    def attributions(self, x) -> np.ndarray:
        """What each element adds to the reconstruction score, float32 like x: a heat map, in nats."""
        score = self.score
        return attributions(score.vae, x, num_samples=score.num_samples, seed=score.seed)

    # What `export` asks of a detector.

    @property
    def seed(self) -> list[int]:
        """The seed with which the exported `score` gives what this detector gives, two words."""
        return as_seed(self.score.seed).numpy().tolist()

    def of_batch(self, batch, seed: tf.Tensor) -> tf.Tensor:
        """The score of every row of a batch of tensors, float32 [B]; `seed` is int32 [2]."""
        return self.score.of_batch(batch, self.score.noise_of(seed))

    def to_json(self) -> dict[str, Any]:
        """The score and the threshold in words and numbers, for the metadata of an export."""
        return {
            "score": self.score.name,
            "num_samples": self.score.num_samples,
            "seed": self.seed,
            **dataclasses.asdict(self.threshold),
        }


def calibrate(
    vae: VAE,
    normal,
    held_out,
    score: str = "elbo",
    *,
    false_positive_rate: float = 0.05,
    confidence: float = 0.95,
    num_samples: int = 32,
    seed=0,
) -> Detector:
    """A detector whose threshold keeps a stated false-positive rate.

    Args:
        vae: the model, trained on `normal`.
        normal: array [N, *event], or a dict of arrays: what the score is fitted on, where it has to
            be.
        held_out: normal examples that neither training nor the score has seen, likewise.
        score: a name in `SCORES`.
        false_positive_rate: share of normal examples that may be flagged.
        confidence: of the interval in which the rate lies.
        num_samples: draws of z per example.
        seed: integer or pair of 32-bit integers.

    Raises:
        ValueError: for an unknown score, data that do not fit the model, or too few held-out
            examples for the rate.

    Example:
        >>> from keras_vae import likelihoods, networks
        >>> vae = VAE(*networks.mlp(8, latent_dim=2, hidden=16), likelihood=likelihoods.Bernoulli())
        >>> bits = np.random.default_rng(0).integers(0, 2, [200, 8])
        >>> detector = calibrate(vae, bits[:100], bits[100:], false_positive_rate=0.1)
        >>> bool(detector.is_anomaly(bits[100:]).mean() <= 0.1)
        True
    """
    need_vae(vae, "calibrate")
    fitted = AnomalyScore.fit(vae, normal, score, num_samples=num_samples, seed=seed)
    threshold = Threshold.of(
        fitted(held_out), false_positive_rate=false_positive_rate, confidence=confidence
    )
    return Detector(score=fitted, threshold=threshold)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Detection:
    """What a detector says of examples.

    Attributes:
        detector: the detector.
        x: array [N, *event], or a dict of arrays.
        scores: float64 [N].
        of: what the examples are, in words.
    """

    detector: Detector
    x: Any
    scores: np.ndarray
    of: str

    @property
    def is_anomaly(self) -> np.ndarray:
        """Whether each is above the threshold, bool [N]."""
        return self.scores > self.detector.threshold.value

    def rows(self) -> list[tuple[str, str]]:
        """Rows of (what, value) for a table."""
        threshold, flagged = self.detector.threshold, int(self.is_anomaly.sum())
        low, high = threshold.interval or (math.nan, math.nan)
        return [
            ("examples", f"{len(self.scores):,}, {self.of}"),
            ("score", f"{self.detector.score.name}, {self.detector.score.num_samples} draws"),
            (
                "threshold",
                f"{threshold.value:.4f}, from {threshold.num_examples:,} normal examples",
            ),
            (
                "false-positive rate",
                f"at most {threshold.false_positive_rate:.2%} asked for; within {low:.2%} and "
                f"{high:.2%} with {threshold.confidence:.0%} confidence",
            ),
            ("anomalies", f"{flagged:,} ({flagged / len(self.scores):.2%})"),
        ]

    def write(self, path: str | os.PathLike[str]) -> None:
        """Writes a CSV file with the columns row, score, is_anomaly."""
        columns = {
            "row": np.arange(len(self.scores)),
            "score": self.scores,
            "is_anomaly": self.is_anomaly.astype(int),
        }
        text = pd.DataFrame(columns).to_csv(index=False, lineterminator="\n")
        _files.write(path, text)

    def draw(self, path: str | os.PathLike[str], value_range: tuple[float, float] = (0, 1)) -> None:
        """Draws a histogram of the scores and, of images, the worst ones beside their heat maps."""
        x, event = (
            self.x["x"] if isinstance(self.x, dict) else self.x,
            self.detector.score.vae.event_shape,
        )
        worst = np.argsort(-self.scores, kind="stable")[:_SHOWN]
        images = heat = None
        if pictures.is_image(event):
            part = tf.nest.map_structure(lambda array: array[worst], self.x)
            images, heat = x[worst], self.detector.attributions(part).sum(axis=-1)
        pictures.anomalies(
            path,
            self.scores,
            self.detector.threshold.value,
            name=self.detector.score.name.replace("_", " "),
            of=self.of,
            images=images,
            heat_maps=heat,
            value_range=value_range,
        )


def detect_run(
    run: Run,
    score: str = "elbo",
    *,
    data: str | None = None,
    split: str = "test",
    limit: int | None = None,
    **options: Any,
) -> Detection:
    """Looks for anomalies with the model of a run, calibrated on its validation examples.

    Args:
        run: the run.
        score: a name in `SCORES`.
        data: another source of examples, as `data.load` takes it, read as the run's own were; of a
            run on a table, a .csv or .parquet file, all of whose rows are looked at.
        split: "train", "validation" or "test" of that source, or of the run's own.
        limit: only the first so many examples.
        **options: as `calibrate` takes them.
    """
    check_known("score", score, SCORES)
    if not run.data.num_validation:
        raise ValueError(
            f"{run.path} was trained without validation examples, and a threshold is calibrated on them. "
            "Use `calibrate` with normal examples of your own."
        )
    normal = run.data.examples("train", min(run.data.num_train, _NORMAL))
    held_out = run.data.examples("validation")
    detector = calibrate(run.model, normal, held_out, score, **options)
    if data is not None and run.data.columns:
        x, of = _rows_of(run, data, limit), f"rows of {os.path.basename(data)}"
    else:
        splits = run.data
        if data is not None:
            recipe = dataclasses.replace(
                run.recipe, data=data, protocol=splits.protocol, batch_size=1
            )
            splits = recipe.load_data()
        x, of = examples(splits, split, limit), f"{splits.name} {split}"
    return Detection(detector=detector, x=x, scores=detector(x), of=of)


def _rows_of(run: Run, path: str, limit: int | None) -> Any:
    """The rows of a table in a file, in their order, as a run's model takes them."""
    frame, names = read_frame(path), [column.name for column in run.data.columns]
    known = frame[[name for name in frame.columns if name in names]]  # the rest was skipped
    values = encode(known[:limit], run.data.columns)
    if run.data.has_missing:
        return {"x": values, "mask": np.asarray(~np.isnan(values), np.float32)}
    return values

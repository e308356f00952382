"""Anomaly detection as scikit-learn knows it: fit on normal rows, flag those that are unlike them."""

import dataclasses
from typing import Any

import numpy as np
from sklearn.base import OutlierMixin

from keras_vae._parts import check_count, check_known, check_share
from keras_vae.applications._base import VAEEstimator
from keras_vae.applications.detection import Detector, Threshold, calibrate
from keras_vae.applications.scores import SCORES
from keras_vae.applications.scoring import AnomalyScore
from keras_vae.data import Splits

__all__ = ["AnomalyDetector"]


@dataclasses.dataclass(kw_only=True, eq=False, repr=False)
class AnomalyDetector(OutlierMixin, VAEEstimator):
    """Flags rows or images that a VAE of normal ones finds unlikely.

    The threshold is calibrated on the rows that training held out, for a false-positive rate; or,
    where some of the training rows are anomalous themselves, such that a share `contamination` of
    them is flagged. Scores are functions of the row alone and of `random_state`: they are the same
    every time, in every order, and in the exported files.

    Args:
        anomaly_score: "elbo", "log_likelihood", "reconstruction", "relative_error", "latent_distance",
            "likelihood_regret" or "typicality": see `anomaly_scores`.
        num_samples: draws of z per row; more make the score less noisy.
        false_positive_rate: share of normal rows that may be flagged, in (0, 1).
        confidence: of `false_positive_rate_interval_`.
        contamination: share of anomalies among the training rows, in (0, 0.5]. Such a share, those
            that a first model finds worst, is left out when the model is trained again, and that
            share of all training rows is flagged. None: the training rows are normal.
        validation_fraction: share of the rows that is held out: training stops by them, and the
            threshold is calibrated on them.

    The other arguments are those of `VAEEstimator`.

    Attributes:
        offset_: rows with a lower `score_samples` are anomalies.
        detector_: the `Detector`: score and threshold of the model.
        false_positive_rate_interval_: within which the false-positive rate lies, with probability
            `confidence`; None with a `contamination`.

    Raises:
        ValueError: from `fit`, where too few rows are held out for the rate.

    Example:
        >>> normal = np.random.default_rng(0).normal(size=(300, 2)) @ [[1.0, 0.9], [0.0, 0.4]]
        >>> detector = AnomalyDetector(latent_dim=1, epochs=5, validation_fraction=0.2).fit(normal)
        >>> detector.predict([[0.0, 0.0], [9.0, -9.0]])
        array([ 1, -1])

    References:
        An and Cho, Variational Autoencoder based Anomaly Detection using Reconstruction
        Probability, SNU Data Mining Center, 2015.
    """

    anomaly_score: str = "elbo"
    num_samples: int = 32
    false_positive_rate: float = 0.05
    confidence: float = 0.95
    contamination: float | None = None
    validation_fraction: float = 0.2

    def fit(self, X, y=None):
        """Trains on rows that are normal, or nearly all of them, and sets the threshold.

        Args:
            X: rows [N, D], or images [N, H, W] or [N, H, W, C].
            y: ignored.
        """
        self._check()
        super().fit(X)
        if self.contamination is not None:
            given = self._given(X)
            worst = np.argsort(self._scores(given), kind="stable")
            kept = np.sort(worst[: len(worst) - int(self.contamination * len(worst))])
            self._fit(given.iloc[kept] if hasattr(given, "iloc") else given[kept])
            threshold = Threshold.of_contaminated(self._scores(given), self.contamination)
            self.detector_ = dataclasses.replace(self.detector_, threshold=threshold)
        self.offset_ = -self.detector_.threshold.value
        self.false_positive_rate_interval_ = self.detector_.threshold.interval
        return self

    def score_samples(self, X) -> np.ndarray:
        """How normal rows are: the negative score, float64 [N]; higher = more normal."""
        return -self._scores(X)

    def decision_function(self, X) -> np.ndarray:
        """`score_samples(X) - offset_`, float64 [N]: below 0 for anomalies."""
        return self.score_samples(X) - self.offset_

    def predict(self, X) -> np.ndarray:
        """-1 for anomalies and 1 for normal rows, int [N]."""
        return np.where(self.decision_function(X) < 0, -1, 1)

    def attributions(self, X) -> np.ndarray:
        """What each element adds to the reconstruction score, float32 like X: a heat map, in nats."""
        batch = self._batch(X)
        return self.detector_.attributions(batch).reshape(np.shape(X))

    def export(self, path, **options: Any):
        """Writes the model, its score and its threshold for other runtimes.

        The signature `score` gives `anomaly_score`, which is `-score_samples` for the seed in the
        metadata, beside the threshold. See `keras_vae.export.export` for the options.
        """
        _ = self.model  # refuses one that is not fitted
        return super().export(path, detector=self.detector_, **options)

    def _scores(self, X) -> np.ndarray:
        batch = self._batch(X)  # refuses a detector that is not fitted
        return self.detector_(batch)

    def _train(self, splits: Splits) -> None:
        super()._train(splits)
        normal, held_out = splits.examples("train"), splits.examples("validation")
        if self.contamination is None:
            self.detector_ = calibrate(
                self.model_,
                normal,
                held_out,
                self.anomaly_score,
                false_positive_rate=self.false_positive_rate,
                confidence=self.confidence,
                num_samples=self.num_samples,
                seed=self.seed_,
            )
            return
        fitted = AnomalyScore.fit(
            self.model_, normal, self.anomaly_score, num_samples=self.num_samples, seed=self.seed_
        )
        worst = Threshold.of_contaminated(fitted(normal), self.contamination)
        self.detector_ = Detector(score=fitted, threshold=worst)

    def _check(self) -> None:
        check_known("score", self.anomaly_score, SCORES)
        check_count("AnomalyDetector", num_samples=self.num_samples)
        shares = {
            "false_positive_rate": self.false_positive_rate,
            "confidence": self.confidence,
        }
        check_share("AnomalyDetector", proper=True, **shares)
        if self.contamination is not None:
            check_share("AnomalyDetector", proper=True, most=0.5, contamination=self.contamination)

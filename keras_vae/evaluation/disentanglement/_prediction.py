"""Scores from how well factors are predicted from z: fitted on one half of the rows, scored on the other."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy.stats import entropy
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler, scale
from sklearn.tree import DecisionTreeClassifier

from keras_vae._parts import check_count
from keras_vae.evaluation.disentanglement._arrays import checked

_ALL: Any = (
    None  # dimensions at every split: of fewer, noise is chosen where nothing else is offered
)


def sap(z, factors, *, seed: int = 0) -> float:
    """Separated attribute predictability: by how much the dimension that predicts a factor best is ahead
    of the next, mean over factors.

        SAP = 1/F sum_f (accuracy_f(z_first) - accuracy_f(z_second))

    The accuracy is that of thresholds on the one dimension, balanced over the values of the factor.
    It is 1 / K by chance for a factor of K values, so the score of a perfect representation is not 1
    but 1 - mean of 1 / K. What `mutual_information_gap` asks of information, this asks of a
    classifier.

    Args:
        z: representation [N, D].
        factors: whole numbers [N, F].
        seed: of the halves of the rows.

    Raises:
        ValueError: for arrays that do not fit each other, a factor of one value, or too few rows.

    Example:
        >>> factors = np.array([[0, 0], [0, 1], [1, 0], [1, 1]] * 50)
        >>> round(sap(factors, factors), 1)
        0.5

    References:
        Kumar, Sattigeri and Balakrishnan, Variational Inference of Disentangled Latent Concepts from
        Unlabeled Observations, 2017, arXiv:1711.00848, section 3 (for categorical factors; it takes
        R^2 for ordered ones).
    """
    z, factors = checked(z, factors)
    z = scale(z)  # trees see no differences below 1e-7
    gaps = []
    for values, train, test in _halves(factors, seed):
        accuracies = []
        for dimension in range(z.shape[1]):
            one = z[:, [dimension]]
            thresholds = DecisionTreeClassifier(
                max_leaf_nodes=values.max() + 1, class_weight="balanced", random_state=seed % 2**32
            )
            guessed = thresholds.fit(one[train], values[train]).predict(one[test])
            accuracies.append(balanced_accuracy_score(values[test], guessed))
        second, first = np.sort(accuracies)[-2:]
        gaps.append(first - second)
    return float(np.mean(gaps))


@dataclasses.dataclass(frozen=True, kw_only=True)
class DCI:
    """Disentanglement, completeness and informativeness.

    Attributes:
        importance: share of each dimension in predicting each factor, float64 [D, F]; columns sum to
            one.
        informativeness: accuracy of predicting a factor from all of z, mean over factors.
    """

    importance: np.ndarray
    informativeness: float

    @property
    def disentanglement(self) -> float:
        """Whether a dimension matters to one factor only: 1 - entropy over factors, mean weighted by how
        much a dimension matters.
        """
        spread = 1.0 - _entropies(self.importance, axis=1)
        weights = self.importance.sum(axis=1)
        return float(np.average(spread, weights=weights)) if weights.any() else 0.0

    @property
    def completeness(self) -> float:
        """Whether one dimension alone matters to a factor: 1 - entropy over dimensions, mean over factors."""
        return float(np.mean(1.0 - _entropies(self.importance, axis=0)))


def dci(z, factors, *, num_trees: int = 20, seed: int = 0) -> DCI:
    """Disentanglement, completeness and informativeness from the importances of a random forest.

        P[d, f] = importance of z_d in predicting v_f
        disentanglement = sum_d weight_d (1 - H_F(P[d, :]))    completeness = 1/F sum_f (1 - H_D(P[:, f]))

    with entropies H over normalised rows and columns, in units of their largest value. Duplicated
    dimensions cost completeness and no disentanglement; a dimension with two factors the reverse.
    Importances do not say whether a prediction is any good: read them beside informativeness, which
    is an accuracy (not the error of the paper), 1 / K by chance for K values.

    Args:
        z: representation [N, D].
        factors: whole numbers [N, F].
        num_trees: of the forest of every factor.
        seed: of the halves of the rows, and of the trees.

    Raises:
        ValueError: for arrays that do not fit each other, a factor of one value, or too few rows.

    Example:
        >>> factors = np.array([[0, 0], [0, 1], [1, 0], [1, 1]] * 50)
        >>> found = dci(factors, factors)
        >>> found.disentanglement, found.completeness, found.informativeness
        (1.0, 1.0, 1.0)

    References:
        Eastwood and Williams, A Framework for the Quantitative Evaluation of Disentangled
        Representations, ICLR 2018, https://openreview.net/forum?id=By-7dz-AZ
    """
    check_count("dci", num_trees=num_trees)
    z, factors = checked(z, factors)
    z = scale(z)  # trees see no differences below 1e-7
    importances, accuracies = [], []
    for values, train, test in _halves(factors, seed):
        forest = RandomForestClassifier(num_trees, max_features=_ALL, random_state=seed % 2**32)
        forest.fit(z[train], values[train])
        importances.append(forest.feature_importances_)
        accuracies.append(forest.score(z[test], values[test]))
    return DCI(importance=np.stack(importances, axis=1), informativeness=float(np.mean(accuracies)))


def explicitness(z, factors, *, seed: int = 0) -> float:
    """Whether the values of the factors can be read from z by linear classifiers: the mean area under
    their ROC curves, of one value against the others.

    1 is perfect and 1/2 chance. Says nothing of single dimensions: a rotation changes nothing. A value
    in the middle of a dimension is not linear in it: of an ordered factor with many values even z =
    factors is far from 1.

    Args:
        z: representation [N, D].
        factors: whole numbers [N, F].
        seed: of the halves of the rows.

    Raises:
        ValueError: for arrays that do not fit each other, a factor of one value, or too few rows.

    Example:
        >>> factors = np.array([[0, 0], [0, 1], [1, 0], [1, 1]] * 50)
        >>> explicitness(factors, factors)
        1.0

    References:
        Ridgeway and Mozer, Learning Deep Disentangled Embeddings with the F-Statistic Loss, 2018,
        arXiv:1802.05312, section 3.
    """
    z, factors = checked(z, factors)
    areas = []
    for values, train, test in _halves(factors, seed):
        classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
        for value in range(values.max() + 1):
            classifier.fit(z[train], values[train] == value)
            areas.append(
                roc_auc_score(values[test] == value, classifier.decision_function(z[test]))
            )
    return float(np.mean(areas))


def _halves(factors: np.ndarray, seed: int) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Every factor's values [N], and rows to fit on and to test on, with each value in both."""
    for values in factors.T:
        rows = np.arange(len(values))
        train, test = train_test_split(
            rows, test_size=0.5, stratify=values, random_state=seed % 2**32
        )
        yield values, np.asarray(train), np.asarray(test)


def _entropies(importance: np.ndarray, axis: int) -> np.ndarray:
    """Entropies along an axis, 1 being the largest; of what has no importance at all, 1."""
    total = importance.sum(axis=axis, keepdims=True)
    even = np.full_like(importance, 1.0 / importance.shape[axis])
    shares = np.divide(importance, total, out=even, where=total > 0)
    return np.asarray(entropy(shares, axis=axis, base=importance.shape[axis]))

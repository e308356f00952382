"""Scores from rows that share the value of one factor: which of them is it?"""

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from keras_vae._parts import check_count
from keras_vae.evaluation.disentanglement._arrays import alive, checked

_NUMBERS_AT_ONCE = 2**22


def beta_vae_score(
    z,
    factors,
    *,
    num_train: int = 10_000,
    num_test: int = 5_000,
    batch_size: int = 64,
    seed: int = 0,
) -> float:
    """Whether a linear classifier sees from pairs of rows which factor they share: its accuracy.

        point = 1/L sum_l |z(x_l) - z(x'_l)|,    v_f(x_l) = v_f(x'_l) for one f, all else at random

    1 / F is chance. The easiest of the scores: a rotated representation can pass it, since a linear
    classifier may use several dimensions for a factor.

    Args:
        z: representation [N, D].
        factors: whole numbers [N, F].
        num_train, num_test: points to fit the classifier on, and to score it on.
        batch_size: pairs that a point is the mean of, L.
        seed: of what is drawn. Rows are drawn from those given, with replacement.

    Raises:
        ValueError: for arrays that do not fit each other, a factor of one value, or too few rows.

    References:
        Higgins, Matthey, Pal, Burgess, Glorot, Botvinick, Mohamed and Lerchner, beta-VAE: Learning
        Basic Visual Concepts with a Constrained Variational Framework, ICLR 2017,
        https://openreview.net/forum?id=Sy2fzU9gl
    """
    z, factors = checked(z, factors)
    check_count("beta_vae_score", batch_size=batch_size)
    least = factors.shape[1]  # every factor is shared once
    check_count("beta_vae_score", least, num_train=num_train, num_test=num_test)
    z = z[:, alive(z)]
    draws = np.random.default_rng(seed % 2**64)

    def points(rows: np.ndarray, factor: int) -> np.ndarray:
        partners = _sharing(factors[:, factor], rows, draws)
        return np.abs(z[rows] - z[partners]).mean(axis=1)

    def examples(number: int) -> tuple[np.ndarray, np.ndarray]:
        shared = np.arange(number) % factors.shape[1]
        made = np.empty([number, z.shape[1]])
        for factor in range(factors.shape[1]):
            places = np.flatnonzero(shared == factor)
            for part in _parts(places, batch_size * z.shape[1]):
                rows = draws.integers(len(z), size=[len(part), batch_size])
                made[part] = points(rows, factor)
        return made, shared

    if not z.shape[1]:
        return 1.0 / factors.shape[1]
    classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    return float(classifier.fit(*examples(num_train)).score(*examples(num_test)))


def factor_vae_score(
    z,
    factors,
    *,
    num_train: int = 10_000,
    num_test: int = 5_000,
    batch_size: int = 64,
    seed: int = 0,
) -> float:
    """Whether the dimension that varies least among rows that share a factor tells which one: the
    accuracy of a majority vote.

        vote = (argmin_d var(z_d over L rows with the same v_f) / var(z_d), f)

    1 / F is chance, as a share here where the paper has per cent. 1 also where a factor is spread over
    several dimensions, as long as these hold no other. It has no say about dimensions without
    variance: those with a standard deviation below 0.05, and below 0.05 of the widest dimension's, have
    no vote, and if all are, the score is chance.

    Args:
        z: representation [N, D].
        factors: whole numbers [N, F].
        num_train, num_test: votes to learn each dimension's factor from, and to score that on.
        batch_size: rows that share a factor's value, L, at least 2.
        seed: of what is drawn. Rows are drawn from those given, with replacement.

    Raises:
        ValueError: for arrays that do not fit each other, a factor of one value, or too few rows.

    References:
        Kim and Mnih, Disentangling by Factorising, 2018, arXiv:1802.05983, section 4 (L = 100 and 800
        votes there; the defaults are those of Locatello et al., 2018, arXiv:1811.12359).
    """
    z, factors = checked(z, factors)
    check_count("factor_vae_score", least=2, batch_size=batch_size)
    least = factors.shape[1]  # every factor is shared once
    check_count("factor_vae_score", least, num_train=num_train, num_test=num_test)
    z = z[:, alive(z)]
    if not z.shape[1]:
        return 1.0 / factors.shape[1]
    z = z / z.std(axis=0)
    draws = np.random.default_rng(seed % 2**64)

    def votes(number: int) -> np.ndarray:
        """How often the factor shared was f while dimension d varied least, [D, F]."""
        counts = np.zeros([z.shape[1], factors.shape[1]], np.int64)
        shared = np.arange(number) % factors.shape[1]
        for factor in range(factors.shape[1]):
            for part in _parts(np.flatnonzero(shared == factor), batch_size * z.shape[1]):
                first = draws.integers(len(z), size=[len(part), 1])
                rows = _sharing(factors[:, factor], np.repeat(first, batch_size, axis=1), draws)
                least = z[rows].var(axis=1).argmin(axis=1)
                counts[:, factor] += np.bincount(least, minlength=z.shape[1])
        return counts

    decided = votes(num_train).argmax(axis=1)
    tested = votes(num_test)
    return float(tested[np.arange(len(decided)), decided].sum() / tested.sum())


def _sharing(values: np.ndarray, rows: np.ndarray, draws: np.random.Generator) -> np.ndarray:
    """For every one of `rows` another with the same of `values`, or itself, at random."""
    order, counts = np.argsort(values, kind="stable"), np.bincount(values)
    begins = np.cumsum(counts) - counts
    wanted = values[rows]
    return order[begins[wanted] + draws.integers(counts[wanted])]


def _parts(places: np.ndarray, numbers_each: int) -> list[np.ndarray]:
    """The places in pieces that need little memory."""
    return np.array_split(places, len(places) * numbers_each // _NUMBERS_AT_ONCE + 1)

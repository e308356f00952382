import numpy as np
from scipy.stats import entropy
from sklearn.metrics import mutual_info_score

from keras_vae._parts import check_count
from keras_vae.evaluation.disentanglement._arrays import checked


def mutual_information(z, factors, *, num_bins: int = 20) -> np.ndarray:
    """What every dimension tells of every factor, in nats.

        I(z_d; v_f) = sum_{b, v} p(b, v) log (p(b, v) / (p(b) p(v)))

    over the bins b of z_d, `num_bins` of equal width between its extremes, with shares of rows as
    probabilities. That is too large by about (bins - 1)(values - 1) / 2N, and at most log(num_bins):
    of a factor with more values than bins not all can be told.

    Args:
        z: representation [N, D].
        factors: whole numbers [N, F].
        num_bins: intervals that a dimension is divided into, at least 2.

    Returns:
        float64 [D, F].

    Raises:
        ValueError: for arrays that do not fit each other, a factor of one value, or too few rows.

    Example:
        >>> factors = np.array([[0, 0], [0, 1], [1, 0], [1, 1]] * 5)
        >>> mutual_information(factors + 0.5, factors).round(3).tolist()
        [[0.693, 0.0], [0.0, 0.693]]
    """
    check_count("mutual_information", least=2, num_bins=num_bins)
    z, factors = checked(z, factors)
    low, high = z.min(axis=0), z.max(axis=0)
    width = np.where(high > low, high - low, 1.0)
    bins = np.minimum(((z - low) / width * num_bins).astype(np.int64), num_bins - 1)
    known = [[mutual_info_score(values, b) for values in factors.T] for b in bins.T]
    return np.maximum(known, 0.0)


def mutual_information_gap(z, factors, *, num_bins: int = 20) -> float:
    """MIG: by how much the dimension that knows a factor best is ahead of the next, mean over factors.

        MIG = 1/F sum_f (I(z_first; v_f) - I(z_second; v_f)) / H(v_f)

    1 where every factor is in one dimension and in no other; 0 where two dimensions share every
    factor, as after a rotation by 45 degrees. A dimension may hold several factors without losing
    anything: `modularity` sees that.

    Args:
        z: representation [N, D].
        factors: whole numbers [N, F].
        num_bins: see `mutual_information`; a factor of more values than bins cannot reach 1.

    Raises:
        ValueError: see `mutual_information`.

    Example:
        >>> factors = np.array([[0, 0], [0, 1], [1, 0], [1, 1]] * 5)
        >>> round(mutual_information_gap(factors, factors), 3)
        1.0

    References:
        Chen, Li, Grosse and Duvenaud, Isolating Sources of Disentanglement in VAEs, 2018,
        arXiv:1802.04942. They integrate q(z_d|x) where this counts posterior locations in bins, as
        Locatello et al., 2018, arXiv:1811.12359 do.
    """
    known = np.sort(mutual_information(z, factors, num_bins=num_bins), axis=0)
    _, factors = checked(z, factors)
    entropies = [entropy(np.bincount(values)) for values in factors.T]
    return float(np.mean((known[-1] - known[-2]) / entropies))


def modularity(z, factors, *, num_bins: int = 20) -> float:
    """Whether every dimension knows of one factor only, mean over dimensions.

        modularity = 1/D sum_d (1 - sum_{f not first} I(z_d; v_f)^2 / ((F - 1) I(z_d; v_first)^2))

    1 also where several dimensions know the same factor, and where some factors are known to none.
    Dimensions without any information are left out; if that is all of them, it is 0. One of pure
    noise has some, from chance, and counts.

    Args:
        z: representation [N, D].
        factors: whole numbers [N, F].
        num_bins: see `mutual_information`.

    Raises:
        ValueError: see `mutual_information`.

    Example:
        >>> factors = np.array([[0, 0], [0, 1], [1, 0], [1, 1]] * 5)
        >>> modularity(factors[:, [0, 0, 1]], factors)
        1.0

    References:
        Ridgeway and Mozer, Learning Deep Disentangled Embeddings with the F-Statistic Loss, 2018,
        arXiv:1802.05312, section 3.
    """
    squared = mutual_information(z, factors, num_bins=num_bins) ** 2
    most = squared.max(axis=1)
    informed = most > 1e-20  # rounding of a table with no information
    if not informed.any():
        return 0.0
    others = squared.sum(axis=1) - most
    return float(np.mean(1.0 - others[informed] / (most[informed] * (squared.shape[1] - 1))))

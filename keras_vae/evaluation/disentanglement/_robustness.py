import numpy as np

from keras_vae._parts import check_share
from keras_vae.evaluation.disentanglement._arrays import checked


def interventional_robustness(z, factors, *, quantile: float = 0.99) -> float:
    """IRS: how little a dimension moves while its factor is held and all others change.

        IRS_d = max_f 1 - E_v [Q(|z_d - E[z_d | v_f = v]|  given v_f = v)] / max |z_d - E z_d|

    1 where each dimension is a function of one factor; the mean over dimensions is weighted by how far
    they reach, the denominator, so that dead ones have no say (and a change of one dimension's unit
    moves the score). Q is a quantile of the rows: the largest deviation, the paper's, grows with
    their number. Not 0 for noise: what is beyond the quantile counts as robust.

    Args:
        z: representation [N, D].
        factors: whole numbers [N, F], independent of each other.
        quantile: Q, a share of the rows; 1 for the largest deviation.

    Raises:
        ValueError: for arrays that do not fit each other, a factor of one value, or too few rows.

    Example:
        >>> factors = np.array([[0, 0], [0, 1], [1, 0], [1, 1]] * 5)
        >>> interventional_robustness(factors, factors)
        1.0

    References:
        Suter, Miladinovic, Schoelkopf and Bauer, Robustly Disentangled Causal Mechanisms: Validating
        Deep Representations for Interventional Robustness, 2018, arXiv:1811.00007.
    """
    check_share("interventional_robustness", quantile=quantile)
    z, factors = checked(z, factors)
    reach = np.abs(z - z.mean(axis=0)).max(axis=0)
    moving = reach > 0
    if not moving.any():
        return 0.0
    z, reach = z[:, moving], reach[moving]
    moved = [
        np.mean([_deviation(z[values == value], quantile) for value in np.unique(values)], axis=0)
        for values in factors.T
    ]
    return float(np.average(1.0 - np.min(moved, axis=0) / reach, weights=reach))


def _deviation(z: np.ndarray, quantile: float) -> np.ndarray:
    """How far rows are from their mean, in each dimension."""
    return np.quantile(np.abs(z - z.mean(axis=0)), quantile, axis=0)

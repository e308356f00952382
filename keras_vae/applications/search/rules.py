"""When a difference counts: between sizes, and between a run that is going on and those before it."""

from collections.abc import Sequence

import numpy as np

_FEWEST = 3  # runs to their end before one is stopped early


def difference(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    """The mean of a - b and its standard error, paired: example by example, and repeat by repeat.

        SE^2 = var_n(mean_r d) / N + var_r(mean_n d) / R,    d = a - b;    the second for R > 1 only

    What makes an example hard is hard for both, so this is far smaller than the error of either mean.

    Args:
        a, b: numbers of the same examples, [R, N] each.

    Returns:
        mean, standard error.

    Example:
        >>> nats, error = difference(np.array([[1.0, 3.0, 5.0]]), np.array([[0.0, 3.0, 3.0]]))
        >>> print(f"{nats:.2f} ± {error:.2f}")
        1.00 ± 0.58
    """
    d = a - b
    variance = np.var(d.mean(axis=0), ddof=1) / d.shape[1]
    if len(d) > 1:
        variance += np.var(d.mean(axis=1), ddof=1) / len(d)
    return float(d.mean()), float(np.sqrt(variance))


def falls_behind(
    history: Sequence[float], finished: Sequence[Sequence[float]], margin: float, first: int
) -> bool:
    """The median stopping rule: whether a run is so far behind others that it is not worth its end.

    It is, where its best validation bound so far is above the median of the best so far, at the same
    epoch, of the runs that came to their end, by more than the margin.

    Args:
        history: validation negative ELBO after each epoch, nats.
        finished: the same of the runs that came to their end; fewer than 3 stop nothing.
        margin: nats.
        first: the first epoch, from 1, at which a run may be stopped.

    Example:
        >>> falls_behind([9, 8], [[7, 5, 3], [7, 6, 4], [8, 7, 2]], margin=1.0, first=2)
        True

    References:
        Golovin et al., Google Vizier, KDD 2017, section 3.2.2.
    """
    epoch = len(history)
    if epoch < first or len(finished) < _FEWEST:
        return False
    median = np.median([min(other[:epoch]) for other in finished])
    return bool(min(history) > median + margin)

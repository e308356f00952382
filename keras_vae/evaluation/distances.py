"""How far apart two sets of features are: NumPy arrays in, numbers out."""

from collections.abc import Iterator

import numpy as np
import scipy.linalg
from scipy.spatial.distance import cdist

from keras_vae._parts import check_count

_ROWS = 1000  # at once


def frechet_distance(a: np.ndarray, b: np.ndarray) -> float:
    """The squared Fréchet distance between normal distributions fitted to two sets of features.

        |mean_a - mean_b|^2 + tr(cov_a + cov_b - 2 (cov_a cov_b)^(1/2))

    Of features of an Inception network trained on ImageNet it is known as FID; of any other features
    it has another size, and no published FID can be compared with it. It falls with the number of
    examples on either side: compare at the same numbers.

    Args:
        a, b: float [N, F] and [M, F]; N and M above F, better many times so.

    Example:
        >>> a = np.random.default_rng(0).normal(size=(500, 3))
        >>> round(frechet_distance(a, a + [2.0, 0.0, 0.0]), 3)
        4.0

    References:
        Heusel et al., GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash
        Equilibrium, 2017, arXiv:1706.08500.
    """
    a, b = _checked(a, b, least=2)
    cov_a, cov_b = (np.atleast_2d(np.cov(each, rowvar=False)) for each in (a, b))
    # The eigenvalues of cov_a cov_b are those of the symmetric cov_a^(1/2) cov_b cov_a^(1/2).
    values, vectors = scipy.linalg.eigh(cov_a)
    root = vectors * np.sqrt(np.maximum(values, 0.0)) @ vectors.T
    cross = np.sqrt(np.maximum(scipy.linalg.eigvalsh(root @ cov_b @ root), 0.0)).sum()
    apart = np.sum((a.mean(axis=0) - b.mean(axis=0)) ** 2)
    return float(apart + np.trace(cov_a) + np.trace(cov_b) - 2.0 * cross)


def kernel_distance(a: np.ndarray, b: np.ndarray) -> float:
    """The squared maximum mean discrepancy with the kernel (a.b / F + 1)^3, estimated without bias.

    What is known as KID of Inception's features. Unlike `frechet_distance` its expectation does not
    depend on the number of examples; of two sets of one distribution it is as often below zero as above.

    Args:
        a, b: float [N, F] and [M, F].

    References:
        Binkowski, Sutherland, Arbel and Gretton, Demystifying MMD GANs, 2018, arXiv:1801.01401.
    """
    a, b = _checked(a, b, least=2)

    def kernel_sum(x, y):
        blocks = np.array_split(x, -(-len(x) // _ROWS))
        return sum(float(np.sum((block @ y.T / x.shape[1] + 1.0) ** 3)) for block in blocks)

    def of_pairs(x):
        itself = np.sum((np.sum(x**2, axis=1) / x.shape[1] + 1.0) ** 3)
        return (kernel_sum(x, x) - itself) / (len(x) * (len(x) - 1))

    return float(of_pairs(a) + of_pairs(b) - 2.0 * kernel_sum(a, b) / (len(a) * len(b)))


def precision_recall(
    real: np.ndarray, generated: np.ndarray, num_neighbors: int = 3
) -> tuple[float, float]:
    """How much of what is generated is real, and how much of what is real is generated.

    Precision is the share of generated examples that lie within a ball around a real one, recall the
    share of real ones within a ball around a generated one; a ball reaches to the k-th neighbour in its
    own set. One outlier has a large ball: `density_coverage` is not misled by it.

    Args:
        real, generated: features, float [N, F] and [M, F].
        num_neighbors: k.

    References:
        Kynkäänniemi et al., Improved Precision and Recall Metric for Assessing Generative Models, 2019,
        arXiv:1904.06991.
    """
    check_count("precision_recall", num_neighbors=num_neighbors)
    real, generated = _checked(real, generated, least=num_neighbors + 1)
    precision = _num_balls(generated, real, num_neighbors) > 0
    recall = _num_balls(real, generated, num_neighbors) > 0
    return float(np.mean(precision)), float(np.mean(recall))


def density_coverage(
    real: np.ndarray, generated: np.ndarray, num_neighbors: int = 5
) -> tuple[float, float]:
    """How densely generated examples lie where real ones do, and how much of the real is covered.

        density  = 1/(kM) sum_j number of real balls that generated example j lies in
        coverage = share of real balls with a generated example inside

    Balls reach to the k-th neighbour among the real. Density is about 1 where both sets are of one
    distribution, and above it where generated ones crowd where real ones are densest; coverage is then
    about 1 - 2^-k.

    Args:
        real, generated: features, float [N, F] and [M, F].
        num_neighbors: k.

    References:
        Naeem et al., Reliable Fidelity and Diversity Metrics for Generative Models, 2020,
        arXiv:2002.09797.
    """
    check_count("density_coverage", num_neighbors=num_neighbors)
    real, generated = _checked(real, generated, least=num_neighbors + 1)
    density = np.mean(_num_balls(generated, real, num_neighbors)) / num_neighbors
    nearest = np.concatenate([rows.min(axis=1) for rows in _distances(real, generated)])
    return float(density), float(np.mean(nearest <= _radii(real, num_neighbors)))


def _radii(points: np.ndarray, num_neighbors: int) -> np.ndarray:
    """The distance of every point to its k-th neighbour among the others, [N]."""
    # Itself is the nearest of all, at distance 0.
    nearest = (np.partition(rows, num_neighbors) for rows in _distances(points, points))
    return np.concatenate([rows[:, num_neighbors] for rows in nearest])


def _num_balls(points: np.ndarray, centres: np.ndarray, num_neighbors: int) -> np.ndarray:
    """In how many of the balls around the centres every point lies, [len(points)]."""
    radii = _radii(centres, num_neighbors)
    counts = (np.sum(rows <= radii, axis=1) for rows in _distances(points, centres))
    return np.concatenate(list(counts))


def _distances(points: np.ndarray, others: np.ndarray) -> Iterator[np.ndarray]:
    """Distances of a few points after the other to all others, [..., len(others)].

    To the last bit the same whichever way they are asked for (matrix products would not be): points
    may lie on a ball's surface.
    """
    for rows in np.array_split(points, -(-len(points) // _ROWS)):
        yield cdist(rows, others)


def _checked(a: np.ndarray, b: np.ndarray, least: int) -> tuple[np.ndarray, np.ndarray]:
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if (
        a.ndim != 2
        or b.ndim != 2
        or a.shape[1] != b.shape[1]
        or not a.shape[1]
        or min(len(a), len(b)) < least
    ):
        raise ValueError(
            f"Expected two sets of features [N, F] with the same F, of at least {least} examples each. Received "
            f"shapes {a.shape} and {b.shape}."
        )
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ValueError("The features hold NaN or infinite values. Expected finite numbers.")
    return a, b

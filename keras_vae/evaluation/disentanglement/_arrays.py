"""What every score asks of its arrays."""

from typing import Any

import numpy as np

_DEAD = 0.05
"""Standard deviation in the units of latents under N(0, 1), as published, or in those of the widest."""


def checked(z: Any, factors: Any) -> tuple[np.ndarray, np.ndarray]:
    """A representation as float64 [N, D], and its factors as the numbers 0, 1, ... of their values, [N, F].

    Raises:
        ValueError: without factors, and for arrays that a score is not defined on.
    """
    if factors is None:
        raise ValueError(
            "A score of disentanglement needs the factors that made the data. Expected whole numbers [N, F]. "
            'Received: None. Data that have them: "dsprites" and "tfds:dsprites", as splits.factors("test").'
        )
    z, factors = np.asarray(z), np.asarray(factors)
    if z.ndim != 2 or factors.ndim != 2 or len(z) != len(factors):
        raise ValueError(
            "A score of disentanglement needs z [N, D] and factors [N, F] of the same N rows. Received shapes "
            f"{z.shape} and {factors.shape}."
        )
    if not len(z) or z.dtype.kind not in "fiub":
        raise ValueError(
            f"A score of disentanglement needs z of numbers, and at least one row. Received: {z.dtype} {z.shape}."
        )
    if z.shape[1] < 2 or factors.shape[1] < 2:
        raise ValueError(
            "Disentanglement is between dimensions and between factors. Expected at least 2 of each. Received: "
            f"{z.shape[1]} and {factors.shape[1]}."
        )
    if factors.dtype.kind not in "iu":
        raise ValueError(
            f"Factors are the numbers of their values. Expected whole numbers. Received: {factors.dtype}. "
            "Divide continuous ones into intervals first, for instance with numpy.digitize."
        )
    if not np.isfinite(z).all():
        raise ValueError("z holds NaN or infinite numbers. Expected none: has training diverged?")
    numbers = np.empty(factors.shape, np.int64)
    for factor, values in enumerate(factors.T):
        found, numbers[:, factor], counts = np.unique(
            values, return_inverse=True, return_counts=True
        )
        if len(found) < 2:
            raise ValueError(
                f"Factor {factor} has the same value, {found[0]}, in all {len(z):,} rows. Expected at least 2 "
                "values. Leave its column out, or take more rows."
            )
        if counts.min() < 2:
            raise ValueError(
                f"There are too few rows: value {found[counts.argmin()]} of factor {factor} stands in one of "
                f"{len(z):,} only. Expected at least 2 rows of every value; a hundred are better."
            )
    return z.astype(np.float64), numbers


def alive(z: np.ndarray) -> np.ndarray:
    """Which dimensions carry anything: whose standard deviation is above 0.05, or above 0.05 of the
    largest where that is small itself, [D].
    """
    deviations = z.std(axis=0)
    return deviations > _DEAD * min(1.0, deviations.max())

import abc
import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np


@dataclasses.dataclass(frozen=True, kw_only=True)
class Estimate(abc.ABC):
    """An estimate of log p(x) over a data set, that says what it is an estimate of and how it was made.

    Attributes:
        per_example: log p(x) of every example, nats, float64 [N].
        num_dimensions: number of elements of x in one example.
        monte_carlo_error: standard error of `mean` that comes from the finite number of samples, nats;
            NaN of a single sample. Where one sample outweighs all others it is larger than can be told.
        sha256: of the examples as the model saw them, in their order. Two estimates may be compared if
            it is the same for both, and `settings` too.
        measure: what p(x) is: a "probability", a "density", which columns have which, and whether what is
            missing counts too (`NotMIWAE`). "" where it was not said.
        is_exact: whether the prior's density is its own; under `priors.TwoStage` it is a bound, and so
            is then, however many samples there are, this estimate.
    """

    per_example: np.ndarray
    num_dimensions: int
    monte_carlo_error: float
    sha256: str
    measure: str = ""
    is_exact: bool = True

    @property
    @abc.abstractmethod
    def settings(self) -> Mapping[str, int | str]:
        """What the value of the estimate depends on, beside model and data."""

    @property
    def num_examples(self) -> int:
        return len(self.per_example)

    @property
    def mean(self) -> float:
        """Mean log p(x), nats per example."""
        return float(np.mean(self.per_example))

    @property
    def standard_error(self) -> float:
        """Standard error of `mean` over examples, nats; NaN for a single example."""
        return standard_error_of(self.per_example)

    @property
    def bits_per_dim(self) -> float:
        """-mean in bits per element of x, those that a mask hides too; lower is better."""
        return -self.mean / (math.log(2.0) * self.num_dimensions)

    @property
    def bits_per_dim_standard_error(self) -> float:
        return self.standard_error / (math.log(2.0) * self.num_dimensions)

    def __str__(self):
        settings = ", ".join(f"{name}={value}" for name, value in self.settings.items())
        relation, note = (
            ("=", "") if self.is_exact else (">=", ", a bound: the prior's density is one")
        )
        parts = [settings, f"{self.num_examples:,} examples", f"sha256 {self.sha256[:12]}"]
        if self.measure:
            parts.insert(1, self.measure)
        if math.isfinite(self.monte_carlo_error):
            parts.append(f"Monte Carlo error {self.monte_carlo_error:.3f} nats")
        nats = _with_error(self.mean, self.standard_error, 2)
        bits = _with_error(self.bits_per_dim, self.bits_per_dim_standard_error, 4)
        return f"log p(x) {relation} {nats} nats = {bits} bits/dim ({', '.join(parts)}{note})"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Difference:
    """How much higher one model's log p(x) is than another's, over the same examples.

    Attributes:
        mean: mean over examples of log p_a(x) - log p_b(x), nats; above zero where a is better.
        standard_error: of `mean` over examples, nats. What makes an example hard is hard for both
            models, so it is many times smaller than the error of either mean.
    """

    mean: float
    standard_error: float

    def __str__(self):
        return f"{self.mean:+.2f} +- {self.standard_error:.2f} nats"


def difference(a: Estimate, b: Estimate) -> Difference:
    """Compares two models by their log p(x) of the same examples.

        d_n = log p_a(x_n) - log p_b(x_n)

    Where an estimate is a bound (`is_exact`), its part in the difference is one.

    Args:
        a, b: estimates of one kind, with the same settings, of the same examples.

    Raises:
        ValueError: where the numbers cannot be compared: other examples, or the same under another
            protocol; another k, or number of temperatures or chains; another method; a probability
            against a density.

    Example:
        >>> from keras_vae.evaluation import LogLikelihood
        >>> about = dict(num_samples=100, num_dimensions=5, monte_carlo_error=0.0, sha256="5d41402a")
        >>> a = LogLikelihood(per_example=np.array([-1.0, -2.0, -3.0]), **about)
        >>> b = LogLikelihood(per_example=np.array([-1.5, -2.5, -3.8]), **about)
        >>> print(difference(a, b))
        +0.60 +- 0.10 nats
    """
    check_comparable(
        *(
            {"method": type(each).__name__, **each.settings, "sha256": each.sha256}
            | {"measure": each.measure}
            for each in (a, b)
        )
    )
    return difference_of(a.per_example, b.per_example)


def difference_of(a: np.ndarray, b: np.ndarray) -> Difference:
    """The `Difference` of log p(x) of the same examples under two models, [N] each."""
    return Difference(mean=float(np.mean(a - b)), standard_error=standard_error_of(a - b))


def check_comparable(a: dict[str, Any], b: dict[str, Any]) -> None:
    """Raises `ValueError` where two estimates do not agree in what is said of how they were made."""
    if differing := [name for name in a | b if a.get(name) != b.get(name)]:
        found = ", ".join(f"{name} {a.get(name)} and {b.get(name)}" for name in differing)
        raise ValueError(
            "Two likelihoods can be compared if they are of the same examples under the same protocol, both "
            f"probabilities or both densities, estimated in the same way. Received: {found}. Evaluate both models "
            "alike."
        )


def _with_error(value: float, error: float, digits: int) -> str:
    """A value, and its standard error where there is one."""
    return f"{value:.{digits}f}" + (f" +- {error:.{digits}f}" if math.isfinite(error) else "")


def log_mean_variance(log_sum: np.ndarray, log_sum_squares: np.ndarray, k: int) -> np.ndarray:
    """The variance of log mean w over k weights by the delta method, from log sum w and log sum w^2.

        var(log mean w) ~ var(w) / (k mean(w)^2) = k / (k - 1) (sum w^2 / (sum w)^2 - 1 / k)

    NaN of a single weight, which says nothing of how they vary.
    """
    if k == 1:
        return np.full_like(log_sum, math.nan)
    spread = np.exp(log_sum_squares - 2.0 * log_sum) - 1.0 / k
    return np.maximum(spread, 0.0) * k / (k - 1)


def standard_error_of(values: np.ndarray) -> float:
    """The standard error of the mean of values [N]; NaN of a single one."""
    if len(values) < 2:
        return math.nan
    return float(np.std(values, ddof=1) / math.sqrt(len(values)))

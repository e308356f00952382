"""Families over counts: 0, 1, 2, ...

Their log-probabilities are sums of deviances (Loader, Fast and Accurate Computation of Binomial
Probabilities, 2000), which are small where terms like x log x would cancel.
"""

import math
from typing import Any, ClassVar

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from keras_vae._parts import (
    Configurable,
    check_finite,
    check_positive,
    name_of,
    soft_clip,
    value_object,
)
from keras_vae.likelihoods._base import Likelihood
from keras_vae.likelihoods._stable import deviance, log1p, log_add_exp, softplus, stirling_error

tfd = tfp.distributions

_TWO_PI = 2.0 * math.pi


class _Counts(Likelihood, Configurable):
    """Families whose first parameter of a channel is the log of the mean, in units of `data_mean`."""

    data_mean: float | tuple[float, ...]
    log_mean: float | tuple[float, ...]
    log_stddev: float | tuple[float, ...]
    by_channel: ClassVar[tuple[str, ...]] = ("data_mean", "log_mean", "log_stddev")

    def __post_init__(self):
        super().__post_init__()
        check_finite(name_of(self), log_mean=self.log_mean)
        for mean in np.ravel(self.data_mean):
            check_positive(name_of(self), data_mean=float(mean))
        for stddev in np.ravel(self.log_stddev):
            check_positive(name_of(self), log_stddev=float(stddev))

    @property
    def support(self):
        return "a non-negative integer"

    @property
    def measure(self):
        return "probability"

    @property
    def location_bounds(self):
        return 0.0, float("inf")

    def _log_of_mean(self, raw: tf.Tensor) -> tf.Tensor:
        return tf.constant(np.log(self.data_mean), tf.float32) + soft_clip(raw)

    def contains(self, x):
        return (x >= 0) & (x == tf.floor(x)) & tf.math.is_finite(x)

    def features(self, x):
        mean, stddev = (tf.constant(each, tf.float32) for each in (self.log_mean, self.log_stddev))
        return (tf.math.log(1.0 + x) - mean) / stddev

    def _raw_of_mean(self, mean: np.ndarray) -> np.ndarray:
        return np.log(np.maximum(mean, 1e-3) / np.asarray(self.data_mean))


@value_object
class Poisson(_Counts):
    """p(x|z) = prod Poisson(x_i; rate_i), for counts 0, 1, 2, ... whose variance is their mean.

    The decoder gives log rates. Counts of most tables vary by more than that: the Poisson then takes
    noise for structure, and `NegativeBinomial` does not. Its values are probabilities, comparable
    with those of other families over counts, and with no density.

    Args:
        event_rank: number of trailing axes of one example.
        data_mean: a number, or one per channel: the network's rates are in units of it, within
            exp(-14) and exp(14) times it.
        log_mean, log_stddev: mean and standard deviation of log(1 + x) over the data, a number or one
            per channel: what an encoder of columns standardises by.

    Example:
        >>> log_prob = Poisson().log_prob(tf.math.log([[2.0]]), tf.constant([[3.0]]))
        >>> round(float(tf.exp(log_prob[0])), 4)  # 2^3 exp(-2) / 3!
        0.1804
    """

    event_rank: int = 1
    data_mean: float | tuple[float, ...] = 1.0
    log_mean: float | tuple[float, ...] = 0.0
    log_stddev: float | tuple[float, ...] = 1.0

    def params_size(self, channels):
        return channels

    def elementwise(self, params):
        return tfd.Poisson(log_rate=self._log_of_mean(params))

    def _log_prob_by_element(self, params, x):
        log_rate = self._log_of_mean(params)
        rate, positive = tf.exp(log_rate), tf.maximum(x, 1.0)
        apart = deviance((rate - positive) / positive, log_rate - tf.math.log(positive))
        log_prob = (
            -positive * apart - stirling_error(positive) - 0.5 * tf.math.log(_TWO_PI * positive)
        )
        return tf.where(x == 0.0, -rate, log_prob)

    def location(self, params):
        return tf.exp(self._log_of_mean(tf.cast(params, tf.float32)))

    def stddev(self, params):
        return tf.exp(0.5 * self._log_of_mean(tf.cast(params, tf.float32)))

    def params_for_mean(self, mean):
        return self._raw_of_mean(mean)


@value_object
class NegativeBinomial(_Counts):
    """p(x|z) = prod NB(x_i; mean_i, r_i), for counts that vary by more than their mean.

        p(x) = gamma(x + r) / (gamma(r) x!) (r / (r + mean))^r (mean / (r + mean))^x,
        Var[x] = mean + mean^2 / r

    The decoder gives `[log mean, log r]` per channel. r is the inverse dispersion, scVI's theta and
    TFP's `total_count`: towards infinity this is the `Poisson`, towards 0 most counts are 0. What
    others call dispersion is 1 / r.

    Args:
        event_rank: number of trailing axes of one example.
        data_mean: as of `Poisson`; r is within exp(-14) and exp(14).
        log_mean, log_stddev: as of `Poisson`.

    Example:
        >>> likelihood = NegativeBinomial()
        >>> params = tf.math.log([[4.0, 2.0]])  # mean 4, r 2: variance 4 + 16 / 2
        >>> float(likelihood.location(params)[0, 0]), round(float(likelihood.stddev(params)[0, 0]) ** 2, 4)
        (4.0, 12.0)

    References:
        Lopez et al., Deep generative modeling for single-cell transcriptomics, Nature Methods 15,
        2018, doi:10.1038/s41592-018-0229-2 (scVI; there r is one weight per gene).
    """

    event_rank: int = 1
    data_mean: float | tuple[float, ...] = 1.0
    log_mean: float | tuple[float, ...] = 0.0
    log_stddev: float | tuple[float, ...] = 1.0

    def params_size(self, channels):
        return 2 * channels

    def _logs(self, params: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The logs of the mean and of r."""
        mean, r = tf.split(tf.cast(params, tf.float32), 2, axis=-1)
        return self._log_of_mean(mean), soft_clip(r)

    def elementwise(self, params):
        log_mean, log_r = self._logs(params)
        return tfd.NegativeBinomial(tf.exp(log_r), logits=log_mean - log_r)

    def _log_prob_by_element(self, params, x):
        log_mean, log_r = self._logs(params)
        mean, r, positive = tf.exp(log_mean), tf.exp(log_r), tf.maximum(x, 1.0)
        total, log_x = positive + r, tf.math.log(positive)
        log_ratio = tf.math.log(total) - tf.math.log(r + mean)
        of_r = deviance((positive - mean) / (r + mean), log_ratio)
        of_x = deviance(
            (mean - positive) / positive * (r / (r + mean)), log_mean - log_x + log_ratio
        )
        errors = stirling_error(total) - stirling_error(r) - stirling_error(positive)
        sizes = 0.5 * (log_r - tf.math.log(total) - log_x - math.log(_TWO_PI))
        log_prob = errors + sizes - r * of_r - positive * of_x
        return tf.where(x == 0.0, -r * log1p(mean / r), log_prob)

    def location(self, params):
        return tf.exp(self._logs(params)[0])

    def stddev(self, params):
        log_mean, log_r = self._logs(params)
        return tf.exp(0.5 * (log_mean + softplus(log_mean - log_r)))

    def params_for_mean(self, mean):
        raw = self._raw_of_mean(mean)
        return np.concatenate([raw, np.zeros_like(raw)], axis=-1)


@value_object
class ZeroInflated(Likelihood, Configurable):
    """A family over counts with further zeros: each element is 0 with a probability of its own, and
    drawn from the family otherwise.

        p(0|z) = pi + (1 - pi) f(0),    p(x|z) = (1 - pi) f(x) for x > 0

    The decoder gives the family's parameters, then one logit of pi per channel. For counts of things
    that may not apply at all (claims of those who do not drive). A `NegativeBinomial` with a small r
    has many zeros too: compare the two by their log-likelihood before believing in a second cause.

    Args:
        likelihood: `Poisson` or `NegativeBinomial`.

    Example:
        >>> likelihood = ZeroInflated(likelihood=Poisson())
        >>> params = tf.constant([[0.0, 0.0]])  # rate 1, pi 1/2
        >>> round(float(tf.exp(likelihood.log_prob(params, tf.zeros([1, 1])))[0]), 4)
        0.6839

    References:
        Lambert, Zero-Inflated Poisson Regression, Technometrics 34, 1992, doi:10.2307/1269547.
    """

    likelihood: Poisson | NegativeBinomial

    def __post_init__(self):
        if not isinstance(self.likelihood, _Counts):
            raise ValueError(
                f"{name_of(self)} adds zeros to a family over counts: a density cannot be mixed with the "
                f"probability of a single number. Expected Poisson or NegativeBinomial. Received: "
                f"{self.likelihood!r}"
            )
        object.__setattr__(self, "event_rank", self.likelihood.event_rank)

    def check_channels(self, channels):
        self.likelihood.check_channels(channels)

    @property
    def support(self):
        return self.likelihood.support

    @property
    def measure(self):
        return self.likelihood.measure

    @property
    def location_bounds(self):
        return self.likelihood.location_bounds

    def params_size(self, channels):
        return self.likelihood.params_size(channels) + channels

    def _inner_and_logit(self, params: Any) -> tuple[tf.Tensor, tf.Tensor]:
        params = tf.cast(params, tf.float32)
        channels = params.shape[-1] // self.params_size(1)
        sizes = [self.likelihood.params_size(channels), channels]
        inner, logit = tf.split(params, sizes, axis=-1)
        return inner, logit

    def elementwise(self, params):
        inner, logit = self._inner_and_logit(params)
        # TFP's class gives the two components the logits +l and -l, which lie 2 l apart.
        return tfd.Inflated(self.likelihood.elementwise(inner), inflated_loc_logits=0.5 * logit)

    def _log_prob_by_element(self, params, x):
        inner, logit = self._inner_and_logit(params)
        log_prob = self.likelihood._log_prob_by_element(inner, x)
        return tf.where(x == 0.0, log_add_exp(logit, log_prob), log_prob) - softplus(logit)

    def location(self, params):
        inner, logit = self._inner_and_logit(params)
        return tf.sigmoid(-logit) * self.likelihood.location(inner)

    def stddev(self, params):
        """Of the variance (1 - pi) (Var[f] + pi E[f]^2)."""
        inner, logit = self._inner_and_logit(params)
        mean, stddev = self.likelihood.location(inner), self.likelihood.stddev(inner)
        return tf.sqrt(tf.sigmoid(-logit) * (stddev**2 + tf.sigmoid(logit) * mean**2))

    def contains(self, x):
        return self.likelihood.contains(x)

    def features(self, x):
        return self.likelihood.features(x)

    def params_for_mean(self, mean):
        """Those with pi one half."""
        inner = self.likelihood.params_for_mean(2.0 * np.asarray(mean))
        return np.concatenate([inner, np.zeros_like(mean)], axis=-1)

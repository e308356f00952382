"""Families over values between bounds: bits, shares, category numbers."""

import math
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from keras_vae._parts import (
    Configurable,
    check_count,
    check_share,
    name_of,
    soft_clip,
    value_object,
)
from keras_vae.likelihoods._base import Likelihood
from keras_vae.likelihoods._stable import log_gamma, log_rising, softplus

tfd, tfb = tfp.distributions, tfp.bijectors


@value_object
class Bernoulli(Likelihood, Configurable):
    """p(x|z) = prod Bernoulli(x_i; sigmoid(logits_i)), for data in {0, 1}.

    The decoder gives logits; probabilities are never formed on the way to a log-probability, so 40
    nats stay 40. On grey values this is not a likelihood: binarise the data, or use
    `ContinuousBernoulli` or `Normal`.

    Args:
        event_rank: number of trailing axes of one example.

    Example:
        >>> float(Bernoulli().log_prob(tf.constant([-40.0]), tf.constant([1.0])))
        -40.0

    References:
        Kingma and Welling, Auto-Encoding Variational Bayes, 2013, arXiv:1312.6114, appendix C.1.
    """

    event_rank: int = 1

    @property
    def support(self):
        return "0 or 1"

    @property
    def remedy(self):
        return (
            "Grey images: load them under the protocol 'dynamic' or 'static', or keep 'grey' and use "
            "ContinuousBernoulli or DiscretizedLogistic."
        )

    @property
    def location_bounds(self):
        return 0.0, 1.0

    @property
    def alphabet(self):
        return 0.0, 1.0

    @property
    def visible_within(self):
        return 7.0  # sigmoid(7) = 0.999, less than half of 1 / 256 from 1

    def params_size(self, channels):
        return channels

    def elementwise(self, params):
        return tfd.Bernoulli(logits=params, dtype=tf.float32)

    def _log_prob_by_element(self, params, x):
        return x * params - softplus(params)

    def contains(self, x):
        return (x == 0) | (x == 1)

    def params_for_mean(self, mean):
        mean = np.clip(mean, 1e-2, 1 - 1e-2)
        return np.log(mean) - np.log1p(-mean)


@value_object
class ContinuousBernoulli(Likelihood, Configurable):
    """p(x|z) proportional to prod lambda_i^x_i (1 - lambda_i)^(1 - x_i), for data in [0, 1],
    normalised.

    What a cross-entropy on grey pixels leaves out to be a likelihood. Its values are densities,
    which may be above one: they are not comparable with a `Bernoulli`'s. The mean, which is shown,
    is not lambda.

    Args:
        event_rank: number of trailing axes of one example.

    References:
        Loaiza-Ganem and Cunningham, The continuous Bernoulli, 2019, arXiv:1907.06845.
    """

    event_rank: int = 1

    @property
    def support(self):
        return "a number in [0, 1]"

    @property
    def remedy(self):
        return "Divide the data by their largest value, or use Normal."

    @property
    def location_bounds(self):
        return 0.0, 1.0

    def params_size(self, channels):
        return channels

    def elementwise(self, params):
        return tfd.ContinuousBernoulli(logits=params)

    def location(self, params):
        """The mean, (1 + coth(logit / 2)) / 2 - 1 / logit, from ops that every runtime has."""
        logit = tf.cast(params, tf.float32)
        small = tf.cast(tf.abs(logit) < 1.0, tf.float32)  # its two poles cancel: the Taylor series
        even = tf.minimum(logit**2, 1.0)
        series = 0.5 + logit * (1 / 12 - even * (1 / 720 - even * (1 / 30240 - even / 1209600)))
        far = logit + small * (1.0 - logit)
        exact = 0.5 + 0.5 / tf.tanh(0.5 * far) - 1.0 / far
        return small * series + (1.0 - small) * exact

    def contains(self, x):
        return (x >= 0) & (x <= 1)

    def params_for_mean(self, mean):
        mean = np.clip(np.asarray(mean, np.float64), 1e-2, 1 - 1e-2)
        low, high = np.full_like(mean, -200.0), np.full_like(mean, 200.0)
        for _ in range(
            50
        ):  # mean(logit) = 1 / (1 - exp(-logit)) - 1 / logit rises with the logit: bisection
            logit = 0.5 * (low + high) + 1e-9
            above = 1.0 / -np.expm1(-logit) - 1.0 / logit > mean
            low, high = np.where(above, low, logit), np.where(above, logit, high)
        return (0.5 * (low + high)).astype(np.float32)


_LEAST, _MOST = 1e-30, 1.0 - 2.0**-24  # float32 between 0 and 1 whose logs are finite


@value_object
class Beta(Likelihood, Configurable):
    """p(x|z) = prod Beta(x_i; a_i, b_i), for shares: numbers between 0 and 1.

        mean = a / (a + b) = sigmoid(logit),    a + b = 2 exp(log concentration)

    The decoder gives `[logit, log concentration]` per channel; zeros are the uniform distribution.
    Unlike `ContinuousBernoulli` it has a spread of its own beside the mean, and may have a mode in the
    middle. At 0 and 1 themselves the density is 0 or infinite, so they are refused, or, with
    `squeeze`, moved inside.

    Args:
        event_rank: number of trailing axes of one example.
        squeeze: the density is that of x for which squeeze + (1 - 2 squeeze) x is Beta distributed;
            above 0, the ends 0 and 1 may be observed. 0.5 / 256 puts grey levels k / 255 into the
            middle of their 256th of (0, 1).

    Example:
        >>> log_prob = Beta().log_prob(tf.zeros([1, 2]), tf.constant([[0.3]]))
        >>> round(float(tf.exp(log_prob[0])), 5)
        1.0

    References:
        Smithson and Verkuilen, A better lemon squeezer?, Psychological Methods 11, 2006,
        doi:10.1037/1082-989X.11.1.54 (mean and concentration; moving the ends inside).
    """

    event_rank: int = 1
    squeeze: float = 0.0

    def __post_init__(self):
        super().__post_init__()
        check_share(name_of(self), most=0.49, squeeze=self.squeeze)

    @property
    def support(self):
        return "a number in [0, 1]" if self.squeeze else "a number in (0, 1), without its ends"

    @property
    def remedy(self):
        if self.squeeze:
            return ""
        return "Data with zeros or ones take Beta(squeeze=...), such as 0.5 / 256 for pixels."

    @property
    def location_bounds(self):
        return 0.0, 1.0

    def params_size(self, channels):
        return 2 * channels

    def _concentrations(self, params: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """A and b. Their sum is within 7e-4 and 6e3: beyond, float32 does not resolve the density."""
        logit, log_sum = tf.split(params, 2, axis=-1)
        logit, both = soft_clip(logit), 2.0 * tf.exp(soft_clip(log_sum, 6.0, 8.0))
        return both * tf.sigmoid(logit), both * tf.sigmoid(-logit)

    def elementwise(self, params):
        beta = tfd.Beta(*self._concentrations(params))
        if not self.squeeze:
            return beta
        unsqueezed = tfb.Scale(1.0 / (1.0 - 2.0 * self.squeeze))(tfb.Shift(-self.squeeze))
        return unsqueezed(beta)

    def _log_prob_by_element(self, params, x):
        a, b = self._concentrations(params)
        inside = tf.clip_by_value(self.squeeze + (1.0 - 2.0 * self.squeeze) * x, _LEAST, _MOST)
        powers = (a - 1.0) * tf.math.log(inside) + (b - 1.0) * tf.math.log(1.0 - inside)
        log_beta = log_gamma(a) - log_rising(b, a)
        return powers - log_beta + math.log1p(-2.0 * self.squeeze)

    def location(self, params):
        logit, _ = tf.split(tf.cast(params, tf.float32), 2, axis=-1)
        mean = (tf.sigmoid(soft_clip(logit)) - self.squeeze) / (1.0 - 2.0 * self.squeeze)
        return tf.clip_by_value(mean, 0.0, 1.0)

    def stddev(self, params):
        a, b = self._concentrations(tf.cast(params, tf.float32))
        both = a + b
        return tf.sqrt(a * b / (both + 1.0)) / both / (1.0 - 2.0 * self.squeeze)

    def sample(self, params, seed):
        """One draw from p(x|z), in x's shape; `seed` is int32 [2]."""
        ends = (0.0, 1.0) if self.squeeze else (_LEAST, _MOST)
        return tf.clip_by_value(super().sample(params, seed), *ends)

    def contains(self, x):
        return (x >= 0) & (x <= 1) if self.squeeze else (x > 0) & (x < 1)

    def params_for_mean(self, mean):
        inside = self.squeeze + (1.0 - 2.0 * self.squeeze) * np.clip(mean, 1e-2, 1 - 1e-2)
        logit = np.log(inside) - np.log1p(-inside)
        return np.concatenate([logit, np.zeros_like(logit)], axis=-1)


@value_object
class Categorical(Likelihood, Configurable):
    """p(x|z) = prod Categorical(x_i; softmax(logits_i)), for data that are category numbers 0 ... K
    - 1.

    x holds the numbers themselves (not one-hot vectors); the decoder gives K logits per channel.
    What is shown is the most probable category.

    Args:
        num_categories: number of categories K, at least 2.
        event_rank: number of trailing axes of one example.

    Example:
        >>> Categorical(num_categories=4).log_prob(tf.zeros([2, 3 * 4]), tf.zeros([2, 3])).shape
        TensorShape([2])
    """

    num_categories: int
    event_rank: int = 1

    def __post_init__(self):
        super().__post_init__()
        check_count(name_of(self), least=2, num_categories=self.num_categories)

    def params_size(self, channels):
        return self.num_categories * channels

    @property
    def support(self):
        return f"an integer in 0 ... {self.num_categories - 1}"

    @property
    def location_bounds(self):
        return 0.0, self.num_categories - 1.0

    @property
    def alphabet(self):
        return tuple(map(float, range(self.num_categories)))

    def elementwise(self, params):
        return tfd.Categorical(logits=self._by_category(params), dtype=tf.float32)

    def location(self, params):
        return self.elementwise(tf.cast(params, tf.float32)).mode()

    def _by_category(self, values):
        """Values [..., C K] as [..., C, K]."""
        channels = values.shape[-1] // self.num_categories
        split = tf.concat([tf.shape(values)[:-1], [channels, self.num_categories]], axis=0)
        return tf.ensure_shape(
            tf.reshape(values, split), [*values.shape[:-1], channels, self.num_categories]
        )

    def expected(self, params):
        logits = self._by_category(tf.cast(params, tf.float32))
        return tf.reshape(tf.nn.softmax(logits), tf.shape(params))

    def decided(self, expected):
        return tf.cast(tf.argmax(self._by_category(expected), axis=-1), tf.float32)

    def features(self, x):
        one_hot = tf.one_hot(tf.cast(x, tf.int32), self.num_categories)
        shape: Any = x.shape
        size = self.features_size(shape[-1])
        return tf.reshape(one_hot, tf.concat([tf.shape(x)[:-1], [size]], axis=0))

    def features_size(self, channels):
        return self.num_categories * channels

    def params_for_mean(self, mean):
        """Those of the binomial distribution of that mean."""
        most = self.num_categories - 1
        share = np.clip(np.asarray(mean, np.float64) / most, 1e-2, 1 - 1e-2)[..., np.newaxis]
        k = np.arange(self.num_categories)
        choices = np.array([math.log(math.comb(most, i)) for i in k])
        logits = choices + k * np.log(share) + (most - k) * np.log1p(-share)
        return logits.reshape(*np.shape(mean)[:-1], -1).astype(np.float32)

    def contains(self, x):
        return (x >= 0) & (x < self.num_categories) & (x == tf.floor(x))

"""Families over values between bounds: bits, shares, category numbers."""

import math
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from keras_vae._parts import (
    Configurable,
    check_count,
    name_of,
    value_object,
)
from keras_vae.likelihoods._base import Likelihood

tfd = tfp.distributions


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

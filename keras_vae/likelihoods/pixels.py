"""Families over the levels of digitised images."""

from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from keras_vae._parts import (
    Configurable,
    check_count,
    check_positive,
    name_of,
    scale_of,
    value_object,
)
from keras_vae.likelihoods._base import Likelihood
from keras_vae.likelihoods._stable import softplus

tfd = tfp.distributions


@value_object
class DiscretizedLogistic(Likelihood, Configurable):
    """p(x|z) = prod over pixels of a mixture of logistics, of which each level takes its interval.

        p(x_i|z) = sum_k pi_k (sigmoid((x_i + h - loc_k) / s_k) - sigmoid((x_i - h - loc_k) / s_k))

    with levels 2 h apart, of which the lowest and the highest take the tails. These are probabilities
    of 8-bit pixels, so -log p / (log 2 x number of pixels) is a number of bits per dimension that
    compares with a lossless compressor's and with papers'. A density's (`Normal` on grey values) does
    not. Channels are independent given z: the PixelCNN++ conditions green on red, which this does
    not.

    The decoder gives `[loc, 2 log s]` per channel, or, for several components, `[logits, loc, 2 log
    s]` of as many numbers each, in units of half the range of x around its middle.

    Args:
        num_components: of the mixture; 1: a single logistic.
        event_rank: number of trailing axes of one example.
        num_levels: how many values a pixel has, from 0 on, evenly spaced.
        maximum: the highest of them: 1 for pixels divided by 255 (the protocol "grey"), 255 for pixels
            as they are ("raw").

    Example:
        >>> likelihood = DiscretizedLogistic(maximum=255.0)
        >>> levels = tf.range(256.0)[:, tf.newaxis]
        >>> probabilities = tf.exp(likelihood.log_prob(tf.zeros([256, 2]), levels))
        >>> round(float(tf.reduce_sum(probabilities)), 5)
        1.0

    References:
        Kingma et al., Improving Variational Inference with Inverse Autoregressive Flow, 2016,
        arXiv:1606.04934, appendix C (a single logistic).
        Salimans et al., PixelCNN++, 2017, arXiv:1701.05517, section 2.1 (the mixture).
    """

    num_components: int = 1
    event_rank: int = 1
    num_levels: int = 256
    maximum: float = 1.0

    def __post_init__(self):
        super().__post_init__()
        check_count(name_of(self), num_components=self.num_components)
        check_count(name_of(self), least=2, num_levels=self.num_levels)
        check_positive(name_of(self), maximum=self.maximum)

    @property
    def support(self):
        return f"one of {self.num_levels} evenly spaced levels from 0 to {self.maximum:g}"

    @property
    def location_bounds(self):
        return 0.0, float(self.maximum)

    @property
    def alphabet(self):
        return tuple(_values(self.num_levels, self.maximum).tolist())

    @property
    def remedy(self):
        top = self.num_levels - 1
        return (
            f"Give num_levels and maximum as the data have them, or round: np.round(x * {top} / {self.maximum:g}) * "
            f"{self.maximum:g} / {top}."
        )

    def features(self, x):
        return x / self.maximum

    def params_size(self, channels):
        return (2 if self.num_components == 1 else 3 * self.num_components) * channels

    def _components(self, params: Any) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """The logits, locations and scales of the components of every element, [..., C, K] each."""
        params = tf.cast(params, tf.float32)
        parts = tf.split(params, 2 if self.num_components == 1 else 3, axis=-1)
        channels = params.shape[-1] // self.params_size(1)
        shape = tf.concat([tf.shape(params)[:-1], [channels, self.num_components]], axis=0)
        static = [*params.shape[:-1], channels, self.num_components]
        *logits, loc, log_variance = (tf.ensure_shape(tf.reshape(p, shape), static) for p in parts)
        return (*(logits or [tf.zeros_like(loc)]), loc, scale_of(log_variance))  # pyright: ignore[reportReturnType]

    def elementwise(self, params):
        return _Levels(*self._components(params), self.num_levels, self.maximum)

    def location(self, params):
        """The mean of the logistics, each cut off at both ends of the range: within half a level of
        the mean of the levels.
        """
        logits, loc, scale = self._components(params)
        tails = [tf.math.log(1.0 + tf.exp(-tf.abs(loc - end) / scale)) for end in (-1.0, 1.0)]
        inside = tf.clip_by_value(loc, -1.0, 1.0) + 1.0 + scale * (tails[0] - tails[1])
        mean = tf.reduce_sum(tf.nn.softmax(logits) * inside, axis=-1)
        return 0.5 * self.maximum * tf.clip_by_value(mean, 0.0, 2.0)

    def contains(self, x):
        level = x * ((self.num_levels - 1) / self.maximum)
        is_level = tf.abs(level - tf.round(level)) < 0.01
        return is_level & (level > -0.5) & (level < self.num_levels - 0.5)

    def params_for_mean(self, mean):
        """Those of components that are all alike, with a scale of a tenth of the range."""
        wanted = 2.0 * np.clip(np.asarray(mean, np.float64) / self.maximum, 1e-2, 1 - 1e-2)
        scale = 0.2
        low, high = np.full_like(wanted, -20.0), np.full_like(wanted, 20.0)
        for _ in range(50):  # the location rises with loc: bisection
            loc = 0.5 * (low + high)
            ends = (np.logaddexp(0.0, (loc + side) / scale) for side in (1.0, -1.0))
            above = scale * np.subtract(*ends) > wanted
            low, high = np.where(above, low, loc), np.where(above, loc, high)
        loc = np.repeat(0.5 * (low + high), self.num_components, axis=-1)
        log_variance = np.full_like(loc, 2.0 * np.log(scale))
        logits = [] if self.num_components == 1 else [np.zeros_like(loc)]
        return np.concatenate([*logits, loc, log_variance], axis=-1).astype(np.float32)


def _values(num_levels: int, maximum: float) -> np.ndarray:
    """The levels from 0 to `maximum`, float64 [num_levels]."""
    return np.arange(num_levels) * maximum / (num_levels - 1)


class _Levels(tfd.Distribution):
    """A mixture of logistics on [-1, 1] [..., K], rounded to levels from 0 to `maximum` [...]."""

    def __init__(self, logits, loc, scale, num_levels: int, maximum: float):
        parameters = dict(locals())
        self.logits, self.loc, self.scale = logits, loc, scale
        self.num_levels, self.maximum = num_levels, maximum
        super().__init__(
            dtype=tf.float32,
            reparameterization_type=tfd.NOT_REPARAMETERIZED,
            validate_args=False,
            allow_nan_stats=True,
            parameters=parameters,
            name="Levels",
        )

    def _batch_shape(self):
        return self.loc.shape[:-1]

    def _batch_shape_tensor(self):
        return tf.shape(self.loc)[:-1]

    def _event_shape(self):
        return tf.TensorShape([])

    def _event_shape_tensor(self):
        return tf.constant([], tf.int32)

    def _log_prob(self, value):
        """Of each component sigmoid(a) - sigmoid(b) = sigmoid(a) sigmoid(-b) (1 - exp(b - a)), whose
        factors are kept as logs: nothing cancels.
        """
        level = (tf.cast(value, tf.float32) * ((self.num_levels - 1) / self.maximum))[..., None]
        half = 1.0 / (self.num_levels - 1)
        middle = 2.0 * half * level - 1.0 - self.loc
        above, below = (middle + half) / self.scale, (middle - half) / self.scale
        width = 2.0 * half / self.scale
        log_width = tf.math.log(tf.tanh(0.5 * width)) + tf.math.log(1.0 + tf.exp(-width))
        is_below_top = tf.cast(level < self.num_levels - 1.5, tf.float32)
        is_above_bottom = tf.cast(level > 0.5, tf.float32)
        log_probs = is_below_top * (is_above_bottom * log_width - softplus(-above))
        log_probs -= is_above_bottom * softplus(below)
        if self.loc.shape[-1] == 1:
            return log_probs[..., 0]
        return tf.reduce_logsumexp(tf.nn.log_softmax(self.logits) + log_probs, axis=-1)

    def _sample_n(self, n, seed=None):
        which, where = tfp.random.split_seed(seed, n=2)
        choice = tfd.Categorical(logits=self.logits).sample(n, seed=which)
        chosen = tf.one_hot(choice, self.loc.shape[-1])
        loc, scale = (tf.reduce_sum(chosen * each, axis=-1) for each in (self.loc, self.scale))
        drawn = tfd.Logistic(loc, scale).sample(seed=where)
        level = tf.round(0.5 * (drawn + 1.0) * (self.num_levels - 1))
        level = tf.clip_by_value(level, 0.0, self.num_levels - 1.0)
        # Out of a table: a product with the step may be an ulp away from what data hold.
        values = _values(self.num_levels, self.maximum).astype(np.float32)
        return tf.gather(values, tf.cast(level, tf.int32))

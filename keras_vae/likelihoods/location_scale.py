"""Families with a location and a scale, for real numbers."""

import math
import numbers
from typing import Any, ClassVar

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from keras_vae._parts import (
    Configurable,
    StatefulPart,
    check_count,
    check_finite,
    check_positive,
    check_share,
    log_variance_of,
    name_of,
    register,
    scale_of,
    value_object,
)
from keras_vae.likelihoods._base import Likelihood

tfd = tfp.distributions


class _LocationScale(Likelihood, Configurable):
    """Families with a location and a scale: the scale a fixed number, or (None) given by the
    network.
    """

    scale: float | None
    data_mean: float | tuple[float, ...]
    data_stddev: float | tuple[float, ...]
    family: ClassVar[type[tfd.Distribution]]
    by_channel: ClassVar[tuple[str, ...]] = ("data_mean", "data_stddev")

    def __post_init__(self):
        super().__post_init__()
        if self.scale is not None:
            check_positive(name_of(self), scale=self.scale)
        check_finite(name_of(self), data_mean=self.data_mean)
        for stddev in np.ravel(self.data_stddev):
            check_positive(name_of(self), data_stddev=float(stddev))

    def params_size(self, channels):
        return 2 * channels if self.scale is None else channels

    def _loc_and_scale(self, params):
        if self.scale is not None:
            loc, scale = params, self.scale
        else:
            loc, log_variance = tf.split(params, 2, axis=-1)
            scale = scale_of(log_variance)
        if self.data_mean == 0.0 and self.data_stddev == 1.0:
            return loc, scale
        unit = tf.constant(self.data_stddev, tf.float32)
        return tf.constant(self.data_mean, tf.float32) + unit * loc, unit * scale

    def features(self, x):
        return (x - tf.constant(self.data_mean, tf.float32)) / tf.constant(
            self.data_stddev, tf.float32
        )

    def elementwise(self, params):
        return self.family(*self._loc_and_scale(params))

    def location(self, params):
        return self._loc_and_scale(tf.cast(params, tf.float32))[0]

    def _stddev_per_scale(self) -> float | tf.Tensor | None:
        """The standard deviation at scale 1; None where it is infinite."""
        return 1.0

    def stddev(self, params):
        loc, scale = self._loc_and_scale(tf.cast(params, tf.float32))
        unit = self._stddev_per_scale()
        return None if unit is None else tf.zeros_like(loc) + unit * scale

    def params_for_mean(self, mean):
        loc = (mean - np.asarray(self.data_mean)) / np.asarray(self.data_stddev)
        return loc if self.scale is not None else np.concatenate([loc, np.zeros_like(loc)], axis=-1)


@value_object
class Normal(_LocationScale):
    """p(x|z) = prod N(x_i; loc_i, scale_i^2), with its normaliser: a density, not a squared error.

    With `scale=None` the decoder gives `[loc, log_variance]` per channel, so every pixel of every
    image has a scale of its own; with a number, the scale is fixed and the decoder gives `loc` only
    (scale = 1/sqrt(2) makes the distortion the sum of squared errors plus a constant). For one
    learned scale see `SharedScaleNormal`.

    Args:
        scale: standard deviation, in units of `data_stddev`; None: given by the network.
        event_rank: number of trailing axes of one example.
        data_mean, data_stddev: a number, or one per channel: the network's location and scale are
            in units of this standard deviation from this mean, which standardises the data inside
            of the model.

    Example:
        >>> images = tf.zeros([4, 28, 28, 1])
        >>> Normal(scale=0.1, event_rank=3).log_prob(images, images).shape
        TensorShape([4])

    References:
        Kingma and Welling, Auto-Encoding Variational Bayes, 2013, arXiv:1312.6114, appendix C.2.
    """

    scale: float | None = None
    event_rank: int = 1
    data_mean: float | tuple[float, ...] = 0.0
    data_stddev: float | tuple[float, ...] = 1.0
    family: ClassVar[Any] = tfd.Normal

    @property
    def is_push_forward(self):
        return True

    def transform(self, params, noise):
        loc, scale = self._loc_and_scale(tf.cast(params, tf.float32))
        return loc + scale * noise


@value_object
class Laplace(_LocationScale):
    """p(x|z) = prod Laplace(x_i; loc_i, scale_i): an absolute error with its normaliser.

    Args:
        scale: the Laplace scale b, in units of `data_stddev` (standard deviation sqrt(2) b); None:
            given by the network as 2 log b.
        event_rank: number of trailing axes of one example.
        data_mean, data_stddev: as of `Normal`.
    """

    scale: float | None = None
    event_rank: int = 1
    data_mean: float | tuple[float, ...] = 0.0
    data_stddev: float | tuple[float, ...] = 1.0
    family: ClassVar[Any] = tfd.Laplace

    def _stddev_per_scale(self):
        return math.sqrt(2.0)


@value_object
class StudentT(_LocationScale):
    """p(x|z) = prod t_df(x_i; loc_i, scale_i): a Normal with heavy tails, for data with outliers.

    Args:
        df: degrees of freedom; towards infinity it is the Normal.
        scale: the scale (not the standard deviation), in units of `data_stddev`; None: given by the
            network.
        event_rank: number of trailing axes of one example.
        data_mean, data_stddev: as of `Normal`.

    References:
        Takahashi et al., Student-t Variational Autoencoder for Robust Density Estimation, IJCAI
        2018, doi:10.24963/ijcai.2018/374.
    """

    df: float = 5.0
    scale: float | None = None
    event_rank: int = 1
    data_mean: float | tuple[float, ...] = 0.0
    data_stddev: float | tuple[float, ...] = 1.0

    def __post_init__(self):
        super().__post_init__()
        check_positive(name_of(self), df=self.df)

    def elementwise(self, params):
        return tfd.StudentT(self.df, *self._loc_and_scale(params))

    def _stddev_per_scale(self):
        if isinstance(self.df, numbers.Real) and self.df <= 2:
            return None
        return tf.sqrt(self.df / (self.df - 2.0))


@register
class SharedScaleNormal(StatefulPart, Likelihood):
    """p(x|z) = prod N(x_i; loc_i, scale^2) with one learned scale for all of x.

    The scale is a weight of the likelihood, trained with the model; the decoder gives `loc` only.
    It balances distortion against rate by itself, where a fixed scale has to be tuned.

    Args:
        initial_scale: standard deviation to start from, in units of x.
        event_rank: number of trailing axes of one example.

    Example:
        >>> likelihood = SharedScaleNormal(initial_scale=0.5)
        >>> round(float(likelihood.scale), 6)
        0.5

    References:
        Rybkin, Daniilidis and Levine, Simple and Effective VAE Training with Calibrated Decoders,
        2020, arXiv:2006.13202 (the shared sigma of section 3).
    """

    def __init__(self, initial_scale: float = 1.0, event_rank: int = 1, **kwargs):
        super().__init__(**kwargs)
        check_count(name_of(self), event_rank=event_rank)
        start = log_variance_of(name_of(self), initial_scale=initial_scale)
        self.initial_scale, self.event_rank = float(initial_scale), event_rank
        log_variance = keras.initializers.Constant(start)
        self.log_variance = self.add_weight(shape=(), initializer=log_variance, name="log_variance")
        self.built = True

    @property
    def scale(self) -> tf.Tensor:
        """The standard deviation as it stands, float32 scalar."""
        return scale_of(tf.convert_to_tensor(self.log_variance))

    def params_size(self, channels):
        return channels

    def elementwise(self, params):
        return tfd.Normal(params, self.scale)

    def stddev(self, params):
        return tf.zeros_like(tf.cast(params, tf.float32)) + self.scale

    def params_for_mean(self, mean):
        return mean

    def get_config(self):
        return super().get_config() | {
            "initial_scale": self.initial_scale,
            "event_rank": self.event_rank,
        }


@register
class OptimalNormal(StatefulPart, Likelihood):
    """p(x|z) = prod N(x_i; loc_i, scale^2) with the one scale that fits a batch best: sigma-VAE.

        scale^2 = mean over the batch and the elements of (x - loc)^2

    In training the scale is that of the batch (over all replicas, all samples of z, and what a mask
    shows), and the gradient goes through it: the distortion is size / 2 log(mean squared error) plus
    a constant. For an `ELBO` the gradient is that of the scale held fixed, since the scale is at its
    best. It never has to be learned, so it is right from the first step, where `SharedScaleNormal`
    takes some hundreds; the decoder gives `loc` only. It is 9e-4 at least, in units of x.

    Evaluation, generation and exports use a stored scale, a moving average over the training batches
    of the squared errors, which only training changes. An ELBO in training is thus of another, better
    fitted, scale than the same batch's in evaluation.

    Args:
        initial_scale: the stored scale until training begins, in units of x.
        event_rank: number of trailing axes of one example.
        momentum: weight of the past in the moving average, per training batch.

    Example:
        >>> likelihood = OptimalNormal(initial_scale=0.5)
        >>> x, loc = tf.zeros([4, 6]), tf.fill([4, 6], 2.0)
        >>> log_prob = likelihood.log_prob(loc, x, training=True)
        >>> round(float(likelihood.scale), 3)  # one element's weight is that of the initial scale
        1.963

    References:
        Rybkin, Daniilidis and Levine, Simple and Effective VAE Training with Calibrated Decoders,
        2020, arXiv:2006.13202 (section 3.2; equation 6).
    """

    def __init__(
        self,
        initial_scale: float = 1.0,
        event_rank: int = 1,
        momentum: float = 0.99,
        **kwargs,
    ):
        super().__init__(**kwargs)
        check_count(name_of(self), event_rank=event_rank)
        log_variance_of(name_of(self), initial_scale=initial_scale)
        check_share(name_of(self), momentum=momentum)
        self.initial_scale, self.event_rank = float(initial_scale), event_rank
        self.momentum = float(momentum)
        self.squared_error = self._stored("squared_error", initial_scale**2)
        self.num_elements = self._stored("num_elements", 1.0)
        self.built = True

    @property
    def couples_examples(self):
        return True

    def _stored(self, name: str, value: float):
        return self.add_weight(
            shape=(),
            initializer=keras.initializers.Constant(value),
            trainable=False,
            name=name,
            aggregation="only_first_replica",  # all of them have the same
        )

    @property
    def scale(self) -> tf.Tensor:
        """The stored standard deviation, float32 scalar."""
        return _scale_of_mean(*map(tf.convert_to_tensor, (self.squared_error, self.num_elements)))

    def params_size(self, channels):
        return channels

    def elementwise(self, params):
        return tfd.Normal(params, self.scale)

    def log_prob(self, params, x, mask=None, training=False):
        if not training:
            return super().log_prob(params, x, mask)
        loc, x = tf.cast(params, tf.float32), tf.cast(x, tf.float32)
        observed = tf.broadcast_to(True if mask is None else tf.cast(mask, tf.bool), tf.shape(loc))
        error = tf.where(observed, tf.where(observed, x, 0.0) - loc, 0.0)
        num = tf.cast(observed, tf.float32)
        sums = _over_replicas([tf.reduce_sum(error**2), tf.reduce_sum(num)])
        for stored, now in zip((self.squared_error, self.num_elements), sums, strict=True):
            stored.assign(self.momentum * stored + tf.stop_gradient(now))
        log_prob = num * tfd.Normal(0.0, _scale_of_mean(*sums)).log_prob(error)
        return tf.reduce_sum(log_prob, axis=list(range(-self.event_rank, 0)))

    def stddev(self, params):
        return tf.zeros_like(tf.cast(params, tf.float32)) + self.scale

    def params_for_mean(self, mean):
        return mean

    def get_config(self):
        return super().get_config() | {
            "initial_scale": self.initial_scale,
            "event_rank": self.event_rank,
            "momentum": self.momentum,
        }


def _scale_of_mean(squared_error: tf.Tensor, num_elements: tf.Tensor) -> tf.Tensor:
    """The root of a mean square, 9e-4 at least."""
    mean = squared_error / tf.maximum(num_elements, 1.0)
    return tf.sqrt(tf.maximum(mean, math.exp(-14.0)))


def _over_replicas(values: list[tf.Tensor]) -> list[tf.Tensor]:
    """The sums over the replicas in training; their gradients go back to all of them."""
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return values
    return context.all_reduce(tf.distribute.ReduceOp.SUM, values)

from typing import Any, ClassVar

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from keras_vae._parts import (
    Configurable,
    Schedule,
    Scheduled,
    check_count,
    check_positive,
    name_of,
    soft_clip,
    value_object,
)
from keras_vae.posteriors._base import Posterior

tfd, tfb = tfp.distributions, tfp.bijectors

_TINY = float(np.finfo(np.float32).tiny)
_COLDEST = 0.2


@value_object
class RelaxedCategorical(Posterior, Configurable):
    """q(z|x): groups of categories, each drawn as a point of the simplex near one of its corners.

        z = softmax((logits + g) / temperature),   g = -log e,   e ~ Exponential(1)

    The concrete or Gumbel-softmax distribution: a category one can take the gradient through, biased
    as a stand-in for the category the more, the higher the temperature, and noisier the lower it is. The
    density is that of the relaxed z itself, so the bound is one of the relaxed model, and its prior is
    `priors.RelaxedCategorical`. z holds latent_dim / num_categories groups side by side, and the
    encoder gives a logit for each of its elements, taken as it is on [-6, 6] and bending towards +-8.
    Embeddings and reconstructions show the decoder the probabilities, softmax(logits): they change
    smoothly with x and say how sure the encoder is, and the category is their argmax.

    Args:
        num_categories: number of categories K of a group, at least 2; it divides latent_dim.
        temperature: of at least 0.2, or a Keras schedule, whose values below 0.2 are taken as that:
            from there on elements of z underflow in float32, and log q with them.

    Example:
        >>> posterior = RelaxedCategorical(num_categories=5)
        >>> z = posterior.distribution(tf.zeros([8, 20])).sample(seed=7)
        >>> z.shape, bool(tf.reduce_all(tf.abs(tf.reduce_sum(z, axis=-1) - 4.0) < 1e-5))
        (TensorShape([8, 20]), True)

    References:
        Jang, Gu and Poole, Categorical Reparameterization with Gumbel-Softmax, 2016, arXiv:1611.01144.
        Maddison, Mnih and Teh, The Concrete Distribution, 2016, arXiv:1611.00712.
    """

    support: ClassVar[str] = "simplex"
    num_categories: int = 10
    temperature: Scheduled = 0.5

    def __post_init__(self):
        check_count(name_of(self), least=2, num_categories=self.num_categories)
        check_positive(name_of(self), temperature=self.temperature)
        if not isinstance(self.temperature, Schedule) and self.temperature < _COLDEST:
            raise ValueError(
                f'Invalid value received for argument "temperature" of {name_of(self)}. Expected at least '
                f"{_COLDEST}: below it, draws underflow in float32. Received: {self.temperature!r}"
            )

    def params_size(self, latent_dim):
        if latent_dim % self.num_categories:
            raise ValueError(
                f"{name_of(self)} takes latent_dim in groups of num_categories={self.num_categories}. Received: "
                f"latent_dim={latent_dim}. Expected a multiple."
            )
        return latent_dim

    def _groups(self, logits) -> tf.Tensor:
        """The logits of every group, [..., latent_dim / num_categories, num_categories]."""
        logits = soft_clip(tf.cast(logits, tf.float32), inner=6.0, outer=8.0)
        shape = tf.concat([tf.shape(logits)[:-1], [-1, self.num_categories]], axis=0)
        return tf.reshape(logits, shape)

    def distribution(self, params):
        temperature = tf.maximum(self.temperature, _COLDEST)
        groups = tfd.RelaxedOneHotCategorical(temperature, logits=self._groups(params))
        size, num = params.shape[-1], self.num_categories
        side_by_side = tfb.Reshape([size], [size // num, num])
        return tfd.TransformedDistribution(tfd.Independent(groups, 1), side_by_side)

    def location(self, params):
        return tf.reshape(tf.nn.softmax(self._groups(params)), tf.shape(params))

    def noise_size(self, latent_dim):
        return 2 * latent_dim

    def transform(self, params, noise):
        exponential = 0.5 * sum(part**2 for part in tf.split(noise, 2, axis=-1))
        gumbel = -tf.math.log(tf.maximum(exponential, _TINY))
        shape = tf.concat([tf.shape(gumbel)[:-1], [-1, self.num_categories]], axis=0)
        z = tf.nn.softmax(
            (self._groups(params) + tf.reshape(gumbel, shape))
            / tf.maximum(self.temperature, _COLDEST)
        )
        size: Any = params.shape[-1]
        side_by_side = tf.concat([tf.shape(z)[:-2], [size]], axis=0)
        return tf.reshape(tf.maximum(z, _TINY), side_by_side)

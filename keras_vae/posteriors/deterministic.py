from typing import ClassVar

import tensorflow as tf
import tensorflow_probability as tfp

from keras_vae._parts import Configurable, value_object
from keras_vae.posteriors._base import Posterior

tfd = tfp.distributions


@value_object
class Deterministic(Posterior, Configurable):
    """q(z|x) is the point that the encoder gives: an autoencoder's code, without noise.

        z = f(x)

    For `objectives.RAE`. A point has no density, so there is no rate, no bound and no estimate of
    log p(x): whatever asks for one is refused.

    Example:
        >>> Deterministic().location(tf.ones([8, 20])).shape
        TensorShape([8, 20])

    References:
        Ghosh, Sajjadi, Vergari, Black and Schoelkopf, From Variational to Deterministic Autoencoders,
        2019, arXiv:1903.12436.
    """

    has_density: ClassVar[bool] = False

    def params_size(self, latent_dim):
        return latent_dim

    def distribution(self, params):
        return _Point(self.location(params))

    def location(self, params):
        return tf.cast(params, tf.float32)

    def stddev(self, params):
        return tf.zeros_like(self.location(params))

    def noise_size(self, latent_dim):
        return 0

    def transform(self, params, noise):
        loc = self.location(params)
        shape = tf.concat([tf.shape(noise)[:-1], tf.shape(loc)[-1:]], axis=0)
        return tf.broadcast_to(loc, shape)


class _Point(tfd.VectorDeterministic):
    """A distribution that has samples and a location, and refuses to be a density."""

    def _log_prob(self, x):
        Deterministic().need_density()

    def _kl_divergence(self, other):
        Deterministic().need_density()

from typing import ClassVar

import tensorflow as tf
import tensorflow_probability as tfp

from keras_vae._parts import Configurable, scale_of, value_object
from keras_vae.posteriors._base import Posterior

tfd = tfp.distributions


@value_object
class Normal(Posterior, Configurable):
    """q(z|x) = prod_d N(z_d; loc_d, scale_d^2), the diagonal Gaussian of the original VAE.

    The encoder gives `[loc, log_variance]`, each [..., latent_dim]. The log-variance is the classic
    one, exactly so on [-10, 10]; beyond that it bends towards +-14, which keeps the scale within
    [9e-4, 1.1e3].

    Example:
        >>> q = Normal().distribution(tf.zeros([8, 2 * 20]))
        >>> q.batch_shape, q.event_shape
        (TensorShape([8]), TensorShape([20]))

    References:
        Kingma and Welling, Auto-Encoding Variational Bayes, 2013, arXiv:1312.6114.
    """

    factorized: ClassVar[bool] = True

    def params_size(self, latent_dim):
        return 2 * latent_dim

    def _loc_and_scale(self, params):
        loc, log_variance = tf.split(tf.cast(params, tf.float32), 2, axis=-1)
        return loc, scale_of(log_variance)

    def distribution(self, params):
        return tfd.Independent(tfd.Normal(*self._loc_and_scale(params)), 1)

    def location(self, params):
        return self._loc_and_scale(params)[0]

    def stddev(self, params):
        return self._loc_and_scale(params)[1]

    def noise_size(self, latent_dim):
        return latent_dim

    def transform(self, params, noise):
        loc, scale = self._loc_and_scale(params)
        return loc + scale * noise

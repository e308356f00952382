from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from keras_vae._parts import Configurable, scale_of, value_object
from keras_vae.posteriors._base import Posterior

tfd = tfp.distributions


@value_object
class MultivariateNormal(Posterior, Configurable):
    """q(z|x) = N(z; loc, L L^T), the Gaussian with all its covariances.

        z = loc + L eps,   L = diag(scale) + what is below the diagonal

    The encoder gives `[loc, log_variance, below]`: the diagonal of L is the scale of the log-variance,
    as in `Normal`, which this is where `below`, L's latent_dim (latent_dim - 1) / 2 other entries row
    by row, is zero. For latents that depend on each other given x: a true posterior seldom is a
    product, and what a diagonal q misses of it is lost in the bound. The square of latent_dim is the
    price, in parameters and in time: beyond some fifty dimensions a flow costs less.

    Example:
        >>> q = MultivariateNormal().distribution(tf.zeros([8, 3 + 3 + 3]))
        >>> q.batch_shape, q.event_shape
        (TensorShape([8]), TensorShape([3]))

    References:
        Kingma and Welling, An Introduction to Variational Autoencoders, 2019, arXiv:1906.02691,
        section 2.5.1.
    """

    def params_size(self, latent_dim):
        return 2 * latent_dim + latent_dim * (latent_dim - 1) // 2

    def _loc_and_factor(self, params) -> tuple[tf.Tensor, tf.Tensor]:
        """The location [..., D] and the lower triangular factor L [..., D, D]."""
        size: Any = params.shape[-1]
        dim = int((np.sqrt(9 + 8 * size) - 3) / 2)
        split = [dim, dim, size - 2 * dim]
        loc, log_variance, below = tf.split(tf.cast(params, tf.float32), split, axis=-1)
        entries = [scale_of(log_variance), below, tf.zeros_like(loc)]
        places = np.full((dim, dim), size - dim)  # of a zero
        places[np.diag_indices(dim)] = np.arange(dim)
        places[np.tril_indices(dim, -1)] = np.arange(dim, size - dim)
        return loc, tf.gather(tf.concat(entries, axis=-1), places, axis=-1)

    def distribution(self, params):
        return tfd.MultivariateNormalTriL(*self._loc_and_factor(params))

    def location(self, params):
        return self._loc_and_factor(params)[0]

    def stddev(self, params):
        return tf.sqrt(tf.reduce_sum(self._loc_and_factor(params)[1] ** 2, axis=-1))

    def noise_size(self, latent_dim):
        return latent_dim

    def transform(self, params, noise):
        loc, factor = self._loc_and_factor(params)
        return loc + tf.linalg.matvec(factor, noise)

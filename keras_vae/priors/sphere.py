from typing import ClassVar

import tensorflow as tf
import tensorflow_probability as tfp

from keras_vae._parts import check_count, name_of, register
from keras_vae.priors._base import Prior

tfd = tfp.distributions


@register
class HypersphericalUniform(Prior):
    """p(z) = 1 / area, the uniform distribution on the unit sphere of R^latent_dim.

    The prior of the hyperspherical VAE, for the posterior `PowerSpherical`.

    Args:
        latent_dim: size of z, at least 2: the sphere has one dimension less.

    Example:
        >>> z = HypersphericalUniform(3).sample(4, seed=7)
        >>> bool(tf.reduce_all(tf.abs(tf.norm(z, axis=-1) - 1.0) < 1e-6))
        True

    References:
        Davidson, Falorsi, De Cao, Kipf and Tomczak, Hyperspherical Variational Auto-Encoders, 2018,
        arXiv:1804.00891.
    """

    support: ClassVar[str] = "sphere"

    def __init__(self, latent_dim: int, **kwargs):
        super().__init__(latent_dim, **kwargs)
        check_count(name_of(self), least=2, latent_dim=latent_dim)

    def distribution(self, batch=None):
        return tfd.SphericalUniform(self.latent_dim)

    def transform(self, noise, batch=None):
        return tf.math.l2_normalize(noise, axis=-1)

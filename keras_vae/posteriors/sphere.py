from typing import ClassVar

import tensorflow as tf
import tensorflow_probability as tfp

from keras_vae._parts import Configurable, soft_clip, value_object
from keras_vae.posteriors._base import Posterior

tfd = tfp.distributions

_LEAST, _MOST = (
    1e-12,
    1.0 - 1e-6,
)  # of the share of the way to the antipode, where its slopes are finite


@value_object
class PowerSpherical(Posterior, Configurable):
    """q(z|x) ~ (1 + mean . z)^concentration on the unit sphere of R^latent_dim.

    The hyperspherical VAE: with `priors.HypersphericalUniform` as prior nothing draws codes to the
    centre, only their concentration costs rate, and that in closed form. Instead of the von
    Mises-Fisher distribution of the paper, whose shape it nearly has, and which draws by rejection.
    The sphere has latent_dim - 1 dimensions; the paper found it of use below some twenty.

        t = 1 - 2 s,   s ~ Beta((D - 1) / 2, (D - 1) / 2 + concentration), by its quantile function
        z = t mean + sqrt(1 - t^2) v,   v uniform on the sphere across from mean

    The encoder gives `[direction, log_concentration]`, latent_dim + 1 numbers. The mean is the
    direction from the point -(1, 0, ..., 0) to what it gives, so that zeros have one too; the
    log-concentration is taken as it is on [-7, 7] and bends towards +-9 beyond, where float32 still
    knows the density.

    Example:
        >>> q = PowerSpherical().distribution(tf.zeros([8, 20 + 1]))
        >>> q.batch_shape, q.event_shape
        (TensorShape([8]), TensorShape([20]))

    References:
        De Cao and Aziz, The Power Spherical distribution, 2020, arXiv:2006.04437.
        Davidson, Falorsi, De Cao, Kipf and Tomczak, Hyperspherical Variational Auto-Encoders, 2018,
        arXiv:1804.00891.
    """

    support: ClassVar[str] = "sphere"

    def params_size(self, latent_dim):
        return latent_dim + 1

    def _mean_and_concentration(self, params) -> tuple[tf.Tensor, tf.Tensor]:
        """The mean [..., latent_dim] and the concentration [..., 1]."""
        direction, log_concentration = tf.split(
            tf.cast(params, tf.float32), [params.shape[-1] - 1, 1], axis=-1
        )
        mean = tf.math.l2_normalize(direction + tf.one_hot(0, direction.shape[-1]), axis=-1)
        return mean, tf.exp(soft_clip(log_concentration, inner=7.0, outer=9.0))

    def distribution(self, params):
        mean, concentration = self._mean_and_concentration(params)
        return tfd.PowerSpherical(mean, tf.squeeze(concentration, axis=-1))

    def location(self, params):
        return self._mean_and_concentration(params)[0]

    def stddev(self, params):
        mean, concentration = self._mean_and_concentration(params)
        across = float(mean.shape[-1] - 1)
        total = across + concentration
        of_t = across * (across + 2.0 * concentration) / (total**2 * (total + 1.0))
        of_rest = (1.0 - of_t - (concentration / total) ** 2) / across
        return tf.sqrt(of_t * mean**2 + of_rest * (1.0 - mean**2))

    def noise_size(self, latent_dim):
        return latent_dim + 2

    def transform(self, params, noise):
        mean, concentration = self._mean_and_concentration(params)
        two, rest = tf.split(noise, [2, -1], axis=-1)
        uniform = tf.exp(-0.5 * tf.reduce_sum(two**2, axis=-1, keepdims=True))
        half = (mean.shape[-1] - 1) / 2.0
        away = tfd.Beta(half, half + concentration).quantile(uniform)
        away = tf.clip_by_value(away, _LEAST, _MOST)
        across = rest - tf.reduce_sum(rest * mean, axis=-1, keepdims=True) * mean
        turn = 2.0 * tf.sqrt(away * (1.0 - away)) * tf.math.l2_normalize(across, axis=-1)
        return tf.math.l2_normalize((1.0 - 2.0 * away) * mean + turn, axis=-1)

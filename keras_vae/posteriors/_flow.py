"""What flow posteriors share: a Gaussian start, steps with known volume, a density at their own draws."""

import abc
import math
from collections.abc import Callable
from typing import ClassVar

import tensorflow as tf
import tensorflow_probability as tfp

from keras_vae._parts import scale_of
from keras_vae.posteriors._base import Posterior

tfd = tfp.distributions


class OwnDraws(tfd.Distribution):
    """The law of z = T(noise), T a flow: it draws, and knows the density of its latest draw alone.

    The way back from z to the noise is not computed. What a draw is, is a matter of the tensor itself:
    one that went through another operation, even `tf.identity`, is no longer it.

    Args:
        push: noise [..., latent_dim] -> z [..., latent_dim] and log q(z) [...].
        batch_shape, latent_dim: of z.
    """

    def __init__(
        self,
        push: Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]],
        batch_shape: tf.Tensor,
        latent_dim: int,
    ):
        super().__init__(
            dtype=tf.float32,
            reparameterization_type=tfd.FULLY_REPARAMETERIZED,
            validate_args=False,
            allow_nan_stats=True,
        )
        self._push, self._shape, self._latent_dim = push, batch_shape, latent_dim
        self._draw = self._log_q = None

    def push(self, noise: tf.Tensor) -> tf.Tensor:
        """The draw that standard normals [..., latent_dim] become."""
        self._draw, self._log_q = self._push(noise)
        return self._draw

    def sample(self, sample_shape=(), seed=None, name="sample", **kwargs):
        sample = tf.reshape(tf.cast(sample_shape, tf.int32), [-1])
        shape = tf.concat([sample, self._shape, [self._latent_dim]], axis=0)
        seed = tfp.random.sanitize_seed(seed)
        return self.push(tf.random.stateless_normal(shape, seed, name=name))

    def _log_prob(self, value):
        if self._draw is None or value is not self._draw:
            raise ValueError(
                "A flow posterior knows log q at its own latest draw alone. Hand the z that `infer`, `draw` or "
                "`q.sample` gave to that q's `log_prob`, untouched, or choose a posterior that is invertible, "
                "such as Normal or MultivariateNormal."
            )
        return self._log_q

    def _batch_shape(self):
        return tf.TensorShape(tf.get_static_value(self._shape, partial=True))

    def _batch_shape_tensor(self):
        return self._shape

    def _event_shape(self):
        return tf.TensorShape([self._latent_dim])

    def _event_shape_tensor(self):
        return tf.constant([self._latent_dim])


class Flow(Posterior):
    """Base of posteriors that a diagonal Gaussian draw becomes in invertible steps.

    z = f_T(... f_1(loc + scale * eps)),   log q(z|x) = log N(eps; 0, I) - sum log scale
                                                        - sum_t log |det df_t|
    """

    invertible: ClassVar[bool] = False

    @abc.abstractmethod
    def _latent_dim(self, params: tf.Tensor) -> int:
        """The latent_dim of so many parameters."""

    @abc.abstractmethod
    def _steps(self, z: tf.Tensor, params: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The z after all steps and their log |det| in all, from the parameters behind loc and scale."""

    def _push(self, params, noise) -> tuple[tf.Tensor, tf.Tensor]:
        dim = self._latent_dim(params)
        split = [dim, dim, params.shape[-1] - 2 * dim]
        loc, log_variance, rest = tf.split(tf.cast(params, tf.float32), split, axis=-1)
        scale = scale_of(log_variance)
        z, log_det = self._steps(loc + scale * noise, rest)
        log_normal = -0.5 * (noise**2 + math.log(2.0 * math.pi))
        return z, tf.reduce_sum(log_normal - tf.math.log(scale), axis=-1) - log_det

    def distribution(self, params):
        """q, which draws, and knows the density of its latest draw alone."""
        return OwnDraws(
            lambda noise: self._push(params, noise),
            tf.shape(params)[:-1],
            self._latent_dim(params),
        )

    def push_forward(self, params, noise):
        q = self.distribution(params)
        return q, q.push(noise)

    def location(self, params):
        """Where the flow takes the middle of its Gaussian, eps = 0: a flow knows no mean."""
        shape = tf.concat([tf.shape(params)[:-1], [self._latent_dim(params)]], axis=0)
        return self.transform(params, tf.zeros(shape))

    def noise_size(self, latent_dim):
        return latent_dim

    def transform(self, params, noise):
        return self._push(params, noise)[0]

"""Approximate posteriors q(z|x): how a network's output becomes a distribution over latents.

A posterior without weights is a frozen value object; one that learns (a flow) is a Keras layer.
Both have the methods of `Posterior`, and models call those, never `__call__`.
"""

import abc
from typing import ClassVar

import tensorflow as tf
import tensorflow_probability as tfp

from keras_vae._parts import Configurable, scale_of, value_object
from keras_vae.noise import standard_normals

tfd = tfp.distributions

__all__ = ["Normal", "Posterior"]


class Posterior(abc.ABC):
    """A family of distributions q(z|x), indexed by the encoder's output `params` of shape [...,
    params_size].

    Attributes:
        support: where z lives: "real", "sphere", "simplex" or "codes"; it must be the prior's.
        factorized: whether q is a product over latent dimensions (some objectives need it).
        invertible: whether log q can be evaluated at any z, not only at its own samples.
    """

    support: ClassVar[str] = "real"
    factorized: ClassVar[bool] = False
    invertible: ClassVar[bool] = True

    @abc.abstractmethod
    def params_size(self, latent_dim: int) -> int:
        """Number of parameters the encoder has to give per example."""

    @abc.abstractmethod
    def distribution(self, params: tf.Tensor) -> tfd.Distribution:
        """q, with batch shape [...] and event shape [latent_dim], in float32."""

    @abc.abstractmethod
    def location(self, params: tf.Tensor) -> tf.Tensor:
        """One representative z, [..., latent_dim], for embeddings and reconstructions."""

    def draw(
        self, params: tf.Tensor, num_samples: int | None, seed: tf.Tensor
    ) -> tuple[tfd.Distribution, tf.Tensor]:
        """The distribution q and z ~ q: [..., B, latent_dim], or [num_samples, ..., B, latent_dim].

        Pushes `noise.standard_normals` of the seed (int32 [2]) forward. A family whose density needs
        the very sample that q made (a flow), or that is no push-forward of normals, has its own.
        """
        q = self.distribution(params)
        sample = [] if num_samples is None else [num_samples]
        size = self.noise_size(int(q.event_shape[-1]))
        shape = tf.concat([sample, tf.shape(params)[:-1], [size]], axis=0)
        return q, self.transform(params, standard_normals(seed, tf.cast(shape, tf.int32)))

    @abc.abstractmethod
    def noise_size(self, latent_dim: int) -> int:
        """Number of standard normals that one draw takes."""

    @abc.abstractmethod
    def transform(self, params: tf.Tensor, noise: tf.Tensor) -> tf.Tensor:
        """Pushes standard normals [..., noise_size] forward to draws from q, [..., latent_dim]."""


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

    def noise_size(self, latent_dim):
        return latent_dim

    def transform(self, params, noise):
        loc, scale = self._loc_and_scale(params)
        return loc + scale * noise

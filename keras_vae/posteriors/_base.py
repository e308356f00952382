import abc
from typing import ClassVar

import tensorflow as tf
import tensorflow_probability as tfp

from keras_vae.noise import standard_normals

tfd = tfp.distributions


class Posterior(abc.ABC):
    """A family of distributions q(z|x), indexed by the encoder's output `params` of shape [...,
    params_size].

    Attributes:
        support: where z lives: "real", "sphere", "simplex" or "codes"; it must be the prior's.
        factorized: whether q is a product over latent dimensions (some objectives need it).
        invertible: whether log q can be evaluated at any z, not only at its own samples.
        reparameterized: whether gradients flow through z to the parameters; a part of one's own that
            draws discrete codes has none.
        has_density: whether q has a density, as a point has none.
    """

    support: ClassVar[str] = "real"
    factorized: ClassVar[bool] = False
    invertible: ClassVar[bool] = True
    reparameterized: ClassVar[bool] = True
    has_density: ClassVar[bool] = True

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

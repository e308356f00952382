import abc
from typing import ClassVar

import tensorflow as tf
import tensorflow_probability as tfp

from keras_vae._parts import name_of
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

    def need_density(self) -> None:
        """Raises `ValueError` for a posterior without a density, under which nothing has a likelihood."""
        if not self.has_density:
            raise ValueError(
                f"The posterior {name_of(self)} is a point and has no density, so there is neither a rate nor a bound "
                "on log p(x). Train with a posterior that has one, such as Normal, to measure likelihoods."
            )

    @abc.abstractmethod
    def params_size(self, latent_dim: int) -> int:
        """Number of parameters the encoder has to give per example."""

    @abc.abstractmethod
    def distribution(self, params: tf.Tensor) -> tfd.Distribution:
        """q, with batch shape [...] and event shape [latent_dim], in float32."""

    @abc.abstractmethod
    def location(self, params: tf.Tensor) -> tf.Tensor:
        """One representative z, [..., latent_dim], for embeddings and reconstructions."""

    def stddev(self, params: tf.Tensor) -> tf.Tensor | None:
        """The standard deviation of each latent dimension, [..., latent_dim]; None of a family that has
        none in closed form.
        """
        return None

    def draw(
        self, params: tf.Tensor, num_samples: int | None, seed: tf.Tensor
    ) -> tuple[tfd.Distribution, tf.Tensor]:
        """The distribution q and z ~ q: [..., B, latent_dim], or [num_samples, ..., B, latent_dim].

        Pushes `noise.standard_normals` of the seed (int32 [2]) forward.
        """
        latent_dim = int(self.distribution(params).event_shape[-1])
        sample = [] if num_samples is None else [num_samples]
        shape = tf.concat([sample, tf.shape(params)[:-1], [self.noise_size(latent_dim)]], axis=0)
        return self.push_forward(params, standard_normals(seed, tf.cast(shape, tf.int32)))

    def push_forward(
        self, params: tf.Tensor, noise: tf.Tensor
    ) -> tuple[tfd.Distribution, tf.Tensor]:
        """The distribution q, and the z that standard normals become: hand that z to `q.log_prob`
        untouched.

        A family that is not `invertible` knows log q there and nowhere else.
        """
        return self.distribution(params), self.transform(params, noise)

    @abc.abstractmethod
    def noise_size(self, latent_dim: int) -> int:
        """Number of standard normals that one draw takes."""

    @abc.abstractmethod
    def transform(self, params: tf.Tensor, noise: tf.Tensor) -> tf.Tensor:
        """Pushes standard normals [..., noise_size] forward to draws from q, [..., latent_dim]."""

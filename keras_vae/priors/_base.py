import abc
from collections.abc import Callable
from typing import Any, ClassVar, Self

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from keras_vae._parts import StatefulPart, check_count, name_of
from keras_vae.noise import as_seed, normals

tfd = tfp.distributions


class Prior(StatefulPart, abc.ABC):
    """Base of all priors: a Keras layer that models use through its named methods.

    Attributes:
        latent_dim: size of z.
        noise_size: number of standard normals that one sample takes.
        support: where z lives: "real", "sphere", "simplex" or "codes"; it must be the posterior's.
        factorized: whether p is a product over latent dimensions.
        is_exact: whether the density of `distribution` is p's own, and not a bound on it.
        network: what reads the conditions of a conditional prior p(z|c), or None.
    """

    support: ClassVar[str] = "real"
    factorized: ClassVar[bool] = False
    is_exact: ClassVar[bool] = True
    network: keras.Model | None = None

    def __init__(self, latent_dim: int, **kwargs):
        super().__init__(**kwargs)
        check_count(name_of(self), latent_dim=latent_dim)
        self.latent_dim = int(latent_dim)
        self.built = True

    def check(self, model: Any) -> None:
        """Raises `ValueError` where the model's other parts do not fit this prior, naming both."""

    def over(self, encoder: keras.Model) -> Self:
        """This prior, made of another copy of the encoder where it is made of one: configs have a copy
        for the model and one for its prior.
        """
        return self

    @property
    def noise_size(self) -> int:
        return self.latent_dim

    @property
    def widest_layer(self) -> int:
        """The most numbers that the density holds at once for one z."""
        return self.latent_dim

    @property
    def conditions(self) -> dict[str, keras.KerasTensor]:
        """What a conditional prior asks a batch for: input name -> symbolic input."""
        return {} if self.network is None else {t.name: t for t in self.network.inputs}

    @abc.abstractmethod
    def distribution(self, batch=None) -> tfd.Distribution:
        """p(z) with event shape [latent_dim]; `batch` is what a conditional prior p(z|c) reads."""

    @abc.abstractmethod
    def transform(self, noise: tf.Tensor, batch=None) -> tf.Tensor:
        """Pushes standard normals [N, noise_size] forward to samples of p, [N, latent_dim]."""

    def sample(self, num_samples: int, seed=0) -> tf.Tensor:
        """Samples [num_samples, latent_dim]: the same ones for the same seed, everywhere."""
        return self.transform(normals(as_seed(seed), num_samples, self.noise_size))

    def get_config(self):
        return super().get_config() | {"latent_dim": self.latent_dim}


class PushForward(tfd.Distribution):
    """A prior as a distribution where TFP has none: its density, and the draws of its `transform`.

    Args:
        prior: what it is the distribution of.
        log_prob: its density, z [N, latent_dim] -> [N] in nats.
    """

    def __init__(self, prior: Prior, log_prob: Callable[[tf.Tensor], tf.Tensor]):
        parameters = dict(locals())
        super().__init__(
            dtype=tf.float32,
            reparameterization_type=tfd.NOT_REPARAMETERIZED,
            validate_args=False,
            allow_nan_stats=False,
            parameters=parameters,
            name=name_of(prior),
        )
        self._prior, self._log_density = prior, log_prob

    def _batch_shape(self):
        return tf.TensorShape([])

    def _event_shape(self):
        return tf.TensorShape([self._prior.latent_dim])

    def _log_prob(self, z):
        of_rows = self._log_density(tf.reshape(z, [-1, self._prior.latent_dim]))
        return tf.reshape(of_rows, tf.shape(z)[:-1])

    def _sample_n(self, n, seed=None):
        word = tfp.random.sanitize_seed(seed)
        noise = tf.random.stateless_normal([n, self._prior.noise_size], word)
        return self._prior.transform(noise)

"""Priors p(z), each a push-forward of standard normals with a density.

`transform` is built from LiteRT built-ins only and is what training, the SavedModel and the LiteRT
file all share; `distribution` is what densities and KL terms use. The two must describe the same
p(z).
"""

import abc
from typing import Any, ClassVar

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from keras_vae._parts import StatefulPart, check_count, name_of, register, scale_of
from keras_vae.noise import as_seed, normals, pick

tfd = tfp.distributions

__all__ = ["ConditionalNormal", "NormalMixture", "Prior", "StandardNormal"]


class Prior(StatefulPart, abc.ABC):
    """Base of all priors: a Keras layer that models use through its named methods.

    Attributes:
        latent_dim: size of z.
        noise_size: number of standard normals that one sample takes.
        support: where z lives: "real", "sphere", "simplex" or "codes"; it must be the posterior's.
        factorized: whether p is a product over latent dimensions.
        network: what reads the conditions of a conditional prior p(z|c), or None.
    """

    support: ClassVar[str] = "real"
    factorized: ClassVar[bool] = False
    network: keras.Model | None = None

    def __init__(self, latent_dim: int, **kwargs):
        super().__init__(**kwargs)
        check_count(name_of(self), latent_dim=latent_dim)
        self.latent_dim = latent_dim
        self.built = True

    @property
    def noise_size(self) -> int:
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


@register
class StandardNormal(Prior):
    """p(z) = N(0, I).

    Args:
        latent_dim: size of z.

    Example:
        >>> StandardNormal(20).sample(4, seed=7).shape
        TensorShape([4, 20])

    References:
        Kingma and Welling, Auto-Encoding Variational Bayes, 2013, arXiv:1312.6114.
    """

    factorized: ClassVar[bool] = True

    def distribution(self, batch=None):
        return tfd.Independent(
            tfd.Normal(tf.zeros([self.latent_dim]), tf.ones([self.latent_dim])), 1
        )

    def transform(self, noise, batch=None):
        return noise


@register
class NormalMixture(Prior):
    """p(z) = sum_k pi_k prod_d N(z_d; loc_kd, scale_kd^2), learned with the model.

    The KL to it has no closed form: the objectives estimate it from their samples. Not to be
    confused with a mixture fitted to the latents after training, which can have this form but is
    not learned jointly.

    Args:
        latent_dim: size of z.
        num_components: number of components K.
        seed: integer, of the components' initial locations N(0, 1).

    Example:
        >>> NormalMixture(2, num_components=5).distribution().log_prob(tf.zeros([3, 2])).shape
        TensorShape([3])

    References:
        Dilokthanakul et al., Deep Unsupervised Clustering with Gaussian Mixture VAEs, 2016,
        arXiv:1611.02648 (the mixture prior of section 3, without the discrete latent).
    """

    def __init__(self, latent_dim: int, num_components: int = 10, seed: int = 0, **kwargs):
        super().__init__(latent_dim, **kwargs)
        check_count(name_of(self), num_components=num_components)
        self.num_components, self.seed = num_components, seed
        shape = (num_components, latent_dim)
        around_zero = keras.initializers.RandomNormal(stddev=1.0, seed=seed)
        self.logits = self.add_weight(shape=shape[:1], initializer="zeros", name="logits")
        self.loc = self.add_weight(shape=shape, initializer=around_zero, name="loc")
        self.log_variance = self.add_weight(shape=shape, initializer="zeros", name="log_variance")

    @property
    def noise_size(self):
        return self.latent_dim + 2

    def distribution(self, batch=None):
        return tfd.MixtureSameFamily(
            tfd.Categorical(logits=tf.convert_to_tensor(self.logits)),
            tfd.Independent(tfd.Normal(tf.convert_to_tensor(self.loc), self._scale()), 1),
        )

    def transform(self, noise, batch=None):
        component = pick(noise[:, :2], tf.nn.softmax(tf.convert_to_tensor(self.logits)))
        loc, scale = tf.convert_to_tensor(self.loc), self._scale()
        return tf.gather(loc, component) + tf.gather(scale, component) * noise[:, 2:]

    def _scale(self):
        return scale_of(tf.convert_to_tensor(self.log_variance))

    def get_config(self):
        return super().get_config() | {"num_components": self.num_components, "seed": self.seed}


@register
class ConditionalNormal(Prior):
    """p(z|c) = prod_d N(z_d; loc_d(c), scale_d(c)^2), its parameters given by a network.

    Where the condition says much about the example (a damaged image, for its restoration), the
    latents that suit it differ from condition to condition; under a prior that does not know c they
    have to be alike.

    Args:
        network: `keras.Model`, conditions by the names of its inputs, [B, ...] each, ->
            `[loc, log_variance]` [B, 2 latent_dim], for instance `networks.conditional`.

    Example:
        >>> import keras
        >>> label = keras.Input((10,), name="label")
        >>> prior = ConditionalNormal(keras.Model(label, keras.layers.Dense(2 * 3)(label)))
        >>> prior.distribution({"label": tf.eye(10)}).batch_shape, prior.latent_dim
        (TensorShape([10]), 3)

    References:
        Sohn, Lee and Yan, Learning Structured Output Representation using Deep Conditional
        Generative Models, NeurIPS 2015 (the prior network of section 4.1).
    """

    factorized: ClassVar[bool] = True

    def __init__(self, network: keras.Model, **kwargs):
        if not isinstance(network, keras.Model) or not getattr(network, "inputs", None):
            raise TypeError(
                f"ConditionalNormal takes a keras.Model with named inputs. Received: {network!r}"
            )
        size = network.output_shape[-1]
        if len(network.output_shape) != 2 or size % 2:
            raise ValueError(
                "The network of ConditionalNormal gives a location and a log-variance for each latent "
                f"dimension, (batch, 2 latent_dim). Received a network with output {network.output_shape}."
            )
        super().__init__(size // 2, **kwargs)
        self.network = network

    def distribution(self, batch=None):
        return tfd.Independent(tfd.Normal(*self._loc_and_scale(batch)), 1)

    def transform(self, noise, batch=None):
        loc, scale = self._loc_and_scale(batch)
        return loc + scale * noise

    def _loc_and_scale(self, batch):
        network: Any = self.network
        if missing := set(self.conditions) - set(batch if isinstance(batch, dict) else ()):
            raise ValueError(
                f"{name_of(self)} is a prior given {sorted(self.conditions)}: pass a batch that is a dict "
                f"with them. {sorted(missing)} is missing."
            )
        params = network(keras.tree.map_structure(lambda tensor: batch[tensor.name], network.input))
        loc, log_variance = tf.split(tf.cast(params, tf.float32), 2, axis=-1)
        return loc, scale_of(log_variance)

    def get_config(self):
        config = super().get_config()
        del config["latent_dim"]
        return config | {"network": keras.saving.serialize_keras_object(self.network)}

    @classmethod
    def from_config(cls, config):
        return cls(
            **(config | {"network": keras.saving.deserialize_keras_object(config["network"])})
        )

from typing import Any, ClassVar

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from keras_vae._parts import name_of, register, scale_of
from keras_vae.priors._base import Prior

tfd = tfp.distributions


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
class ConditionalNormal(Prior):
    """p(z|c) = prod_d N(z_d; loc_d(c), scale_d(c)^2), its parameters given by a network.

    Where the condition says much about the example (a damaged image, for its restoration), the
    latents that suit it differ from condition to condition; under a prior that does not know c they
    have to be alike. The network computes as in evaluation, in training too: its dropout drops nothing,
    and batch normalisation in it keeps the statistics that it has.

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

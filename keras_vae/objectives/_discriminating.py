from typing import Any, ClassVar

import keras
import tensorflow as tf

from keras_vae._parts import StatefulPart, name_of


class Discriminating(StatefulPart):
    """The part of an objective that tells z ~ q from other z by a network of its own.

    The network gives a logit; where it tells the two apart as well as can be, the logit is the log
    ratio of their densities. The model's optimiser trains it along with the rest: `log_ratio` has
    no gradient for its weights, and `cross_entropy` none for anything else, so that the gradient of
    their sum is the update of both players.

    Args:
        discriminator: `keras.Model`, z [B, latent_dim] -> logit [B, 1], such as
            `networks.discriminator`.
    """

    looks_at_latents: ClassVar[bool] = True

    def __init__(self, discriminator: keras.Model, **kwargs):
        super().__init__(**kwargs)
        shapes: Any = None
        if (
            isinstance(discriminator, keras.Model)
            and len(getattr(discriminator, "inputs", ())) == 1
        ):
            shapes = discriminator.input_shape, discriminator.output_shape
        if shapes is None or len(shapes[0]) != 2 or shapes[1] != (None, 1):
            raise ValueError(
                f"The discriminator of {name_of(self)} is a keras.Model from z (batch, latent_dim) to a logit "
                f"(batch, 1), such as networks.discriminator(latent_dim). Received: {discriminator!r} with shapes "
                f"{shapes}"
            )
        self.discriminator = discriminator
        self.built = True

    def check(self, model: Any) -> None:
        size, latent_dim = self.discriminator.input_shape[-1], model.latent_dim
        if size != latent_dim:
            raise ValueError(
                f"The discriminator of {name_of(self)} takes z of size {size}, and the prior "
                f"{name_of(model.prior)} has latent_dim={latent_dim}. Use networks.discriminator({latent_dim})."
            )

    def log_ratio(self, z: tf.Tensor, training: bool) -> tf.Tensor:
        """The logits [B] of z [B, D], as functions of z alone."""
        network = self.discriminator
        weights = [tf.stop_gradient(tf.convert_to_tensor(v)) for v in network.trainable_variables]
        others = [tf.convert_to_tensor(v) for v in network.non_trainable_variables]
        logits = network.stateless_call(weights, others, z, training=training)[0]
        return tf.cast(logits, tf.float32)[:, 0]

    def cross_entropy(self, ours: tf.Tensor, others: tf.Tensor, training: bool) -> tf.Tensor:
        """The nats that telling ours [B, D] from others [C, D] takes, log 2 where it cannot be told: as a
        function of the network's weights alone.
        """
        logits = [
            tf.cast(self.discriminator(tf.stop_gradient(z), training=training), tf.float32)
            for z in (ours, others)
        ]
        costs = tf.nn.softplus(-logits[0]), tf.nn.softplus(logits[1])
        return 0.5 * (tf.reduce_mean(costs[0]) + tf.reduce_mean(costs[1]))

    def get_config(self):
        network = keras.saving.serialize_keras_object(self.discriminator)
        return super().get_config() | {"discriminator": network}

    @classmethod
    def from_config(cls, config):
        return cls(**keras.saving.deserialize_keras_object(config))

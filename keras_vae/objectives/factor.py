from typing import ClassVar

import keras
import tensorflow as tf

from keras_vae._parts import Scheduled, check_positive, name_of, register
from keras_vae.objectives._base import Objective, elbo_terms, gathered, gradient_only
from keras_vae.objectives._discriminating import Discriminating


@register
class FactorVAE(Discriminating, Objective):
    """The ELBO, with a weight on the total correlation of the aggregate posterior, which a discriminator
    estimates.

        loss = distortion + rate + gamma KL(q(z) || prod_d q(z_d))

    The discriminator tells the batch's z from z whose columns were each put into an order of its own; the
    KL is the mean of its logits. `BetaTC` estimates the same quantity from densities instead, with no
    network, and a bias that is the larger the smaller the batch. The discriminator's own cross-entropy,
    log 2 where it can tell nothing, is the term "discriminator": its gradient is part of the loss's, its
    value is not. The paper trains it on a second batch; here one batch serves both.

    Args:
        discriminator: z [B, latent_dim] -> logit [B, 1]. The paper's has six hidden layers of 1000:
            `networks.discriminator(latent_dim, hidden=6 * (1000,))`.
        gamma: weight of the total correlation, at least 0, or a schedule. The paper searches from 1 to
            100 and settles on 35 for dSprites.

    Example:
        >>> from keras_vae import networks
        >>> FactorVAE(networks.discriminator(20), gamma=10.0).terms[:3]
        ('loss', 'total_correlation', 'discriminator')

    References:
        Kim and Mnih, Disentangling by Factorising, 2018, arXiv:1802.05983.
    """

    terms: ClassVar[tuple[str, ...]] = (
        "loss",
        "total_correlation",
        "discriminator",
        "distortion",
        "rate",
        "negative_elbo",
    )
    monitor: ClassVar[str] = "negative_elbo"

    def __init__(self, discriminator: keras.Model, gamma: Scheduled = 35.0, **kwargs):
        super().__init__(discriminator, **kwargs)
        check_positive(name_of(self), or_zero=True, gamma=gamma)
        self.gamma = gamma

    def __call__(self, model, batch, training=False):
        terms, _, z = elbo_terms(model, batch, training)
        apart = permuted(gathered(tf.stop_gradient(z)), model.sampling.next_seed())
        cross_entropy = self.cross_entropy(z, apart, training)
        correlation = tf.reduce_mean(self.log_ratio(z, training))
        loss = terms["negative_elbo"] + model.now(self.gamma) * correlation
        return {
            "loss": loss + gradient_only(cross_entropy),
            "total_correlation": correlation,
            "discriminator": cross_entropy,
            **terms,
        }

    def get_config(self):
        gamma = keras.saving.serialize_keras_object(self.gamma)
        return super().get_config() | {"gamma": gamma}


def permuted(z: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """The columns of z [B, D], each in a random order of its own: rows that are draws of prod_d q(z_d)."""
    columns = tf.transpose(z)
    keys = tf.random.stateless_uniform(tf.shape(columns), seed, alg="philox")
    return tf.transpose(tf.gather(columns, tf.argsort(keys, axis=1), batch_dims=1))

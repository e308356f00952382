from typing import ClassVar

import tensorflow as tf

from keras_vae._parts import Scheduled, check_positive, name_of, value_object
from keras_vae.estimators import kl_divergence
from keras_vae.objectives._base import Objective, gathered, mean_terms


@value_object
class Capacity(Objective):
    """The rate held near a number of nats that rises in training: loss = distortion + gamma |rate - C|.

    With C rising from 0, the latents take up one factor of the data after the other, the most
    useful first. Not to be confused with a beta that rises: here the rate's target is stated.

    Args:
        gamma: weight of the rate's distance from C, at least 0.
        capacity: C in nats, at least 0: a number, or a schedule from 0 up.

    References:
        Burgess et al., Understanding disentangling in beta-VAE, 2018, arXiv:1804.03599.
    """

    gamma: Scheduled = 100.0
    capacity: Scheduled = 25.0
    terms: ClassVar[tuple[str, ...]] = ("loss", "distortion", "rate", "negative_elbo")
    monitor: ClassVar[str] = "negative_elbo"

    def __post_init__(self):
        check_positive(name_of(self), or_zero=True, gamma=self.gamma, capacity=self.capacity)

    def __call__(self, model, batch, training=False):
        q, z = model.infer(batch, training=training)
        rates = kl_divergence(q, model.prior_over(batch), z)
        terms = mean_terms(-model.log_likelihood(batch, z, training=training), rates)
        distance = tf.abs(tf.reduce_mean(gathered(rates)) - self.capacity)
        return {"loss": terms["distortion"] + self.gamma * distance, **terms}

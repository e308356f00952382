from typing import ClassVar

import tensorflow as tf

from keras_vae._parts import value_object
from keras_vae.objectives._base import Objective
from keras_vae.objectives._paths import PathWeights


@value_object
class StickingTheLanding(Objective):
    """The ELBO with a sampled rate, whose gradient leaves the score of q out.

        loss = -E_q(z|x) [log p(x|z) + log p(z) - log q(z|x)]

    The score, d log q(z|x) at a fixed z, has mean zero. Without it the gradient is still unbiased,
    and its variance goes to zero as q comes near the true posterior, where the ELBO's own sampled
    gradient stays noisy. With a closed-form rate (the `ELBO` of a Normal prior) there may be
    nothing to gain; it is for priors and posteriors without one.

    References:
        Roeder, Wu and Duvenaud, Sticking the Landing, 2017, arXiv:1703.09194.
    """

    terms: ClassVar[tuple[str, ...]] = ("loss", "negative_elbo")
    monitor: ClassVar[str] = "negative_elbo"

    def __call__(self, model, batch, training=False):
        paths = PathWeights.of(model, batch, 1, training, tf.ones_like)
        elbo = tf.stop_gradient(paths.log_weights[0])
        elbo += paths.surrogate(tf.ones_like(paths.log_weights))
        return {"loss": -tf.reduce_mean(elbo), "negative_elbo": -tf.reduce_mean(elbo)}

    def check(self, model):
        self.need_invertible(model)

from typing import ClassVar

import tensorflow as tf

from keras_vae._parts import check_count, name_of, value_object
from keras_vae.estimators import importance_weighted_bound
from keras_vae.objectives._base import Objective
from keras_vae.objectives._paths import PathWeights


@value_object
class DReG(Objective):
    """The importance-weighted bound, with the doubly reparameterised gradient for the encoder.

        d/d encoder = sum_k w~_k^2 (d log w_k / d z_k) (d z_k / d encoder),   w~_k = w_k / sum_j w_j

    Unbiased, as IWAE's gradient is, but its signal does not drown in noise as K grows. At
    initialisation its variance is the higher one; near a trained model it is the lower. It takes log w_k
    to depend on no other example's z: not with `OptimalNormal`, nor with batch normalisation in the
    decoder, which are refused.

    Args:
        num_samples: number of samples K.

    References:
        Tucker, Lawson, Gu and Maddison, Doubly Reparameterized Gradient Estimators for Monte Carlo
        Objectives, 2018, arXiv:1810.04152.
    """

    num_samples: int = 5
    terms: ClassVar[tuple[str, ...]] = ("loss", "negative_elbo")
    monitor: ClassVar[str] = "loss"

    def __post_init__(self):
        check_count(name_of(self), num_samples=self.num_samples)

    def __call__(self, model, batch, training=False):
        paths = PathWeights.of(model, batch, self.num_samples, training, lambda w: _shares(w) ** 2)
        bound = tf.stop_gradient(importance_weighted_bound(paths.log_weights))
        bound += paths.surrogate(_shares(paths.log_weights))
        return {
            "loss": -tf.reduce_mean(bound),
            "negative_elbo": -tf.reduce_mean(paths.log_weights),
        }

    def check(self, model):
        self.need_invertible(model)
        self.need_uncoupled(model)


def _shares(log_weights: tf.Tensor) -> tf.Tensor:
    return tf.nn.softmax(log_weights, axis=0)

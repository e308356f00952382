from typing import ClassVar

import tensorflow as tf

from keras_vae._parts import check_count, name_of, value_object
from keras_vae.estimators import importance_weighted_bound
from keras_vae.objectives._base import Objective


@value_object
class MultiplyIWAE(Objective):
    """The mean of M importance-weighted bounds of K samples each.

        loss = -E (1/M) sum_m log (1/K) sum_k w_mk

    As tight as IWAE with K samples, with the gradient's noise of M K of them. Its authors call it
    MIWAE; in this package that name belongs to the method for missing data of Mattei and Frellsen,
    which is IWAE over a mask.

    Args:
        num_samples: number of samples K of a bound.
        num_bounds: number of bounds M.

    References:
        Rainforth et al., Tighter Variational Bounds are Not Necessarily Better, 2018,
        arXiv:1802.04537.
    """

    num_samples: int = 5
    num_bounds: int = 2
    terms: ClassVar[tuple[str, ...]] = ("loss", "negative_elbo")
    monitor: ClassVar[str] = "loss"

    def __post_init__(self):
        check_count(name_of(self), num_samples=self.num_samples, num_bounds=self.num_bounds)

    def __call__(self, model, batch, training=False):
        log_weights = model.log_weights(
            batch, self.num_samples * self.num_bounds, training=training
        )
        return {
            "loss": -tf.reduce_mean(in_bounds(log_weights, self.num_bounds)),
            "negative_elbo": -tf.reduce_mean(log_weights),
        }


def in_bounds(log_weights: tf.Tensor, num_bounds: int) -> tf.Tensor:
    """The bounds [M, B] of log weights [M K, B], K after K."""
    each = tf.reshape(log_weights, [num_bounds, -1, tf.shape(log_weights)[1]])
    return importance_weighted_bound(tf.transpose(each, [1, 0, 2]))

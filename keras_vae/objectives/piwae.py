from typing import ClassVar

import tensorflow as tf

from keras_vae._parts import check_count, name_of, value_object
from keras_vae.estimators import importance_weighted_bound
from keras_vae.objectives._base import Objective
from keras_vae.objectives._paths import PathWeights


@value_object
class PIWAE(Objective):
    """Decoder and prior trained by one importance-weighted bound of M K samples, the encoder by the mean
    of M bounds of K.

    The generative model gets the tighter bound, and the encoder the one whose gradient is less
    noisy: see `MultiplyIWAE`. The loss that is reported is the tighter one.

    Args:
        num_samples: number of samples K of an encoder's bound.
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
        def of_encoder(log_weights):
            each = tf.reshape(log_weights, [self.num_bounds, self.num_samples, -1])
            return tf.reshape(tf.nn.softmax(each, axis=1), tf.shape(log_weights)) / self.num_bounds

        num_samples = self.num_samples * self.num_bounds
        paths = PathWeights.of(model, batch, num_samples, training, of_encoder)
        log_weights = paths.log_weights
        bound = tf.stop_gradient(importance_weighted_bound(log_weights))
        bound += paths.surrogate(tf.nn.softmax(log_weights, axis=0), of_encoder(log_weights))
        return {"loss": -tf.reduce_mean(bound), "negative_elbo": -tf.reduce_mean(log_weights)}

    def check(self, model):
        self.need_invertible(model)

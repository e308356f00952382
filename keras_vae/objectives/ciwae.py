from typing import ClassVar

import tensorflow as tf

from keras_vae._parts import Scheduled, check_count, check_share, name_of, value_object
from keras_vae.estimators import importance_weighted_bound
from keras_vae.objectives._base import Objective


@value_object
class CIWAE(Objective):
    """A mixture of the ELBO and the importance-weighted bound over the same K samples.

        loss = -E [mix (1/K) sum_k log w_k + (1 - mix) log (1/K) sum_k w_k]

    At mix = 0 it is IWAE, at 1 the ELBO with a sampled rate. Between them the encoder keeps a
    gradient that does not vanish in noise as K grows.

    Args:
        num_samples: number of samples K.
        mix: weight of the ELBO, in [0, 1], or a schedule.

    References:
        Rainforth et al., Tighter Variational Bounds are Not Necessarily Better, 2018,
        arXiv:1802.04537.
    """

    num_samples: int = 5
    mix: Scheduled = 0.5
    terms: ClassVar[tuple[str, ...]] = ("loss", "iwae", "negative_elbo")
    monitor: ClassVar[str] = "iwae"

    def __post_init__(self):
        check_count(name_of(self), num_samples=self.num_samples)
        check_share(name_of(self), mix=self.mix)

    def __call__(self, model, batch, training=False):
        log_weights = model.log_weights(batch, self.num_samples, training=training)
        negative_elbo = -tf.reduce_mean(log_weights)
        iwae = -tf.reduce_mean(importance_weighted_bound(log_weights))
        return {
            "loss": self.mix * negative_elbo + (1.0 - self.mix) * iwae,
            "iwae": iwae,
            "negative_elbo": negative_elbo,
        }

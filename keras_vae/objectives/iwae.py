from typing import ClassVar

import tensorflow as tf

from keras_vae._parts import check_count, name_of, value_object
from keras_vae.estimators import importance_weighted_bound
from keras_vae.objectives._base import Objective


@value_object
class IWAE(Objective):
    """The importance-weighted bound on log p(x) from K samples per example, negated.

        loss = -E log (1/K) sum_k w_k,    w_k = p(x|z_k) p(z_k) / q(z_k|x),    z_k ~ q(z|x)

    K = 1 is the ELBO with a sampled rate; the bound rises with K towards log p(x), and costs K
    decodes. Not to be confused with evaluating an ELBO-trained model by importance sampling: this
    trains on the bound. `negative_elbo` is the mean of -log w over the same samples, for
    comparison.

    Args:
        num_samples: number of samples K.

    References:
        Burda, Grosse and Salakhutdinov, Importance Weighted Autoencoders, 2015, arXiv:1509.00519.
    """

    num_samples: int = 5
    terms: ClassVar[tuple[str, ...]] = ("loss", "negative_elbo")
    monitor: ClassVar[str] = "loss"

    def __post_init__(self):
        check_count(name_of(self), num_samples=self.num_samples)

    def __call__(self, model, batch, training=False):
        log_weights = model.log_weights(batch, self.num_samples, training=training)
        return {
            "loss": -tf.reduce_mean(importance_weighted_bound(log_weights)),
            "negative_elbo": -tf.reduce_mean(log_weights),
        }

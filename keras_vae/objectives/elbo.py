from typing import Any, ClassVar

import tensorflow as tf

from keras_vae._parts import Schedule, check_positive, name_of, value_object
from keras_vae.estimators import kl_divergence
from keras_vae.objectives._base import Objective


@value_object
class ELBO(Objective):
    """The evidence lower bound, with a weight on its rate: loss = distortion + beta * rate.

        distortion    = -E_q(z|x) log p(x|z)      one sample of z per example
        rate          = KL(q(z|x) || p(z))        closed form where there is one, else sampled
        negative_elbo = distortion + rate         what beta = 1 minimises; never annealed

    A number above one is the beta-VAE; a schedule from 0 to 1 is KL warm-up. The schedule is read
    inside the training graph at the model's `step`, without retracing, so a resumed run goes on
    where it was.

    Args:
        beta: weight of the rate: a number of at least 0, or a Keras learning-rate schedule.

    Example:
        >>> import keras
        >>> warm_up = keras.optimizers.schedules.PolynomialDecay(0.0, 10_000, 1.0)
        >>> ELBO(beta=warm_up).terms
        ('loss', 'distortion', 'rate', 'negative_elbo')

    References:
        Kingma and Welling, Auto-Encoding Variational Bayes, 2013, arXiv:1312.6114.
        Higgins et al., beta-VAE, ICLR 2017, openreview.net/forum?id=Sy2fzU9gl.
    """

    beta: float | Schedule = 1.0
    terms: ClassVar[tuple[str, ...]] = ("loss", "distortion", "rate", "negative_elbo")
    monitor: ClassVar[str] = "negative_elbo"

    def __post_init__(self):
        check_positive(name_of(self), or_zero=True, beta=self.beta)

    def __call__(self, model, batch, training=False):
        beta: Any = self.beta  # the model has resolved a schedule to its value
        q, z = model.infer(batch, training=training)
        distortion = -tf.reduce_mean(model.log_likelihood(batch, z, training=training))
        rate = tf.reduce_mean(kl_divergence(q, model.prior_over(batch), z))
        return {
            "loss": distortion + beta * rate,
            "distortion": distortion,
            "rate": rate,
            "negative_elbo": distortion + rate,
        }

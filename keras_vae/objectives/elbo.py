from typing import ClassVar

import tensorflow as tf

from keras_vae._parts import Scheduled, check_constant, check_positive, name_of, value_object
from keras_vae.estimators import kl_by_dimension
from keras_vae.objectives._base import Objective, elbo_terms, gathered


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
        free_bits: nats of rate, mean over the batch, that each latent dimension has for nothing: below
            them the loss has no reason to switch it off. The terms beside the loss know nothing of it.

    Example:
        >>> import keras
        >>> warm_up = keras.optimizers.schedules.PolynomialDecay(0.0, 10_000, 1.0)
        >>> ELBO(beta=warm_up).terms
        ('loss', 'distortion', 'rate', 'negative_elbo')

    References:
        Kingma and Welling, Auto-Encoding Variational Bayes, 2013, arXiv:1312.6114.
        Sonderby et al., Ladder Variational Autoencoders, 2016, arXiv:1602.02282 (warm-up).
        Kingma et al., Improving Variational Inference with Inverse Autoregressive Flow, 2016,
        arXiv:1606.04934 (free bits, appendix C.8).
        Higgins et al., beta-VAE, ICLR 2017, openreview.net/forum?id=Sy2fzU9gl.
    """

    beta: Scheduled = 1.0
    free_bits: float = 0.0
    terms: ClassVar[tuple[str, ...]] = ("loss", "distortion", "rate", "negative_elbo")
    monitor: ClassVar[str] = "negative_elbo"

    def __post_init__(self):
        check_constant(name_of(self), free_bits=self.free_bits)
        check_positive(name_of(self), or_zero=True, beta=self.beta, free_bits=self.free_bits)

    def __call__(self, model, batch, training=False):
        terms, q, _ = elbo_terms(model, batch, training)
        rate = terms["rate"]
        if self.free_bits:
            by_dimension = gathered(kl_by_dimension(q, model.prior_over(batch)))
            rate = tf.reduce_sum(tf.maximum(tf.reduce_mean(by_dimension, axis=0), self.free_bits))
        return {"loss": terms["distortion"] + self.beta * rate, **terms}

    @property
    def needs_factorized(self):
        return ("posterior", "prior") if self.free_bits else ()

    @property
    def looks_by_dimension(self):
        return f"free_bits={self.free_bits} of {name_of(self)}"

    def check(self, model):
        self.need_factorized(model)

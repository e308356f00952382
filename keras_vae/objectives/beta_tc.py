from typing import ClassVar

import tensorflow as tf

from keras_vae._parts import (
    Scheduled,
    check_count,
    check_known,
    check_positive,
    name_of,
    value_object,
)
from keras_vae.estimators import aggregate_log_probs
from keras_vae.objectives._base import Objective, gathered


@value_object
class BetaTC(Objective):
    """The rate taken apart into index-code information, total correlation and what is left, each with a
    weight of its own.

        loss = distortion + alpha I(x; z) + beta KL(q(z) || prod_d q(z_d)) + gamma sum_d KL(q(z_d) || p(z_d))

    With all three at one it is the ELBO with a sampled rate. A larger beta pulls latent dimensions
    apart without taking information away, as beta-VAE does. The aggregate q(z) is estimated from
    the batch, with a bias that falls with the batch's size.

    Args:
        num_examples: size of the training set, N.
        alpha, beta, gamma: weights, at least 0, or schedules.
        sampling: "weighted" (minibatch-weighted sampling, biased) or "stratified".

    References:
        Chen, Li, Grosse and Duvenaud, Isolating Sources of Disentanglement in VAEs, 2018,
        arXiv:1802.04942 (section 4; minibatch sampling in appendix C).
    """

    num_examples: int
    alpha: Scheduled = 1.0
    beta: Scheduled = 6.0
    gamma: Scheduled = 1.0
    sampling: str = "stratified"
    terms: ClassVar[tuple[str, ...]] = (
        "loss",
        "distortion",
        "mutual_information",
        "total_correlation",
        "dimension_kl",
        "negative_elbo",
    )
    monitor: ClassVar[str] = "negative_elbo"

    def __post_init__(self):
        check_count(name_of(self), least=2, num_examples=self.num_examples)
        weights = {"alpha": self.alpha, "beta": self.beta, "gamma": self.gamma}
        check_positive(name_of(self), or_zero=True, **weights)
        check_known("sampling", self.sampling, ("weighted", "stratified"))

    @property
    def needs_factorized(self):
        return "posterior", "prior"

    def check(self, model):
        self.need_factorized(model)

    def __call__(self, model, batch, training=False):
        q, z = model.infer(batch, training=training)
        distortion = -tf.reduce_mean(model.log_likelihood(batch, z, training=training))
        log_q_given_x, log_p = q.log_prob(z), model.prior_over(batch).log_prob(z)
        log_q, log_q_product = aggregate_log_probs(
            gathered(q),
            gathered(z),
            self.num_examples,
            stratified=self.sampling == "stratified",
        )
        information = tf.reduce_mean(log_q_given_x) - tf.reduce_mean(log_q)
        correlation = tf.reduce_mean(log_q - log_q_product)
        dimension_kl = tf.reduce_mean(log_q_product) - tf.reduce_mean(log_p)
        return {
            "loss": distortion
            + self.alpha * information
            + self.beta * correlation
            + self.gamma * dimension_kl,
            "distortion": distortion,
            "mutual_information": information,
            "total_correlation": correlation,
            "dimension_kl": dimension_kl,
            "negative_elbo": distortion + tf.reduce_mean(log_q_given_x - log_p),
        }

from typing import ClassVar

import tensorflow as tf

from keras_vae._parts import Scheduled, check_known, check_positive, name_of, value_object
from keras_vae.estimators import covariance
from keras_vae.objectives._base import Objective, elbo_terms, gathered


@value_object
class DIPVAE(Objective):
    """The ELBO, with the covariance of the aggregate posterior drawn towards the identity.

        loss = distortion + rate + off_diagonal sum_{i != j} C_ij^2 + diagonal sum_i (C_ii - 1)^2

    C is the covariance over the batch of the posterior's mean ("i"), or of z, which adds the mean
    posterior variance on the diagonal ("ii").

    Args:
        off_diagonal, diagonal: weights, at least 0, or schedules. The paper takes diagonal = 10
            off_diagonal in the first form, and equal ones in the second.
        form: "i" or "ii".

    References:
        Kumar, Sattigeri and Balakrishnan, Variational Inference of Disentangled Latent Concepts from
        Unlabeled Observations, 2017, arXiv:1711.00848.
    """

    off_diagonal: Scheduled = 10.0
    diagonal: Scheduled = 10.0
    form: str = "ii"
    terms: ClassVar[tuple[str, ...]] = (
        "loss",
        "covariance_penalty",
        "distortion",
        "rate",
        "negative_elbo",
    )
    monitor: ClassVar[str] = "negative_elbo"
    looks_at_latents: ClassVar[bool] = True

    def __post_init__(self):
        weights = {"off_diagonal": self.off_diagonal, "diagonal": self.diagonal}
        check_positive(name_of(self), or_zero=True, **weights)
        check_known("form", self.form, ("i", "ii"))

    @property
    def needs_factorized(self):
        return ("posterior",)

    def check(self, model):
        self.need_factorized(model)

    def __call__(self, model, batch, training=False):
        terms, q, _ = elbo_terms(model, batch, training)
        matrix = covariance(gathered(q.mean()))
        if self.form == "ii":
            matrix += tf.linalg.diag(tf.reduce_mean(gathered(q.variance()), axis=0))
        own = tf.linalg.diag_part(matrix)
        apart = tf.reduce_sum(matrix**2) - tf.reduce_sum(own**2)
        penalty = self.off_diagonal * apart + self.diagonal * tf.reduce_sum((own - 1.0) ** 2)
        return {"loss": terms["negative_elbo"] + penalty, "covariance_penalty": penalty, **terms}

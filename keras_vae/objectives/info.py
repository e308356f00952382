from typing import ClassVar

from keras_vae._parts import (
    Schedule,
    Scheduled,
    check_known,
    check_number,
    check_positive,
    name_of,
    value_object,
)
from keras_vae.estimators import KERNELS, maximum_mean_discrepancy
from keras_vae.objectives._base import Objective, elbo_terms, gathered, prior_draws


@value_object
class InfoVAE(Objective):
    """Distortion, a weighted rate, and the distance between aggregate posterior and prior.

        loss = distortion + (1 - alpha) rate + (alpha + scale - 1) MMD(q(z), p(z))

    At alpha = 0 and scale = 1 it is the ELBO. At alpha = 1 no example has a rate to pay and it is the
    Wasserstein autoencoder with the MMD penalty (WAE-MMD). MMD is the unbiased estimate of its
    square, between the batch's z and as many draws from the prior, so it may be below zero. Draws carry
    no gradient to the shares of a `NormalMixture`, which at alpha = 1 stay what they are.

    Args:
        alpha: at most 1; information that is not paid for.
        scale: weight of the distance, such that alpha + scale >= 1.
        kernel: "rbf" or "imq" (inverse multiquadratic).

    References:
        Zhao, Song and Ermon, InfoVAE, 2017, arXiv:1706.02262.
        Tolstikhin, Bousquet, Gelly and Schoelkopf, Wasserstein Auto-Encoders, 2017, arXiv:1711.01558.
    """

    alpha: Scheduled = 1.0
    scale: Scheduled = 100.0
    kernel: str = "imq"
    terms: ClassVar[tuple[str, ...]] = ("loss", "mmd", "distortion", "rate", "negative_elbo")
    monitor: ClassVar[str] = "negative_elbo"
    looks_at_latents: ClassVar[bool] = True

    def __post_init__(self):
        check_positive(name_of(self), or_zero=True, scale=self.scale)
        check_known("kernel", self.kernel, KERNELS)
        if isinstance(self.alpha, Schedule):
            return
        check_number(name_of(self), alpha=self.alpha)
        if self.alpha > 1 or (not isinstance(self.scale, Schedule) and self.alpha + self.scale < 1):
            raise ValueError(
                f"{name_of(self)} takes alpha <= 1 and alpha + scale >= 1. Received: alpha={self.alpha}, "
                f"scale={self.scale}"
            )

    def __call__(self, model, batch, training=False):
        terms, _, z = elbo_terms(model, batch, training)
        others = prior_draws(model, batch, z)
        mmd = maximum_mean_discrepancy(gathered(z), gathered(others), self.kernel)
        loss = terms["distortion"] + (1.0 - self.alpha) * terms["rate"]
        return {"loss": loss + (self.alpha + self.scale - 1.0) * mmd, "mmd": mmd, **terms}

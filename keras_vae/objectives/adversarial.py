from typing import ClassVar

import keras
import tensorflow as tf

from keras_vae._parts import Scheduled, check_positive, name_of, register
from keras_vae.objectives._base import Objective, elbo_terms, gradient_only, prior_draws
from keras_vae.objectives._discriminating import Discriminating


@register
class AdversarialAutoencoder(Discriminating, Objective):
    """Distortion, and a discriminator that the aggregate posterior has to pass for the prior before: the
    adversarial autoencoder (AAE), and, with a weight, the Wasserstein autoencoder's WAE-GAN.

        loss = distortion - scale E log D(z),    D(z): how surely z came from the prior

    No example has a rate to pay; the codes of all examples together have to look like the prior. The
    two papers differ in the distortion, which here is the likelihood's (the squared error of WAE is
    that of `likelihoods.Normal` with a fixed scale), and in `scale`, which AAE has at 1. This needs a
    posterior with noise, as the terms `rate` and `negative_elbo` say what the model is worth as a VAE:
    they are reported, not trained on. `InfoVAE(alpha=1)` measures the same distance with a kernel, WAE-MMD,
    and has nothing to play against. The discriminator's cross-entropy, log 2 where it can tell nothing, is
    the term "discriminator": its gradient is part of the loss's, its value is not.

    Args:
        discriminator: z [B, latent_dim] -> logit [B, 1], such as `networks.discriminator`.
        scale: weight of the adversarial term, at least 0, or a schedule.

    Raises:
        ValueError: in a model whose prior learns: it would get no gradient.

    Example:
        >>> from keras_vae import networks
        >>> AdversarialAutoencoder(networks.discriminator(20), scale=10.0).terms[:3]
        ('loss', 'adversarial', 'discriminator')

    References:
        Makhzani et al., Adversarial Autoencoders, 2015, arXiv:1511.05644.
        Tolstikhin, Bousquet, Gelly and Schoelkopf, Wasserstein Auto-Encoders, 2017, arXiv:1711.01558
        (algorithm 1).
    """

    terms: ClassVar[tuple[str, ...]] = (
        "loss",
        "adversarial",
        "discriminator",
        "distortion",
        "rate",
        "negative_elbo",
    )
    monitor: ClassVar[str] = "negative_elbo"

    def __init__(self, discriminator: keras.Model, scale: Scheduled = 1.0, **kwargs):
        super().__init__(discriminator, **kwargs)
        check_positive(name_of(self), or_zero=True, scale=scale)
        self.scale = scale

    def check(self, model):
        super().check(model)
        self.need_fixed_prior(model)

    def __call__(self, model, batch, training=False):
        terms, _, z = elbo_terms(model, batch, training)
        cross_entropy = self.cross_entropy(z, prior_draws(model, batch, z), training)
        adversarial = tf.reduce_mean(tf.nn.softplus(self.log_ratio(z, training)))
        loss = terms["distortion"] + model.now(self.scale) * adversarial
        return {
            "loss": loss + gradient_only(cross_entropy),
            "adversarial": adversarial,
            "discriminator": cross_entropy,
            **terms,
        }

    def get_config(self):
        scale = keras.saving.serialize_keras_object(self.scale)
        return super().get_config() | {"scale": scale}

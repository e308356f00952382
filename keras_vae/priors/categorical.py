from typing import ClassVar

import tensorflow as tf

from keras_vae import posteriors
from keras_vae._parts import check_constant, name_of, register
from keras_vae.priors._base import Prior


@register
class RelaxedCategorical(Prior):
    """p(z): groups of equally probable categories, relaxed, for the posterior of the same name.

    The posterior's density at logits of zero and a temperature of its own. With that of the posterior,
    an encoder that says nothing costs no rate.

    Args:
        latent_dim: size of z, a multiple of num_categories.
        num_categories: number of categories of a group, the posterior's.
        temperature: of at least 0.2.

    Raises:
        ValueError: in a model, for another posterior than a `RelaxedCategorical` of so many categories.

    Example:
        >>> z = RelaxedCategorical(6, num_categories=3).sample(4, seed=7)
        >>> bool(tf.reduce_all(tf.abs(tf.reduce_sum(z, axis=-1) - 2.0) < 1e-5))
        True

    References:
        Maddison, Mnih and Teh, The Concrete Distribution, 2016, arXiv:1611.00712.
    """

    support: ClassVar[str] = "simplex"

    def __init__(
        self, latent_dim: int, num_categories: int = 10, temperature: float = 0.5, **kwargs
    ):
        super().__init__(latent_dim, **kwargs)
        check_constant(name_of(self), temperature=temperature)
        self._family = posteriors.RelaxedCategorical(
            num_categories=num_categories, temperature=temperature
        )
        self._family.params_size(latent_dim)  # refuses what is no multiple

    @property
    def noise_size(self):
        return self._family.noise_size(self.latent_dim)

    def check(self, model):
        given, expected = model.posterior, self._family.num_categories
        if getattr(given, "num_categories", None) != expected:
            raise ValueError(
                f"The prior {name_of(self)} holds groups of {expected} categories. Choose the posterior "
                f"RelaxedCategorical(num_categories={expected}). Received: {given!r}"
            )

    def distribution(self, batch=None):
        return self._family.distribution(tf.zeros([self.latent_dim]))

    def transform(self, noise, batch=None):
        return self._family.transform(tf.zeros([self.latent_dim]), noise)

    def get_config(self):
        family = self._family
        return super().get_config() | {
            "num_categories": family.num_categories,
            "temperature": family.temperature,
        }

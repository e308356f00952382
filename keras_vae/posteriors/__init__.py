"""Approximate posteriors q(z|x): how a network's output becomes a distribution over latents.

A posterior without weights is a frozen value object; one that learns (a flow) is a Keras layer.
Both have the methods of `Posterior`, and models call those, never `__call__`.
"""

from keras_vae.posteriors._base import Posterior
from keras_vae.posteriors.categorical import RelaxedCategorical
from keras_vae.posteriors.deterministic import Deterministic
from keras_vae.posteriors.iaf import IAF
from keras_vae.posteriors.multivariate import MultivariateNormal
from keras_vae.posteriors.normal import Normal
from keras_vae.posteriors.planar import PlanarFlow
from keras_vae.posteriors.sphere import PowerSpherical

__all__ = [
    "IAF",
    "Deterministic",
    "MultivariateNormal",
    "Normal",
    "PlanarFlow",
    "Posterior",
    "PowerSpherical",
    "RelaxedCategorical",
]

"""Approximate posteriors q(z|x): how a network's output becomes a distribution over latents.

A posterior without weights is a frozen value object; one that learns (a flow) is a Keras layer.
Both have the methods of `Posterior`, and models call those, never `__call__`.
"""

from keras_vae.posteriors._base import Posterior
from keras_vae.posteriors.deterministic import Deterministic
from keras_vae.posteriors.normal import Normal

__all__ = ["Deterministic", "Normal", "Posterior"]

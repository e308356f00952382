"""Priors p(z), each a push-forward of standard normals with a density.

`transform` is built from LiteRT built-ins only and is what training, the SavedModel and the LiteRT
file all share; `distribution` is what densities and KL terms use. The two must describe the same
p(z).
"""

from keras_vae.priors._base import Prior
from keras_vae.priors.categorical import RelaxedCategorical
from keras_vae.priors.flow import MAF, FlowPrior, RealNVP
from keras_vae.priors.mixture import MultivariateNormalMixture, NormalMixture
from keras_vae.priors.normal import ConditionalNormal, StandardNormal
from keras_vae.priors.sphere import HypersphericalUniform
from keras_vae.priors.two_stage import TwoStage
from keras_vae.priors.vamp import VampPrior

__all__ = [
    "MAF",
    "ConditionalNormal",
    "FlowPrior",
    "HypersphericalUniform",
    "MultivariateNormalMixture",
    "NormalMixture",
    "Prior",
    "RealNVP",
    "RelaxedCategorical",
    "StandardNormal",
    "TwoStage",
    "VampPrior",
]

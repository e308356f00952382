"""Likelihoods p(x|z): how the decoder's output becomes a distribution over data.

The decoder gives `params` whose last axis holds every parameter of every channel: for data with
shape [..., H, W, C] under a family with two parameters per channel, params are [..., H, W, 2 C].
`event_rank` says how many trailing axes are one example: 3 for images [H, W, C], 1 for vectors.
Log-probabilities are summed over the event, in nats and float32.
"""

from keras_vae.likelihoods._base import Likelihood
from keras_vae.likelihoods.bounded import Bernoulli, Beta, Categorical, ContinuousBernoulli
from keras_vae.likelihoods.counts import NegativeBinomial, Poisson, ZeroInflated
from keras_vae.likelihoods.location_scale import (
    Laplace,
    Normal,
    OptimalNormal,
    SharedScaleNormal,
    StudentT,
)
from keras_vae.likelihoods.mixed import Block, Column, Mixed
from keras_vae.likelihoods.pixels import DiscretizedLogistic

__all__ = [
    "Bernoulli",
    "Beta",
    "Block",
    "Categorical",
    "Column",
    "ContinuousBernoulli",
    "DiscretizedLogistic",
    "Laplace",
    "Likelihood",
    "Mixed",
    "NegativeBinomial",
    "Normal",
    "OptimalNormal",
    "Poisson",
    "SharedScaleNormal",
    "StudentT",
    "ZeroInflated",
]

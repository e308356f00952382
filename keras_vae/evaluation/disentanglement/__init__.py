"""Scores of disentanglement: whether every factor that made the data has a latent dimension of its own.

Each is a function of a representation z [N, D] and the factors that made its rows, whole numbers
[N, F]; `scores` gives them all. Values of a factor are classes: neither their order nor the numbers
that stand for them matter. z is what a model knows of x without noise, `vae.embed(x)`.
"""

from keras_vae.evaluation.disentanglement._information import (
    modularity,
    mutual_information,
    mutual_information_gap,
)
from keras_vae.evaluation.disentanglement._pairs import beta_vae_score, factor_vae_score
from keras_vae.evaluation.disentanglement._prediction import DCI, dci, explicitness, sap
from keras_vae.evaluation.disentanglement._robustness import interventional_robustness
from keras_vae.evaluation.disentanglement._scores import Scores, scores

__all__ = [
    "DCI",
    "Scores",
    "beta_vae_score",
    "dci",
    "explicitness",
    "factor_vae_score",
    "interventional_robustness",
    "modularity",
    "mutual_information",
    "mutual_information_gap",
    "sap",
    "scores",
]

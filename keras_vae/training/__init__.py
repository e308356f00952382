"""Training runs: a recipe in words, a folder that can be resumed, evaluated and exported."""

from keras_vae.training.comparison import Comparison, compare
from keras_vae.training.logs import LOGS
from keras_vae.training.loop import resume, train
from keras_vae.training.parts import LIKELIHOODS, NETWORKS, OBJECTIVES, POSTERIORS, PRIORS
from keras_vae.training.recipe import Recipe
from keras_vae.training.refitting import FITS, fit_prior
from keras_vae.training.run import Run, TrainingDiverged
from keras_vae.training.strategies import STRATEGIES, make_strategy

__all__ = [
    "FITS",
    "LIKELIHOODS",
    "LOGS",
    "NETWORKS",
    "OBJECTIVES",
    "POSTERIORS",
    "PRIORS",
    "STRATEGIES",
    "Comparison",
    "Recipe",
    "Run",
    "TrainingDiverged",
    "compare",
    "fit_prior",
    "make_strategy",
    "resume",
    "train",
]

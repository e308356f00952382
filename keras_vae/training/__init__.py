"""Training runs: a recipe in words, a folder that can be resumed, evaluated and exported."""

from keras_vae.training.loop import resume, train
from keras_vae.training.recipe import LIKELIHOODS, NETWORKS, OBJECTIVES, PRIORS, Recipe
from keras_vae.training.run import Run, TrainingDiverged

__all__ = [
    "LIKELIHOODS",
    "NETWORKS",
    "OBJECTIVES",
    "PRIORS",
    "Recipe",
    "Run",
    "TrainingDiverged",
    "resume",
    "train",
]

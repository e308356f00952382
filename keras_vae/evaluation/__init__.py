"""Evaluation that can be compared: likelihoods in nats with their errors, k stated always."""

from keras_vae.evaluation import disentanglement
from keras_vae.evaluation.bound import Bound, bound
from keras_vae.evaluation.latents import LatentUse, latent_use
from keras_vae.evaluation.likelihood import LogLikelihood, log_likelihood

__all__ = [
    "Bound",
    "LatentUse",
    "LogLikelihood",
    "bound",
    "disentanglement",
    "latent_use",
    "log_likelihood",
]

"""Evaluation that can be compared: likelihoods in nats with their errors, k stated always."""

from keras_vae.evaluation.likelihood import LogLikelihood, log_likelihood

__all__ = ["LogLikelihood", "log_likelihood"]

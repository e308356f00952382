"""Evaluation that can be compared: likelihoods in nats with their errors, k stated always."""

from keras_vae.evaluation import disentanglement
from keras_vae.evaluation.annealed import (
    AnnealedLogLikelihood,
    BidirectionalCheck,
    annealed_log_likelihood,
    bidirectional_check,
    check_annealing,
)
from keras_vae.evaluation.bound import Bound, bound
from keras_vae.evaluation.collapse import CollapseReport, collapse_report
from keras_vae.evaluation.distances import (
    density_coverage,
    frechet_distance,
    kernel_distance,
    precision_recall,
)
from keras_vae.evaluation.estimate import (
    Difference,
    Estimate,
    check_comparable,
    difference,
    difference_of,
)
from keras_vae.evaluation.latents import LatentUse, latent_use
from keras_vae.evaluation.likelihood import LogLikelihood, log_likelihood
from keras_vae.evaluation.samples import (
    FeatureSpace,
    SampleQuality,
    features_of,
    sample_quality,
    train_features,
)
from keras_vae.evaluation.surgery import Surgery, surgery

__all__ = [
    "AnnealedLogLikelihood",
    "BidirectionalCheck",
    "Bound",
    "CollapseReport",
    "Difference",
    "Estimate",
    "FeatureSpace",
    "LatentUse",
    "LogLikelihood",
    "SampleQuality",
    "Surgery",
    "annealed_log_likelihood",
    "bidirectional_check",
    "bound",
    "check_annealing",
    "check_comparable",
    "collapse_report",
    "density_coverage",
    "difference",
    "difference_of",
    "disentanglement",
    "features_of",
    "frechet_distance",
    "kernel_distance",
    "latent_use",
    "log_likelihood",
    "precision_recall",
    "sample_quality",
    "surgery",
    "train_features",
]

"""Variational autoencoders for Keras 3 and TensorFlow: six parts that combine, numbers that can be
compared.

The parts live in modules named after their kind: `networks`, `posteriors`, `priors`, `likelihoods`,
`objectives`. A paper is a choice of parts.
"""

import os

if os.environ.get("KERAS_BACKEND", "tensorflow") != "tensorflow":
    raise ImportError(
        "keras_vae runs on TensorFlow. Expected KERAS_BACKEND=tensorflow, or no such variable. Received: "
        f"KERAS_BACKEND={os.environ['KERAS_BACKEND']}"
    )

from keras_vae import (
    aggregate,
    compression,
    data,
    estimators,
    evaluation,
    export,
    likelihoods,
    networks,
    objectives,
    pictures,
    posteriors,
    priors,
)
from keras_vae.models import VAE, LatentVariableModel, load_model
from keras_vae.sampling import Sampling

__version__ = "0.1.0"

__all__ = [
    "VAE",
    "LatentVariableModel",
    "Sampling",
    "aggregate",
    "compression",
    "data",
    "estimators",
    "evaluation",
    "export",
    "likelihoods",
    "load_model",
    "networks",
    "objectives",
    "pictures",
    "posteriors",
    "priors",
]

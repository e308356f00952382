"""Training objectives: one scalar whose gradient is the update, and the terms it is made of."""

from keras_vae._parts import value_object
from keras_vae.objectives._base import Objective
from keras_vae.objectives.elbo import ELBO
from keras_vae.objectives.iwae import IWAE

__all__ = ["ELBO", "IWAE", "Objective", "value_object"]

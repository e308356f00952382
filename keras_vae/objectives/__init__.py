"""Training objectives: one scalar whose gradient is the update, and the terms it is made of."""

from keras_vae._parts import value_object
from keras_vae.objectives._base import Objective
from keras_vae.objectives.adversarial import AdversarialAutoencoder
from keras_vae.objectives.beta_tc import BetaTC
from keras_vae.objectives.capacity import Capacity
from keras_vae.objectives.ciwae import CIWAE
from keras_vae.objectives.dip import DIPVAE
from keras_vae.objectives.dreg import DReG
from keras_vae.objectives.elbo import ELBO
from keras_vae.objectives.factor import FactorVAE
from keras_vae.objectives.info import InfoVAE
from keras_vae.objectives.iwae import IWAE
from keras_vae.objectives.multiply_iwae import MultiplyIWAE
from keras_vae.objectives.perceptual import Perceptual
from keras_vae.objectives.piwae import PIWAE
from keras_vae.objectives.rae import RAE
from keras_vae.objectives.schedules import Cyclical
from keras_vae.objectives.similarity import StructuralSimilarity
from keras_vae.objectives.sticking import StickingTheLanding

__all__ = [
    "CIWAE",
    "DIPVAE",
    "ELBO",
    "IWAE",
    "PIWAE",
    "RAE",
    "AdversarialAutoencoder",
    "BetaTC",
    "Capacity",
    "Cyclical",
    "DReG",
    "FactorVAE",
    "InfoVAE",
    "MultiplyIWAE",
    "Objective",
    "Perceptual",
    "StickingTheLanding",
    "StructuralSimilarity",
    "value_object",
]

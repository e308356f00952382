"""Models: an abstract base that owns training, and one final class per model structure."""

from keras_vae.models._base import LatentVariableModel, need_model
from keras_vae.models._batches import as_arrays, num_rows, x_of
from keras_vae.models._paths import PATHS
from keras_vae.models.encoder_decoder import EncoderDecoder
from keras_vae.models.loading import load_model
from keras_vae.models.not_miwae import NotMIWAE
from keras_vae.models.vae import VAE, need_vae

__all__ = [
    "PATHS",
    "VAE",
    "EncoderDecoder",
    "LatentVariableModel",
    "NotMIWAE",
    "as_arrays",
    "load_model",
    "need_model",
    "need_vae",
    "num_rows",
    "x_of",
]

"""Export: a SavedModel and a LiteRT decoder that are held to the live model's numbers."""

from keras_vae.export.endpoints import endpoints
from keras_vae.export.folder import export
from keras_vae.export.litert import LiteRTDecoder
from keras_vae.export.parity import Parity, ParityError, ParityRow, parity
from keras_vae.export.saved_model import saved_model
from keras_vae.export.tflite import tflite

__all__ = [
    "LiteRTDecoder",
    "Parity",
    "ParityError",
    "ParityRow",
    "endpoints",
    "export",
    "parity",
    "saved_model",
    "tflite",
]

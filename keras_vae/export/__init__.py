"""Export: files for every consumer, each held to the live model's numbers in its own runtime."""

from keras_vae.export._cost import quantization_cost
from keras_vae.export.endpoints import endpoints
from keras_vae.export.folder import FORMATS, check, export
from keras_vae.export.metadata import metadata
from keras_vae.export.onnx import onnx
from keras_vae.export.parity import (
    BUDGETS,
    Budget,
    Parity,
    ParityError,
    ParityRow,
    Reference,
    parity,
)
from keras_vae.export.runtimes import Exported, load
from keras_vae.export.saved_model import saved_model
from keras_vae.export.tflite import QUANTIZATIONS, tflite

__all__ = [
    "BUDGETS",
    "FORMATS",
    "QUANTIZATIONS",
    "Budget",
    "Exported",
    "Parity",
    "ParityError",
    "ParityRow",
    "Reference",
    "check",
    "endpoints",
    "export",
    "load",
    "metadata",
    "onnx",
    "parity",
    "quantization_cost",
    "saved_model",
    "tflite",
]

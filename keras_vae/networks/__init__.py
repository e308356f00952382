"""Encoders and decoders: plain Keras models, ready to use as they are or to be replaced by your
own.

An encoder maps x to the posterior's parameters, a decoder maps z to the likelihood's. Builders ask
both parts how many parameters they take, so networks and parts always fit.
"""

from keras_vae.networks.builders import conditional, conv, discriminator, mlp, table
from keras_vae.networks.calling import call_by_name, input_names, over_samples, widest_layer
from keras_vae.networks.layers import Features, OneHot, labels_of
from keras_vae.networks.missing import MECHANISMS, SelfMasking, missingness
from keras_vae.networks.spectral import spectrally_normalized

__all__ = [
    "MECHANISMS",
    "Features",
    "OneHot",
    "SelfMasking",
    "call_by_name",
    "conditional",
    "conv",
    "discriminator",
    "input_names",
    "labels_of",
    "missingness",
    "mlp",
    "over_samples",
    "spectrally_normalized",
    "table",
    "widest_layer",
]

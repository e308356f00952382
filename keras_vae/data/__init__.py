"""Data: from a file, a folder or a catalogue name to what a model trains and is evaluated on."""

from keras_vae.data import dsprites
from keras_vae.data.conditions import CONDITIONS, Condition
from keras_vae.data.examples import Examples
from keras_vae.data.loading import from_arrays, from_table, load
from keras_vae.data.protocols import PROTOCOLS, Protocol
from keras_vae.data.sources import SOURCES, Source
from keras_vae.data.splits import Splits

__all__ = [
    "CONDITIONS",
    "PROTOCOLS",
    "SOURCES",
    "Condition",
    "Examples",
    "Protocol",
    "Source",
    "Splits",
    "dsprites",
    "from_arrays",
    "from_table",
    "load",
]

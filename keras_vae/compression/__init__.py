"""The evidence lower bound as a file: a lossless codec over a trained model (the extra `compress`)."""

from keras_vae.compression.codec import compress, decompress

__all__ = ["compress", "decompress"]

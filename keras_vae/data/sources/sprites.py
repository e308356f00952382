"""Images that are drawn from their factors."""

from typing import Any

import numpy as np

from keras_vae.data import dsprites
from keras_vae.data.examples import Array, Examples, RawData
from keras_vae.data.records import Records
from keras_vae.data.streams import EVALUATION_SEED, Stream, key, permutation

_NUM_TRAIN, _NUM_TEST = 60_000, 10_000


def is_dsprites(source: str) -> bool:
    """Whether the source is the package's own dSprites."""
    return source == "dsprites"


def read_dsprites(source: str) -> RawData:
    """As many images as MNIST has, divided like those, taken at random from all."""
    order = _order()
    train, test = order[:_NUM_TRAIN], order[_NUM_TRAIN : _NUM_TRAIN + _NUM_TEST]
    return _data(source, train=_images(train), test=_images(test), num_validation=5000)


def stream_dsprites(source: str) -> RawData:
    """All images, drawn batch by batch; the first of them in any set are of all kinds."""
    return _data(source, train=_images(_order()))


def _data(source: str, **sets: Any) -> RawData:
    known: Any = {"class_names": dsprites.SHAPES, "factor_sizes": dsprites.FACTORS}
    return RawData(source, **sets, **known, is_shuffled=True)


def _order() -> Array:
    """The numbers of all images, in the one random order that they are taken in."""
    return permutation(dsprites.NUM_IMAGES, key(EVALUATION_SEED, Stream.SAMPLE)).numpy()


def _images(numbers: Array) -> Examples:
    factors = dsprites.factors_of(numbers).astype(np.int32)
    return Examples(Records(dsprites.Sprites(), numbers), labels=factors[:, 0], factors=factors)

"""Images that are drawn from their factors."""

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
    order = permutation(dsprites.NUM_IMAGES, key(EVALUATION_SEED, Stream.SAMPLE)).numpy()
    return RawData(
        source,
        train=_images(order[:_NUM_TRAIN]),
        test=_images(order[_NUM_TRAIN : _NUM_TRAIN + _NUM_TEST]),
        class_names=dsprites.SHAPES,
        num_validation=5000,
        is_shuffled=True,
        factor_sizes=dsprites.FACTORS,
    )


def stream_dsprites(source: str) -> RawData:
    """All images, drawn batch by batch."""
    images = _images(np.arange(dsprites.NUM_IMAGES))
    sizes = dsprites.FACTORS
    return RawData(source, train=images, class_names=dsprites.SHAPES, factor_sizes=sizes)


def _images(numbers: Array) -> Examples:
    factors = dsprites.factors_of(numbers).astype(np.int32)
    return Examples(Records(dsprites.Sprites(), numbers), labels=factors[:, 0], factors=factors)

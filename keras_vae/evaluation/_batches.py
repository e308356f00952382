"""Data in whatever form as batches of NumPy arrays, and what can be said of them afterwards."""

import hashlib
from collections.abc import Iterable

import keras
import numpy as np
import tensorflow as tf

from keras_vae.models import as_arrays, x_of


def batches_of(data, batch_size: int) -> tuple[Iterable, int | None]:
    """Batches of NumPy arrays, and how many there are where that is known."""
    if not isinstance(data, tf.data.Dataset):
        arrays = as_arrays(data)
        lengths = [len(array) for array in tf.nest.flatten(arrays)]
        if len(set(lengths)) > 1:
            raise ValueError(
                f"The arrays of a dict need a row for every example. Received: {lengths} rows."
            )
        starts = range(0, lengths[0], batch_size)

        def rows(start):
            return tf.nest.map_structure(lambda array: array[start : start + batch_size], arrays)

        return map(rows, starts), len(starts)
    if data.cardinality() == tf.data.INFINITE_CARDINALITY:
        raise ValueError(
            "The data have no end. Pass a finite data set: a validation or a test set, not train."
        )
    data = data.map(
        lambda *batch: keras.utils.unpack_x_y_sample_weight(batch[0] if len(batch) == 1 else batch)[
            0
        ]
    )
    options = tf.data.Options()
    options.autotune.enabled = False  # the tuner stalls the end of a pass
    data = data.unbatch().batch(batch_size).with_options(options)
    return data.as_numpy_iterator(), None


def padded(batch, num_rows: int):
    """The last batch filled up with copies of its last row, so that every batch has one shape."""

    def filled(array):
        missing = [(0, num_rows - len(array))] + [(0, 0)] * (array.ndim - 1)
        return np.pad(array, missing, mode="edge")

    return tf.nest.map_structure(filled, batch)


class Digest:
    """SHA-256 of examples that come in batches of any size; of x alone, in a dict or not, that of its bytes
    as float32.
    """

    def __init__(self):
        self._digests = {}

    def update(self, batch) -> None:
        entries = batch if isinstance(batch, dict) and set(batch) != {"x"} else {"": x_of(batch)}
        for name, array in entries.items():
            digest = self._digests.setdefault(name, hashlib.sha256(name.encode()))
            digest.update(np.asarray(array, np.float32).tobytes())

    def hexdigest(self) -> str:
        if len(self._digests) == 1:
            return next(iter(self._digests.values())).hexdigest()
        parts = (self._digests[name].hexdigest() for name in sorted(self._digests))
        return hashlib.sha256("".join(parts).encode()).hexdigest()

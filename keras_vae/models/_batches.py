"""The forms in which examples come to a model, and what they have in common."""

import inspect
from collections.abc import Callable
from types import GeneratorType
from typing import Any

import keras
import numpy as np
import tensorflow as tf

NO_WEIGHTS = "Weighted examples are not supported: leave out sample_weight and class_weight."


def named(method: Callable, *args, **kwargs) -> dict[str, Any]:
    """The arguments of a call of a method, all by name, and without `self`."""
    given = inspect.signature(method).bind(*args, **kwargs).arguments
    return {name: value for name, value in given.items() if name != "self"}


def refuse_weights(given: dict[str, Any]) -> None:
    if any(given.get(name) is not None for name in ("sample_weight", "class_weight")):
        raise ValueError(NO_WEIGHTS)


def as_arrays(data):
    """What a caller gives as examples, an array or a dict of arrays, as NumPy's."""
    if isinstance(data, tf.data.Dataset | keras.utils.PyDataset | GeneratorType):
        raise TypeError(
            "Expected examples as an array or a dict of arrays, all at once. Received batches of them: "
            f"{type(data).__name__}"
        )
    if data is None or isinstance(data, tuple | str | bytes) or callable(data):
        raise TypeError(
            "Expected examples as an array, a dict of arrays, a tf.data.Dataset, a keras.utils.PyDataset or a "
            f"generator of batches. Received: {type(data).__name__}"
        )
    if isinstance(data, dict):
        return {name: np.asarray(value) for name, value in data.items()}
    return np.asarray(data)


class WatchedPyDataset(keras.utils.PyDataset):
    """A data set of Keras's whose batches are looked at as they come."""

    def __init__(self, data: keras.utils.PyDataset, check):
        super().__init__(workers=data.workers, max_queue_size=data.max_queue_size)
        self.data, self.check = data, check

    @property
    def num_batches(self):
        return self.data.num_batches

    def __getitem__(self, index):
        return self.check(self.data[index])

    def on_epoch_begin(self):
        self.data.on_epoch_begin()

    def on_epoch_end(self):
        self.data.on_epoch_end()


def num_rows(batch) -> int:
    """The number of examples in a batch: x, or a dict with x."""
    return len(x_of(batch))


def x_of(batch):
    """The examples themselves of a batch: x, or a dict with x."""
    return batch["x"] if isinstance(batch, dict) else batch


def batch_of(data):
    """What the data set yields, without targets, which a VAE has none of."""
    batch, _, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
    if sample_weight is not None:
        raise ValueError(NO_WEIGHTS)
    return batch


def is_endless(data) -> bool:
    return isinstance(data, tf.data.Dataset) and data.cardinality() == tf.data.INFINITE_CARDINALITY


def check_length(data, steps: int | None) -> None:
    if is_endless(data) and not steps:
        raise ValueError(
            "The data have no end, so a pass over them needs a length. Pass steps_per_epoch (to fit), "
            "validation_steps or steps, or a finite data set. What keras_vae.data.load returns knows its "
            "own steps_per_epoch."
        )

"""Examples that stay on disk."""

import functools
import hashlib
import math
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

import numpy as np
import tensorflow as tf

from keras_vae._files import check_fits
from keras_vae._parts import UnfitExample
from keras_vae.data.examples import Array
from keras_vae.data.streams import EVALUATION_SEED, Stream, key, permutation

_PIECE = 256  # examples that one thread reads at a time where all are wanted
_SAMPLE, _SAMPLE_BYTES = 8192, 2**26


class Reader(Protocol):
    """Random access to the examples of a data set."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one example."""
        ...

    @property
    def dtype(self) -> np.dtype[Any]:
        """Either uint8 (pixels) or float32."""
        ...

    @property
    def identity(self) -> str:
        """Names and sizes of the files, one line each: what tells two data sets apart."""
        ...

    def __len__(self) -> int:
        """Number of examples."""
        ...

    def read(self, numbers: Array) -> Array:
        """Returns the examples of these numbers, [B, *shape]; called from several threads at once.

        Raises:
            ValueError: for what cannot be read, naming the file.
        """
        ...

    def where(self, number: int) -> str:
        """Which example of which file that is, for messages."""
        ...


class Records:
    """An array of examples, [N, *event], that is read from disk a batch at a time.

    Slices and selections are other `Records`; nothing is read to make them.

    Args:
        reader: where the examples are.
        numbers: which of them, int64 [N]; all of them, in order, by default.
        shape: of one example, where it is to be another than the reader's.
        limit: numbers have to lie in [0, limit]; by default they have to be finite.
    """

    def __init__(
        self,
        reader: Reader,
        numbers: Array | None = None,
        shape: tuple[int, ...] | None = None,
        limit: float | None = None,
    ):
        self.reader, self.limit = reader, limit
        self.numbers = np.arange(len(reader), dtype=np.int64) if numbers is None else numbers
        self.event_shape = tuple(reader.shape if shape is None else shape)
        self.dtype = reader.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        """[N, *event]."""
        return (len(self), *self.event_shape)

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, index: slice | Array) -> "Records":
        return Records(self.reader, self.numbers[index], self.event_shape, self.limit)

    def flattened(self) -> "Records":
        """The same examples as vectors."""
        return Records(self.reader, self.numbers, (math.prod(self.event_shape),), self.limit)

    def limited(self, limit: float) -> "Records":
        """The same examples, of which none may hold numbers outside [0, limit]."""
        return Records(self.reader, self.numbers, self.event_shape, limit)

    def read(self, indices: Array) -> Array:
        """Returns the examples at these places, [B, *event].

        Raises:
            UnfitExample: for what cannot be read, or holds numbers that it must not, naming the file.
        """
        numbers = self.numbers[indices]
        try:
            values = self.reader.read(numbers).reshape(-1, *self.event_shape)
        except (OSError, ValueError) as error:
            raise UnfitExample(str(error)) from error
        if values.dtype != np.uint8:
            self._check(values, numbers)
        return values

    def _check(self, values: Array, numbers: Array) -> None:
        fits = np.isfinite(values)
        if self.limit is not None:
            fits &= (values >= 0) & (values <= self.limit)
        if not fits.all():
            row = int(np.argmin(fits.reshape(len(fits), -1).all(axis=1)))
            allowed = (
                "finite numbers" if self.limit is None else f"numbers from 0 to {self.limit:g}"
            )
            raise UnfitExample(
                f"{self.reader.where(numbers[row])} holds {values[row][~fits[row]][0]}. Expected {allowed}. "
                "Mend the data, or leave such examples out."
            )

    def gather(self, indices: tf.Tensor) -> tf.Tensor:
        """`read` as an operation of a graph."""
        values = tf.numpy_function(self.read, [indices], self.dtype, stateful=False)
        return tf.ensure_shape(values, [*indices.shape, *self.event_shape])

    def load(self) -> Array:
        """Returns all of them, read by several threads."""
        check_fits("The data set", math.prod(self.shape) * self.dtype.itemsize)
        pieces = np.array_split(np.arange(len(self)), math.ceil(len(self) / _PIECE))
        values = np.empty(self.shape, self.dtype)
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for piece, read in zip(pieces, pool.map(self.read, pieces), strict=True):
                values[piece] = read
        return values

    @functools.cached_property
    def sample(self) -> Array:
        """Examples that stand for all of them, [at most 8,192, *event]: the same at every call."""
        fitting = _SAMPLE_BYTES // (math.prod(self.event_shape) * self.dtype.itemsize)
        order = permutation(len(self), key(EVALUATION_SEED, Stream.SAMPLE)).numpy()
        return self[np.sort(order[: min(_SAMPLE, max(1, fitting))])].load()

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the files' names and sizes, of which examples these are, and of the sample."""
        digest = hashlib.sha256(os.fsencode(self.reader.identity))
        digest.update(f"{self.dtype} {self.shape}".encode())
        digest.update(self.numbers.tobytes())
        digest.update(self.sample.tobytes())
        return digest.hexdigest()

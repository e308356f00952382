"""Protocols: what a likelihood is a likelihood *of*.

Log-likelihoods of the same images under two protocols are not comparable: static and dynamic
binarisation of MNIST differ by about 2 nats, grey values by hundreds.
"""

import dataclasses
import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import tensorflow as tf

from keras_vae.data.examples import Array
from keras_vae.data.records import Records
from keras_vae.data.streams import ALGORITHM, EVALUATION_SEED, Stream, key

_CHUNK, _CHUNK_VALUES = 4096, 2**24


@dataclasses.dataclass(frozen=True)
class Protocol:
    """How stored values become the float32 examples that a model sees.

    Args:
        name: What the protocol is called.
        meaning: One line for summaries.
        scale: Function of stored values to float32 values of the same shape.
        draw: Function `(values, seed)` to zeros and ones (uint8, same shape), or None if nothing
            is drawn.
        redraws: Whether training examples are drawn anew in every epoch. Validation and test
            examples never are.
        probabilities: Whether values must be 8-bit pixels or floats in [0, 1].
    """

    name: str
    meaning: str
    scale: Callable[[tf.Tensor], tf.Tensor]
    draw: Callable[[tf.Tensor, tf.Tensor], tf.Tensor] | None = None
    redraws: bool = False
    probabilities: bool = True

    def __call__(self, values: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Returns training examples as float32, drawn with `seed` if the protocol redraws."""
        if self.draw is not None and self.redraws:
            values = self.draw(values, seed)
        return self.scale(values)

    def expected(self, values: tf.Tensor | Array) -> tf.Tensor:
        """Returns what training examples average to over the draws, as float32."""
        values = tf.convert_to_tensor(values)
        return unit_interval(values) if self.redraws else self.scale(values)

    def held_out(self, values: tf.Tensor, stream: Stream, number: int | tf.Tensor) -> tf.Tensor:
        """Returns the examples of one chunk of a held-out split, as float32.

        Args:
            values: Stored values of the examples from `number * chunk_rows` on, at most `chunk_rows`.
            stream: The split's stream.
            number: Which chunk it is.
        """
        return self.scale(self._drawn(values, stream, number))

    def _drawn(self, values: tf.Tensor, stream: Stream, number: int | tf.Tensor) -> tf.Tensor:
        if self.draw is None:
            return values
        return self.draw(values, key(EVALUATION_SEED, stream, number))

    def store(self, values: "Array | Records", stream: Stream) -> "Array | Records":
        """Returns what is kept in memory of a split: its values, or one draw of them.

        The draw depends on `EVALUATION_SEED`, the split and the position of the example, so it
        is the same whatever the training seed, the batch size and the number of examples.

        Args:
            values: [N, *event].
            stream: The split's stream: `Stream.TRAIN`, `Stream.VALIDATION` or `Stream.TEST`.

        Returns:
            [N, *event]; `Records` as they are, to be drawn when they are read.

        Raises:
            ValueError: For training examples on disk that would be drawn once.
        """
        if self.draw is None or (self.redraws and stream is Stream.TRAIN):
            return values
        if isinstance(values, Records):
            if stream is Stream.TRAIN:
                raise ValueError(
                    f'protocol="{self.name}" draws training pixels once and keeps them in memory, which a stream '
                    'does not. Use protocol="dynamic".'
                )
            return values
        rows = chunk_rows(values.shape[1:])
        return np.concatenate(
            [
                self._drawn(tf.constant(values[start : start + rows]), stream, number).numpy()
                for number, start in enumerate(range(0, len(values), rows))
            ]
        )

    def check(self, values: "Array | Records", split: str) -> None:
        """Raises a ValueError if `values` are not what the protocol reads.

        Args:
            values: [N, *event]; `Records` look at themselves when they are read.
            split: Name of the set, for the message.
        """
        if not self.probabilities or values.dtype == np.uint8 or isinstance(values, Records):
            return
        lowest, highest = values.min(), values.max()
        if lowest < 0 or highest > 1:
            raise ValueError(
                f'protocol="{self.name}" expects uint8 pixels or floats in [0, 1], as do '
                f"{_names(p.name for p in PROTOCOLS.values() if p.probabilities)}. Received: "
                f"{split} values from {lowest:g} to {highest:g}. Rescale them, or use "
                'protocol="raw", which takes values as they are.'
            )


def chunk_rows(event_shape: tuple[int, ...]) -> int:
    """Examples that are handled at a time, and, of a held-out split, drawn with one seed."""
    return max(1, min(_CHUNK, _CHUNK_VALUES // max(1, math.prod(event_shape))))


def unit_interval(values: tf.Tensor) -> tf.Tensor:
    """Returns uint8 pixels divided by 255, other values as they are, as float32.

    Example:
    >>> unit_interval(tf.constant([0, 51, 255], tf.uint8)).numpy().tolist()
    [0.0, 0.20000000298023224, 1.0]
    """
    floats = tf.cast(values, tf.float32)
    return floats / 255.0 if values.dtype == tf.uint8 else floats


def unchanged(values: tf.Tensor) -> tf.Tensor:
    """Returns the values as they are, as float32."""
    return tf.cast(values, tf.float32)


def bernoulli(values: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Draws zeros and ones with the values as probabilities.

    Pixels are compared with 16 random bits: the probability is within 2**-16 of pixel / 255, and
    exact for 0 (never) and 255 (always).

    Args:
        values: uint8 pixels, or float32 probabilities, of any shape.
        seed: Stateless seed, integers of shape [2].

    Returns:
        A uint8 tensor of zeros and ones, of the shape of `values`.

    Example:
    >>> bernoulli(tf.constant([0, 255, 0, 255], tf.uint8), seed=[0, 1]).numpy().tolist()
    [0, 1, 0, 1]
    """
    if values.dtype == tf.uint8:
        # The same as bits * 255 < values * 2**16, within 16 bits.
        bits, one = _random_uint16(values, seed), tf.constant(1, tf.uint16)
        ones = tf.maximum(bits, one) <= tf.cast(values, tf.uint16) * tf.constant(257, tf.uint16)
    else:
        ones = tf.random.stateless_uniform(tf.shape(values), seed, alg=ALGORITHM) < values
    return tf.cast(tf.ensure_shape(ones, values.shape), tf.uint8)


def _random_uint16(values: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    size = tf.size(values)
    whole_range: Any = None
    words = tf.random.stateless_uniform(
        [(size + 1) // 2], seed, whole_range, whole_range, tf.uint32, alg=ALGORITHM
    )
    halves = tf.reshape(tf.bitcast(words, tf.uint16), [-1])
    return tf.reshape(halves[:size], tf.shape(values))


PROTOCOLS: dict[str, Protocol] = {
    protocol.name: protocol
    for protocol in (
        Protocol("grey", "pixel / 255, in [0, 1]", unit_interval),
        Protocol(
            "dynamic",
            "training pixels drawn anew every epoch, evaluation pixels once",
            unchanged,
            draw=bernoulli,
            redraws=True,
        ),
        Protocol("static", "all pixels drawn once", unchanged, draw=bernoulli),
        Protocol("raw", "values as they are", unchanged, probabilities=False),
        Protocol("table", "columns, each of its type", unchanged, probabilities=False),
    )
}
"""The protocols by name."""


def find_protocol(name: str | None, values: Any) -> Protocol:
    """Returns the protocol of this name; None chooses grey for 8-bit pixels, raw for the rest.

    Args:
        name: One of `PROTOCOLS`, or None.
        values: Training values [N, *event], or of a stream a sample if they are pixels.

    Raises:
        ValueError: If there is no protocol of this name, or if it would take binary values for
            the two darkest of 256 grey levels.
    """
    binary = values.dtype == np.uint8 and values.max() <= 1
    if name is None:
        name = "grey" if values.dtype == np.uint8 and not binary else "raw"
    if name not in PROTOCOLS:
        raise ValueError(
            f"Unknown protocol. Expected one of {_names(PROTOCOLS)}. Received: {name!r}."
        )
    if binary and PROTOCOLS[name].probabilities:
        raise ValueError(
            f'protocol="{name}" reads uint8 values as pixels from 0 to 255. Received: training '
            'values of 0 and 1 only, which are binary already. Use protocol="raw".'
        )
    return PROTOCOLS[name]


def _names(names: Iterable[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)

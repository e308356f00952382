"""Seeds of the data's random streams: what is drawn depends on the seed and on nothing else."""

import enum

import tensorflow as tf

ALGORITHM = "philox"
"""The one generator in use: the same numbers eagerly, in a graph and under XLA."""

EVALUATION_SEED = 20_150_901
"""Seed of everything that two runs must share: held-out examples and their binarisation."""


class Stream(enum.IntEnum):
    """Uses of a seed. Streams of one seed are independent of each other."""

    ORDER = 1
    """Order of the training examples; one index per epoch."""
    TRAINING_DRAWS = 2
    """Training pixels that are drawn anew every epoch; one index per step."""
    EXAMPLES = 3
    """Training examples shown in pictures."""
    PARTITION = 4
    """Which examples of a source with one set are held out."""
    TRAIN = 5
    VALIDATION = 6
    TEST = 7
    """Splits that are binarised once; one index per chunk of examples."""
    SAMPLE = 8
    """Which examples of a stream stand for all of them."""
    TRAINING_CONDITIONS = 9
    """What a condition draws in training; one index per step."""
    CONDITIONS = 10
    """What a condition draws for other examples; one index per split and chunk of examples."""


def key(seed: int, stream: Stream, index: int | tf.Tensor = 0) -> tf.Tensor:
    """Returns the stateless seed of one draw.

    Args:
        seed: A whole number in [0, 2**63).
        stream: What the draw is for.
        index: Number of the draw within its stream, in [0, 2**56).

    Returns:
        An int64 tensor of shape [2], for `tf.random.stateless_*`.
    """
    stream_start = tf.constant(int(stream) << 56, tf.int64)
    return tf.stack([tf.constant(seed, tf.int64), stream_start + tf.cast(index, tf.int64)])


def permutation(size: int, seed: tf.Tensor) -> tf.Tensor:
    """Returns the numbers 0 ... size - 1 in random order, as int64 [size].

    A sort by random keys. `tf.random.experimental.index_shuffle` is cheaper per index but leaves
    the orders of successive epochs correlated when its seed is a small number.
    """
    numbers = tf.range(size, dtype=tf.int64)
    shuffle = tf.random.experimental.stateless_shuffle  # pyright: ignore[reportAttributeAccessIssue]
    return shuffle(numbers, seed, alg=ALGORITHM)

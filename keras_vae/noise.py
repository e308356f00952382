"""Random numbers as functions of a seed: Threefry and the normals made of it, which every runtime
gives alike, and the normals of training.

What is exported is built from integer adds, multiplies, shifts and xors, and a few float functions,
all of them LiteRT built-ins: the SavedModel, the LiteRT file and the live model share one generator,
so one seed is one picture everywhere.
"""

import math

import numpy as np
import tensorflow as tf

__all__ = ["as_seed", "normals", "pick", "standard_normals", "threefry"]

_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_PARITY = 0x1BD11BDA


def int32_word(value: int) -> int:
    """The int32 with the same 32 bits as `value`."""
    return int(np.uint32(value & 0xFFFFFFFF).view(np.int32))


def _logical_right_shift(x, bits):
    """Shifts in zeros: an int32 shift brings in copies of the sign bit, which are taken off again."""
    return tf.bitwise.right_shift(x, bits) - tf.bitwise.right_shift(x, 31) * int32_word(
        1 << (32 - bits)
    )


def _rotate_left(x, bits):
    return x * int32_word(1 << bits) + _logical_right_shift(x, 32 - bits)


def threefry(
    key: tf.Tensor, counter0: tf.Tensor, counter1: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Threefry-2x32 with 20 rounds: 64 random bits for every 64-bit counter.

    Args:
        key: int32 [2].
        counter0, counter1: int32 tensors of one shape, the two words of each counter.

    Returns:
        Two int32 tensors of the counters' shape; read as unsigned, they are the published
        generator's output.

    Example:
        >>> a, b = threefry(tf.constant([0, 0]), tf.constant(0), tf.constant(0))
        >>> hex(int(a) & 0xFFFFFFFF), hex(int(b) & 0xFFFFFFFF)
        ('0x6b200159', '0x99ba4efe')

    References:
        Salmon et al., Parallel random numbers: as easy as 1, 2, 3, SC 2011,
        doi:10.1145/2063384.2063405.
    """
    parity = tf.bitwise.bitwise_xor(tf.bitwise.bitwise_xor(key[0], key[1]), int32_word(_PARITY))
    words = (key[0], key[1], parity)
    x0, x1 = counter0 + words[0], counter1 + words[1]
    for group in range(5):
        for bits in _ROTATIONS[group % 2]:
            x0 = x0 + x1
            x1 = tf.bitwise.bitwise_xor(_rotate_left(x1, bits), x0)
        x0 = x0 + words[(group + 1) % 3]
        x1 = x1 + words[(group + 2) % 3] + (group + 1)
    return x0, x1


def normals(seed: tf.Tensor, num_samples: tf.Tensor | int, size: int) -> tf.Tensor:
    """Standard normals [num_samples, size] as a pure function of the seed (Threefry, then
    Box-Muller).

    Row i takes counters of its own, so the first n rows do not depend on `num_samples` (but for the
    last bit of a vectorised log or cos). Uniforms have 23 bits, so |value| <= 5.77.

    Args:
        seed: int32 [2].
        num_samples: number of rows, a Python integer or an int32 scalar tensor.
        size: number of columns.

    Returns:
        float32 [num_samples, size].
    """
    half = (size + 1) // 2
    counter = tf.range(num_samples * half)
    bits = threefry(seed, counter, tf.zeros_like(counter))
    u1, u2 = (tf.cast(_logical_right_shift(b, 9), tf.float32) * 2.0**-23 + 2.0**-24 for b in bits)
    radius, angle = tf.sqrt(-2.0 * tf.math.log(u1)), 2.0 * math.pi * u2
    pairs = tf.stack([radius * tf.cos(angle), radius * tf.sin(angle)], axis=-1)
    return tf.reshape(pairs, [num_samples, 2 * half])[:, :size]


def standard_normals(seed: tf.Tensor, shape: tf.Tensor) -> tf.Tensor:
    """Standard normals for training: cheaper than `normals`, and not to be exported. They are the same
    eagerly and in a graph; XLA makes other normals of the same bits.

    Under a `tf.distribute` strategy they are this replica's rows of the draw for the global batch, so
    that any number of replicas draws what one process draws, if all have as many rows.

    Args:
        seed: int32 [2].
        shape: int32 [R]: (..., rows of the batch, size).

    Returns:
        float32 of that shape.
    """
    context = tf.distribute.get_replica_context()
    replicas = 1 if context is None else context.num_replicas_in_sync
    if replicas == 1:
        return tf.random.stateless_normal(shape, seed, alg="philox")
    rows = shape[-2]
    everyone = tf.concat([shape[:-2], [replicas * rows], shape[-1:]], axis=0)
    first = rows * context.replica_id_in_sync_group
    drawn = tf.random.stateless_normal(everyone, seed, alg="philox")
    return drawn[..., first : first + rows, :]  # pyright: ignore[reportArgumentType]


def pick(noise: tf.Tensor, probs: tf.Tensor) -> tf.Tensor:
    """Chooses a component from two standard normals: exp(-(a^2 + b^2) / 2) is an exact uniform.

    Args:
        noise: float32 [N, 2], standard normals.
        probs: float32 [K], the components' probabilities.

    Returns:
        int32 [N], component numbers.
    """
    uniform = tf.exp(-0.5 * tf.reduce_sum(noise**2, axis=-1, keepdims=True))
    above = tf.cast(uniform > tf.cumsum(probs)[tf.newaxis], tf.int32)
    return tf.minimum(tf.reduce_sum(above, axis=-1), probs.shape[0] - 1)


def as_seed(seed) -> tf.Tensor:
    """Returns an int32 [2] seed: of an integer its low and high 32-bit words, of a pair the pair
    itself.

    Raises:
        ValueError: for anything else, naming what was received.
    """
    array = np.asarray(seed)
    if array.dtype.kind in "iu" and array.shape == ():
        value = int(array)
        return tf.constant([int32_word(value), int32_word(value >> 32)], tf.int32)
    words = array.tolist()
    if (
        array.dtype.kind in "iu"
        and array.shape == (2,)
        and all(-(2**31) <= w < 2**32 for w in words)
    ):
        return tf.constant([int32_word(word) for word in words], tf.int32)
    raise ValueError(
        "Invalid seed. Expected an integer of 64 bits or a pair of integers of 32 bits. "
        f"Received: {seed!r}"
    )

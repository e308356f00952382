"""The only source of randomness in a model: counter-based normals, and the layer that counts the
draws.

Everything here is built from integer adds, multiplies, shifts and xors, and a few float functions,
all of them LiteRT built-ins: training's seeds, the SavedModel and the LiteRT file share one
generator, so one seed is one picture everywhere.
"""

import contextlib
import math

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from keras_vae import posteriors
from keras_vae._parts import StatefulPart, register

tfd = tfp.distributions

__all__ = ["Sampling", "as_seed", "normals", "pick", "threefry"]

_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_PARITY = 0x1BD11BDA
_COUNTER_BITS = 32  # of a draw's number; what is above them says which stream it is in
_MOST_REPLICAS = 1 << 16
_STREAM = 0x5EED  # the second key word of a model's draws; `generate` seeds use both words


def _int32(value: int) -> int:
    """The int32 with the same 32 bits as `value`."""
    return int(np.uint32(value & 0xFFFFFFFF).view(np.int32))


def _logical_right_shift(x, bits):
    """Shifts in zeros: an int32 shift brings in copies of the sign bit, which are taken off again."""
    return tf.bitwise.right_shift(x, bits) - tf.bitwise.right_shift(x, 31) * _int32(
        1 << (32 - bits)
    )


def _rotate_left(x, bits):
    return x * _int32(1 << bits) + _logical_right_shift(x, 32 - bits)


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
    parity = tf.bitwise.bitwise_xor(tf.bitwise.bitwise_xor(key[0], key[1]), _int32(_PARITY))
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
        return tf.constant([_int32(value), _int32(value >> 32)], tf.int32)
    if array.dtype.kind in "iu" and array.shape == (2,):
        return tf.constant([_int32(int(v)) for v in array], tf.int32)
    raise ValueError(
        f"Invalid seed. Expected an integer or a pair of 32-bit integers. Received: {seed!r}"
    )


@register
class Sampling(StatefulPart):
    """Draws z ~ q(z|x), reparameterised; owns the model's seed and its saved draw counter.

    Each draw's seed is a function of (seed, draw counter, replica). The counter is a weight: it is
    in every saved file, so a loaded model goes on with the draws it would have made. In a model,
    `draw` gives the distribution together with its sample; in a Functional graph of your own, call
    the layer on the parameters.

    Args:
        seed: integer.
        posterior: what turns parameters into q when the layer is called; diagonal `Normal` by
            default.

    Example:
        >>> Sampling(seed=1)(tf.zeros([8, 2 * 20])).shape
        TensorShape([8, 20])
    """

    def __init__(
        self,
        seed: int = 0,
        posterior: posteriors.Posterior | None = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.seed = int(seed)
        self.posterior = posterior or posteriors.Normal()
        self.draws = self.add_weight(
            shape=(),
            dtype="int64",  # a GPU has no kernel for an int32 variable
            initializer="zeros",
            trainable=False,
            name="draws",
            aggregation="only_first_replica",
        )
        self.built = True

    def next_seed(self) -> tf.Tensor:
        """A fresh int32 [2] seed; counts one draw."""
        draw = tf.convert_to_tensor(self.draws)
        stream = tf.cast(tf.bitwise.right_shift(draw, _COUNTER_BITS), tf.int32)
        self.draws.assign_add(1)
        context = tf.distribute.get_replica_context()
        replica = context.replica_id_in_sync_group if context is not None else 0
        key = tf.constant([_int32(self.seed), _int32(_STREAM ^ (self.seed >> 32))])
        counter = tf.cast(draw, tf.int32), tf.cast(replica, tf.int32) + stream * _MOST_REPLICAS
        return tf.stack(threefry(key, *counter))

    @contextlib.contextmanager
    def evaluation_draws(self):
        """Inside, draws come from a stream of their own, from its start; the counter comes back after."""
        draws = self.draws.numpy()
        self.draws.assign(1 << _COUNTER_BITS)
        try:
            yield
        finally:
            self.draws.assign(draws)

    def draw(
        self,
        posterior: posteriors.Posterior,
        params: tf.Tensor,
        num_samples: int | None = None,
        seed=None,
    ) -> tuple[tfd.Distribution, tf.Tensor]:
        """Returns q and z ~ q: [..., latent_dim], or [num_samples, ..., latent_dim] where a number
        is given.

        The q that is returned is the one that drew z; hand that z to `q.log_prob` untouched. A
        `seed` (int32 [2]) takes the place of the counter, which then stays as it is.
        """
        q = posterior.distribution(params)
        shape = () if num_samples is None else (num_samples,)
        return q, q.sample(shape, seed=self.next_seed() if seed is None else seed)

    def call(self, params, num_samples: int | None = None):
        return self.draw(self.posterior, params, num_samples)[1]

    def get_config(self):
        posterior = keras.saving.serialize_keras_object(self.posterior)
        return super().get_config() | {"seed": self.seed, "posterior": posterior}

    @classmethod
    def from_config(cls, config):
        posterior = keras.saving.deserialize_keras_object(config["posterior"])
        return cls(**(config | {"posterior": posterior}))

"""The layer that draws: the only source of randomness in a model."""

import contextlib

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from keras_vae import posteriors
from keras_vae._parts import StatefulPart, register
from keras_vae.noise import as_seed, int32_word, threefry

tfd = tfp.distributions

__all__ = ["Sampling"]

_COUNTER_BITS = 32  # of a draw's number; what is above them says which stream it is in
_STREAM = 0x5EED  # the second key word of a model's draws; `generate` seeds use both words


@register
class Sampling(StatefulPart):
    """Draws z ~ q(z|x), reparameterised; owns the model's seed and its saved draw counter.

    Each draw's seed is a function of (seed, draw counter). The counter is a weight: it is
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
        as_seed(seed)  # refuses what is none
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
        self.draws.assign_add(1)
        key = tf.constant([int32_word(self.seed), int32_word(_STREAM ^ (self.seed >> 32))])
        high = tf.bitwise.right_shift(draw, _COUNTER_BITS)
        return tf.stack(threefry(key, tf.cast(draw, tf.int32), tf.cast(high, tf.int32)))

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
        return posterior.draw(params, num_samples, self.next_seed() if seed is None else seed)

    def call(self, params, num_samples: int | None = None):
        return self.draw(self.posterior, params, num_samples)[1]

    def get_config(self):
        posterior = keras.saving.serialize_keras_object(self.posterior)
        return super().get_config() | {"seed": self.seed, "posterior": posterior}

    @classmethod
    def from_config(cls, config):
        posterior = keras.saving.deserialize_keras_object(config["posterior"])
        return cls(**(config | {"posterior": posterior}))

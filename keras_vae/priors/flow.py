import abc
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from keras_vae._parts import (
    as_tuple,
    check_count,
    masked_degrees,
    name_of,
    register,
    scale_of,
    soft_clip,
)
from keras_vae.priors._base import Prior

tfd, tfb = tfp.distributions, tfp.bijectors

_INNER, _OUTER = 2.0, 4.0  # of a block's log-scale


class FlowPrior(Prior, abc.ABC):
    """p(z) of z = f(e), e ~ N(0, I), for an f that is learned and can be inverted.

        log p(z) = log N(f^-1(z); 0, I) + log |det df^-1(z)/dz|

    f is a chain of blocks z = shift(z) + exp(log_scale(z)) e, in each of which a dimension is shifted
    and scaled by what a network makes of dimensions before it, and at last one shift and scale of
    every dimension. Networks begin with zeros in their last layer, so that training starts from the
    standard normal; a block's scales stay within exp(-4) and exp(4).

    A subclass says what comes before what; it is final.

    Args:
        latent_dim: size of z, at least 2: before a single dimension there is no other.
        num_blocks: number of blocks.
        hidden: units of the hidden layers of a block's network.
        seed: integer of at least 0, of the networks' initial weights.
    """

    def __init__(
        self,
        latent_dim: int,
        num_blocks: int = 4,
        hidden: int | Sequence[int] = (128, 128),
        seed: int = 0,
        **kwargs,
    ):
        super().__init__(latent_dim, **kwargs)
        check_count(name_of(self), least=2, latent_dim=latent_dim)
        check_count(name_of(self), num_blocks=num_blocks)
        check_count(name_of(self), least=0, seed=seed)
        self.num_blocks, self.hidden, self.seed = int(num_blocks), as_tuple(hidden), int(seed)
        for units in self.hidden:
            check_count(name_of(self), hidden=units)
        self.networks = [self._network(number) for number in range(num_blocks)]
        self.loc, self.log_variance = (
            self.add_weight(shape=(latent_dim,), initializer="zeros", name=name)
            for name in ("loc", "log_variance")
        )

    @property
    @abc.abstractmethod
    def num_passes(self) -> int:
        """How often a sample goes through a block's network, a density being one pass."""

    @abc.abstractmethod
    def _network(self, number: int) -> keras.Model:
        """The float32 network of a block."""

    @abc.abstractmethod
    def _shift_and_log_scale(self, number: int, z: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """What a block does to e, given z [N, latent_dim]: like z each, the log-scale unbounded."""

    def start_from(self, loc, stddev) -> None:
        """Sets the last shift and scale, [latent_dim] each: what the normal that training starts from
        has for location and scale.
        """
        self.loc.assign(loc)
        self.log_variance.assign(2.0 * np.log(np.clip(stddev, 1e-2, 1e2)))

    def bijector(self) -> tfb.Bijector:
        """f, from e to z."""
        blocks = [
            _Block(lambda z, n=number: self._shift_and_log_scale(n, z), self.num_passes)
            for number in range(self.num_blocks)
        ]
        scale = scale_of(tf.convert_to_tensor(self.log_variance))
        return tfb.Chain([tfb.Shift(tf.convert_to_tensor(self.loc)), tfb.Scale(scale), *blocks])

    def distribution(self, batch=None):
        zeros = tf.zeros([self.latent_dim])
        base = tfd.Independent(tfd.Normal(zeros, tf.ones_like(zeros)), 1)
        return tfd.TransformedDistribution(base, self.bijector())

    def transform(self, noise, batch=None):
        return self.bijector().forward(noise)

    def _initializer(self, number: int, layer: int) -> Any:
        words = np.random.SeedSequence([self.seed, number, layer]).generate_state(1)
        return keras.initializers.GlorotUniform(seed=int(words[0]))

    def get_config(self):
        return super().get_config() | {
            "num_blocks": self.num_blocks,
            "hidden": self.hidden,
            "seed": self.seed,
        }


@register
class RealNVP(FlowPrior):
    """A flow of affine couplings: one half of z is shifted and scaled by what the other half says.

        z_a = e_a,    z_b = shift(e_a) + exp(log_scale(e_a)) e_b        the halves taking turns

    Density and sampling cost one pass each: the flow to begin with. `MAF` models more with as many
    blocks, and samples slowly.

    Args:
        latent_dim, num_blocks, hidden, seed: as of `FlowPrior`.

    Example:
        >>> prior = RealNVP(3, num_blocks=2, hidden=8)
        >>> prior.distribution().log_prob(tf.zeros([5, 4, 3])).shape
        TensorShape([5, 4])

    References:
        Dinh, Sohl-Dickstein and Bengio, Density estimation using Real NVP, 2016, arXiv:1605.08803.
    """

    @property
    def num_passes(self):
        return 1

    def _halves(self, number: int) -> tuple[slice, slice]:
        """The dimensions that a block leaves as they are, and those that it moves."""
        first, last = slice(0, self.latent_dim // 2), slice(self.latent_dim // 2, self.latent_dim)
        return (first, last) if number % 2 == 0 else (last, first)

    def _network(self, number):
        kept, moved = (half.stop - half.start for half in self._halves(number))
        h = inputs = keras.Input((kept,), dtype="float32")
        for layer, units in enumerate(self.hidden):
            start = self._initializer(number, layer)
            h = keras.layers.Dense(units, "relu", kernel_initializer=start, dtype="float32")(h)
        output = keras.layers.Dense(2 * moved, kernel_initializer="zeros", dtype="float32")
        return keras.Model(inputs, output(h))

    def _shift_and_log_scale(self, number, z):
        kept, moved = self._halves(number)
        output = tf.split(self.networks[number](z[:, kept]), 2, axis=-1)
        beside = [[0, 0], [moved.start, self.latent_dim - moved.stop]]
        shift, log_scale = (tf.pad(half, beside) for half in output)
        return shift, log_scale


@register
class MAF(FlowPrior):
    """A masked autoregressive flow: every dimension is shifted and scaled by what those before it say.

        z_d = shift_d(z_<d) + exp(log_scale_d(z_<d)) e_d        from the first to the last and back

    A density costs one pass and a sample latent_dim of them, one after the other: for densities
    that are taken often, as in training, and samples that are not. One block is the Gaussian
    autoregressive model p(z) = prod_d N(z_d; shift_d, exp(log_scale_d)^2) itself, in which every
    dimension reads all before it where hidden layers have latent_dim - 1 units or more; with fewer,
    some do not read the nearest ones.

    Args:
        latent_dim, num_blocks, hidden, seed: as of `FlowPrior`.

    Example:
        >>> prior = MAF(3, num_blocks=2, hidden=8)
        >>> prior.sample(5, seed=7).shape
        TensorShape([5, 3])

    References:
        Papamakarios, Pavlakou and Murray, Masked Autoregressive Flow for Density Estimation, 2017,
        arXiv:1705.07057.
        Germain et al., MADE: Masked Autoencoder for Distribution Estimation, 2015,
        arXiv:1502.03509 (the networks).
    """

    @property
    def num_passes(self):
        return self.latent_dim

    def _network(self, number):
        place = np.arange(1, self.latent_dim + 1)[:: 1 if number % 2 == 0 else -1]
        h, seen = keras.Input((self.latent_dim,), dtype="float32"), place
        inputs = h
        for layer, units in enumerate(self.hidden):
            sees = 1 + masked_degrees(units, self.latent_dim - 1)
            start = self._initializer(number, layer)
            mask = sees[np.newaxis] >= seen[:, np.newaxis]
            h, seen = MaskedDense(mask, activation="relu", kernel_initializer=start)(h), sees
        mask = np.tile(place, 2)[np.newaxis] > seen[:, np.newaxis]
        return keras.Model(inputs, MaskedDense(mask, kernel_initializer="zeros")(h))

    def _shift_and_log_scale(self, number, z):
        shift, log_scale = tf.split(self.networks[number](z), 2, axis=-1)
        return shift, log_scale


class _Block(tfb.Bijector):
    """z = shift(z) + exp(log_scale(z)) e, solved by so many passes from z = e.

    Inverse and determinant share one call of the network: two calls, as of TFP's own classes, are
    two backward passes in training.
    """

    def __init__(
        self, parameters_of: Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]], num_passes: int
    ):
        super().__init__(forward_min_event_ndims=1, parameters=dict(locals()))
        self._parameters_of, self._num_passes = parameters_of, num_passes
        self._last: tuple[Any, Any, Any] = None, None, None

    def _shift_and_log_scale(self, z):
        if self._last[0] is not z:
            flat = self._parameters_of(tf.reshape(z, [-1, z.shape[-1]]))
            shift, log_scale = (tf.reshape(value, tf.shape(z)) for value in flat)
            self._last = z, shift, soft_clip(log_scale, _INNER, _OUTER)
        return self._last[1:]

    def _forward(self, e):
        z = e
        for _ in range(self._num_passes):
            shift, log_scale = self._shift_and_log_scale(z)
            z = shift + tf.exp(log_scale) * e
        return z

    def _inverse(self, z):
        shift, log_scale = self._shift_and_log_scale(z)
        return (z - shift) * tf.exp(-log_scale)

    def _inverse_log_det_jacobian(self, z):
        return -tf.reduce_sum(self._shift_and_log_scale(z)[1], axis=-1)


class MaskedDense(keras.layers.Dense):
    """A dense layer [B, n] -> [B, m] without the connections that a mask [n, m] leaves out."""

    def __init__(self, mask: np.ndarray, **kwargs):
        super().__init__(mask.shape[1], dtype="float32", **kwargs)
        self.connections = mask.astype(np.float32)

    def call(self, inputs, training=None):
        kernel = tf.convert_to_tensor(self.kernel) * self.connections
        return self.activation(tf.matmul(inputs, kernel) + tf.convert_to_tensor(self.bias))

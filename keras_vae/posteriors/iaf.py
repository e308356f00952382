from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_vae._parts import StatefulPart, check_count, masked_degrees, name_of, register
from keras_vae.posteriors._flow import Flow

_OPEN = 2.0  # what the gates start from: sigmoid(2) = 0.88 of z stays


@register
class IAF(StatefulPart, Flow):
    """q(z|x) by inverse autoregressive flow: every latent is gated by those before it, and by x.

        f(z) = g * z + (1 - g) * m,   [m, s] = network(z, h),   g = sigmoid(s)
        log |det df/dz| = sum_d log g_d

    The encoder gives `[loc, log_variance, h]`, the Gaussian that the flow starts from and the context
    h. The d-th m and s read the latents before the d-th alone, so the Jacobian is triangular; every
    step takes the latents in the reverse order of the last. A draw is one pass through each network,
    whatever latent_dim. Of the posteriors here the most flexible one in many dimensions. log q is known
    at q's own draws alone, so that objectives and priors that look elsewhere (`DReG`, `VampPrior`) are
    refused, and q has no standard deviation to report. Not to be confused with a masked autoregressive
    prior, which goes the other way: quick densities, slow draws.

    Args:
        latent_dim: size of z.
        num_steps: number of steps.
        hidden: units of the hidden layer of each step's network. With fewer than latent_dim, some latents
            do not read the nearest of those before them.
        context_size: size of h.

    Raises:
        ValueError: where the parameters of another latent_dim are asked for.

    Example:
        >>> posterior = IAF(3, num_steps=2, hidden=8, context_size=4)
        >>> posterior.params_size(3)
        10
        >>> q, z = posterior.draw(tf.zeros([8, 10]), None, tf.constant([0, 7]))
        >>> z.shape, q.log_prob(z).shape
        (TensorShape([8, 3]), TensorShape([8]))

    References:
        Kingma et al., Improving Variational Inference with Inverse Autoregressive Flow, 2016,
        arXiv:1606.04934.
        Germain, Gregor, Murray and Larochelle, MADE: Masked Autoencoder for Distribution Estimation,
        2015, arXiv:1502.03509 (the masks).
    """

    def __init__(
        self,
        latent_dim: int,
        num_steps: int = 4,
        hidden: int = 128,
        context_size: int = 32,
        **kwargs,
    ):
        super().__init__(**kwargs)
        sizes = {
            "latent_dim": latent_dim,
            "num_steps": num_steps,
            "hidden": hidden,
            "context_size": context_size,
        }
        check_count(name_of(self), **sizes)
        self._sizes = {name: int(size) for name, size in sizes.items()}
        self.steps = [
            _Step(
                int(latent_dim),
                int(hidden),
                int(context_size),
                backwards=bool(number % 2),
                name=f"step_{number}",
            )
            for number in range(num_steps)
        ]
        self.built = True

    def params_size(self, latent_dim):
        if latent_dim != (own := self._sizes["latent_dim"]):
            raise ValueError(
                f"{name_of(self)} was made for latent_dim={own}, and {latent_dim} is asked for. They have to be "
                "equal."
            )
        return 2 * own + self._sizes["context_size"]

    def _latent_dim(self, params):
        return self._sizes["latent_dim"]

    def _steps(self, z, params):
        log_det = tf.constant(0.0)
        for step in self.steps:
            z, volume = step.forward(z, params)
            log_det += volume
        return z, log_det

    def get_config(self):
        return super().get_config() | self._sizes


class _Step(StatefulPart):
    """One step of the flow, its latents taken in their order or backwards.

    A hidden unit of degree n reads the first n latents in that order, those of degree 0 the context
    alone; the d-th output reads the units of a degree below d.
    """

    def __init__(
        self, latent_dim: int, hidden: int, context_size: int, *, backwards: bool, name: str
    ):
        super().__init__(name=name)
        order = np.arange(1, latent_dim + 1)
        order = order[::-1] if backwards else order
        degree = masked_degrees(hidden, latent_dim)
        self._into = (order[:, np.newaxis] <= degree).astype(np.float32)
        self._out_of = np.tile(degree[:, np.newaxis] < order, 2).astype(np.float32)
        self.from_z = self.add_weight(shape=(latent_dim, hidden), name="from_z")
        self.from_context = self.add_weight(shape=(context_size, hidden), name="from_context")
        self.bias = self.add_weight(shape=(hidden,), initializer="zeros", name="bias")
        small: Any = keras.initializers.VarianceScaling(0.01)
        self.outwards = self.add_weight(
            shape=(hidden, 2 * latent_dim), initializer=small, name="outwards"
        )
        start = np.repeat([0.0, _OPEN], latent_dim)
        self.out_bias = self.add_weight(
            shape=(2 * latent_dim,),
            initializer=lambda shape, dtype: keras.ops.convert_to_tensor(start, dtype),
            name="out_bias",
        )
        self.built = True

    def forward(self, z: tf.Tensor, context: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """f(z) [..., D] and log |det df/dz| [...] of z [..., B, D] and context [B, context_size]."""
        given_x = tf.matmul(context, self.from_context) + self.bias
        units = tf.nn.elu(tf.matmul(z, self.from_z * self._into) + given_x)
        outputs = tf.matmul(units, self.outwards * self._out_of) + self.out_bias
        m, s = tf.split(outputs, 2, axis=-1)
        gate = tf.sigmoid(s)
        return gate * z + (1.0 - gate) * m, tf.reduce_sum(tf.math.log_sigmoid(s), axis=-1)

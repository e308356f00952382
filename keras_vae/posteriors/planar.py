import math
from typing import Any

import tensorflow as tf

from keras_vae._parts import Configurable, check_count, name_of, value_object
from keras_vae.posteriors._flow import Flow

_SHIFT = math.log(math.e - 1.0)  # softplus of it is 1


@value_object
class PlanarFlow(Flow, Configurable):
    """q(z|x) as a diagonal Gaussian that is stretched along one direction after the other.

        f(z) = z + u tanh(w . z + b),   log |det df/dz| = log(1 + u . w (1 - tanh^2(w . z + b)))

    The encoder gives `[loc, log_variance]` and (u, w, b) for each layer. What it gives for u is moved
    along w to where u . w > -1, which makes f invertible, and so that u = 0 stays f(z) = z. A layer is
    one hidden unit: it takes many of them to bend a Gaussian in many dimensions, where `IAF` does
    better. log q is known at q's own draws alone, so that objectives and priors that look elsewhere
    (`DReG`, `VampPrior`) are refused, and q has no standard deviation to report.

    Args:
        num_layers: number of layers.

    Example:
        >>> posterior = PlanarFlow(num_layers=2)
        >>> posterior.params_size(3)
        20
        >>> q, z = posterior.draw(tf.zeros([8, 20]), None, tf.constant([0, 7]))
        >>> z.shape, q.log_prob(z).shape
        (TensorShape([8, 3]), TensorShape([8]))

    References:
        Rezende and Mohamed, Variational Inference with Normalizing Flows, 2015, arXiv:1505.05770.
    """

    num_layers: int = 8

    def __post_init__(self):
        check_count(name_of(self), num_layers=self.num_layers)

    def params_size(self, latent_dim):
        return 2 * latent_dim + self.num_layers * (2 * latent_dim + 1)

    def _latent_dim(self, params):
        size: Any = params.shape[-1]
        return (size - self.num_layers) // (2 + 2 * self.num_layers)

    def _steps(self, z, params):
        dim: Any = z.shape[-1]
        log_det = tf.constant(0.0)
        for layer in tf.split(params, self.num_layers, axis=-1):
            raw, w, b = tf.split(layer, [dim, dim, 1], axis=-1)
            u = _invertible(raw, w)
            bent = tf.tanh(_dot(w, z) + b)
            z += u * bent
            log_det += tf.math.log(tf.abs(1.0 + _dot(u, w) * (1.0 - bent**2)))
        return z, tf.squeeze(log_det, axis=-1)


def _invertible(raw: tf.Tensor, w: tf.Tensor) -> tf.Tensor:
    """`raw`, moved along w to where its product with w is above -1."""
    along = _dot(raw, w)
    shifted = along + _SHIFT
    # A softplus that does not overflow in LiteRT.
    softplus = tf.maximum(shifted, 0.0) + tf.math.log(1.0 + tf.exp(-tf.abs(shifted)))
    return raw + (softplus - 1.0 - along) * w / (_dot(w, w) + 1e-6)


def _dot(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    return tf.reduce_sum(a * b, axis=-1, keepdims=True)

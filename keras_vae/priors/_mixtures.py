"""Mixtures of distributions over latents."""

import math
from typing import Any

import tensorflow as tf
import tensorflow_probability as tfp

tfd = tfp.distributions


def mixture(logits: tf.Tensor, components: tfd.Distribution) -> tfd.Distribution:
    """sum_k softmax(logits)_k p_k(z), for components with batch shape [K]; of products of Normals it has
    the quick density of `normal_mixture_log_prob`.
    """
    inner = components.distribution if isinstance(components, tfd.Independent) else None
    kind = _NormalMixture if isinstance(inner, tfd.Normal) else tfd.MixtureSameFamily
    return kind(tfd.Categorical(logits=logits), components)


class _NormalMixture(tfd.MixtureSameFamily):
    def _log_prob(self, value):
        normals = self.components_distribution.distribution
        weights = tf.nn.log_softmax(self.mixture_distribution.logits)
        return normal_mixture_log_prob(value, weights, normals.loc, normals.scale)


def normal_mixture_log_prob(
    z: tf.Tensor, log_weights: tf.Tensor, loc: tf.Tensor, scale: tf.Tensor
) -> tf.Tensor:
    """Log sum_k w_k prod_d N(z_d; loc_kd, scale_kd^2) in nats: [...] for z [..., D].

    The value comes from the squared distances themselves. Its gradient comes from matrix products, of
    the components' responsibilities with z and z^2, several times as quick as what automatic
    differentiation makes of [..., K, D] distances.

    Args:
        z: [..., D].
        log_weights: log w, [K].
        loc, scale: [K, D] each.
    """
    size = z.shape[-1]
    flat = tf.reshape(z, [-1, size])
    total: Any = _log_prob(flat, log_weights, loc, scale)
    return tf.reshape(total, tf.shape(z)[:-1])


@tf.custom_gradient
def _log_prob(z, log_weights, loc, scale):
    constant = log_weights - tf.reduce_sum(
        tf.math.log(scale) + 0.5 * math.log(2.0 * math.pi), axis=-1
    )
    squares = tf.reduce_sum(((z[:, tf.newaxis] - loc) / scale) ** 2, axis=-1)
    by_component = constant - 0.5 * squares
    total = tf.reduce_logsumexp(by_component, axis=-1)

    def gradient(upstream):
        shares = upstream[:, tf.newaxis] * tf.exp(by_component - total[:, tf.newaxis])  # [B, K]
        precision = scale**-2.0
        of_z = tf.matmul(shares, loc * precision) - z * tf.matmul(shares, precision)
        # Moments about 0 cancel where scales are small: float64 has digits to spare.
        wide, z_wide = tf.cast(shares, tf.float64), tf.cast(z, tf.float64)
        moments = tf.matmul(wide, tf.concat([z_wide, z_wide**2], axis=1), transpose_a=True)
        first, second = tf.split(moments, 2, axis=1)
        count, mean = tf.reduce_sum(wide, axis=0), tf.cast(loc, tf.float64)
        size = count[:, tf.newaxis]
        apart = tf.cast(first - size * mean, z.dtype)
        squared = tf.cast(second - 2.0 * mean * first + size * mean**2, z.dtype)
        count = tf.cast(count, z.dtype)
        of_scale = (squared * precision - count[:, tf.newaxis]) / scale
        return of_z, count, apart * precision, of_scale

    return total, gradient

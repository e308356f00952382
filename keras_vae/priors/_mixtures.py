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

    The squared distances come from matrix products of z and z^2 with what the components make of them,
    and the gradient from products with their responsibilities: several times as quick as distances
    [..., K, D]. Such products cancel where scales are small; float64 has digits to spare.

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
    dtype = z.dtype
    z, loc, scale = (tf.cast(each, tf.float64) for each in (z, loc, scale))
    precision = scale**-2.0
    powers = tf.concat([z**2, z], axis=1)
    products = tf.matmul(
        powers, tf.concat([precision, -2.0 * loc * precision], axis=1), transpose_b=True
    )
    log_norms = tf.math.log(scale) + 0.5 * (loc**2 * precision + math.log(2.0 * math.pi))
    constant = tf.cast(log_weights, tf.float64) - tf.reduce_sum(log_norms, axis=1)
    by_component = tf.cast(constant - 0.5 * products, dtype)
    total = tf.reduce_logsumexp(by_component, axis=1)

    def gradient(upstream):
        shares = upstream[:, tf.newaxis] * tf.exp(by_component - total[:, tf.newaxis])  # [B, K]
        shares = tf.cast(shares, tf.float64)
        of_z = tf.matmul(shares, loc * precision) - z * tf.matmul(shares, precision)
        second, first = tf.split(tf.matmul(shares, powers, transpose_a=True), 2, axis=1)
        count = tf.reduce_sum(shares, axis=0)
        size = count[:, tf.newaxis]
        of_loc = (first - size * loc) * precision
        squares = second - 2.0 * loc * first + size * loc**2
        of_scale = (squares * precision - size) / scale
        return tuple(tf.cast(each, dtype) for each in (of_z, count, of_loc, of_scale))

    return total, gradient

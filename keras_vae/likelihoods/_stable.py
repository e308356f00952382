"""Functions of log-probabilities in float32, of ops that every runtime has.

`tf.nn.softplus` of a large number is infinite in LiteRT, which computes log(1 + exp(x)), and
`tf.math.lgamma` does not run there; ONNX has no `tf.math.log1p`.
"""

import math

import tensorflow as tf


def softplus(x: tf.Tensor) -> tf.Tensor:
    """Log(1 + exp(x)), of any finite x."""
    return 0.5 * x + 0.5 * tf.abs(x) + tf.math.log(1.0 + tf.exp(-tf.abs(x)))


def log_add_exp(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """Log(exp(a) + exp(b)), of finite a and b."""
    return tf.maximum(a, b) + tf.math.log(1.0 + tf.exp(-tf.abs(a - b)))


def log1p(x: tf.Tensor) -> tf.Tensor:
    """Log(1 + x) for x >= 0 to all digits of the result, for what is multiplied by large numbers."""
    small = tf.minimum(x, 1.0)
    ratio = small / (2.0 + small)  # log(1 + x) = 2 atanh(x / (2 + x)), at most 1/3
    return tf.where(x <= 1.0, 2.0 * ratio * _atanh_series(ratio, 1), tf.math.log(1.0 + x))


def _atanh_series(ratio: tf.Tensor, lowest: int) -> tf.Tensor:
    """Sum_p ratio^(p - lowest) / p over odd p from `lowest` to 13: of atanh's powers, up to ratio = 1/3."""
    square, series = ratio * ratio, tf.zeros_like(ratio)
    for power in range(13, lowest - 1, -2):
        series = 1.0 / power + square * series
    return series


_SHIFT = 3  # from here on the three terms of the series are exact in float32


def _series(x: tf.Tensor) -> tf.Tensor:
    """What Stirling's formula leaves out of log gamma(x)."""
    inverse = 1.0 / x
    square = inverse * inverse
    return inverse * (1 / 12 - square * (1 / 360 - square / 1260))


def log_gamma(x: tf.Tensor) -> tf.Tensor:
    """Log gamma(x) for x > 0."""
    y = x + _SHIFT
    stirling = (y - 0.5) * tf.math.log(y) - y + 0.5 * math.log(2 * math.pi) + _series(y)
    return stirling - tf.math.log(x * (x + 1.0) * (x + 2.0))


def stirling_error(x: tf.Tensor) -> tf.Tensor:
    """Log gamma(x + 1) - (x + 1/2) log x + x - log(2 pi) / 2, for x > 0."""
    small, large = tf.minimum(x, 16.0), tf.maximum(x, 16.0)
    by_gamma = log_gamma(small + 1.0) - (small + 0.5) * tf.math.log(small) + small
    return tf.where(x < 16.0, by_gamma - 0.5 * math.log(2 * math.pi), _series(large))


def deviance(difference: tf.Tensor, log_ratio: tf.Tensor) -> tf.Tensor:
    """D = u - 1 - log u >= 0 of u > 0, to all digits near u = 1.

    Args:
        difference: u - 1.
        log_ratio: log u.
    """
    small = tf.clip_by_value(difference, -0.5, 0.5)
    ratio = small / (2.0 + small)  # log u = 2 atanh(ratio), and u - 1 - 2 ratio = (u - 1) ratio
    near = ratio * (small - 2.0 * ratio * ratio * _atanh_series(ratio, 3))
    return tf.where(tf.abs(difference) < 0.5, near, difference - log_ratio)


def log_rising(base: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
    """Log gamma(base + x) - log gamma(base) for base > 0 and x >= 0, without their cancellation."""
    y = base + _SHIFT
    below = sum(tf.math.log(1.0 + x / (base + k)) for k in range(_SHIFT))
    stirling = (y - 0.5) * log1p(x / y) + x * tf.math.log(y + x) - x
    return stirling + _series(y + x) - _series(y) - below

"""Bounds whose gradient is taken apart: into decoder and prior, the path through z, and the score."""

import dataclasses
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from keras_vae.objectives._base import gradient_only


def _half_precision_scale(model: Any, num_rows: tf.Tensor) -> tf.Tensor:
    """What a gradient through half-precision layers is multiplied by, as the optimiser does with the
    mean over a batch: it neither overflows nor vanishes there. 1 in full precision.
    """
    optimizer = getattr(model, "optimizer", None)
    if not isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        return tf.ones([])
    scale: Any = optimizer.scale_loss(1.0 / tf.cast(num_rows, tf.float32))
    return tf.cast(scale, tf.float32)


@dataclasses.dataclass(frozen=True)
class PathWeights:
    """Log importance weights of K samples, and what their gradient is made of.

    Attributes:
        log_weights: log p(x|z_k) + log p(z_k) - log q(z_k|x), [K, B]; as a function of decoder and
            prior alone: z and q stand still.
        z: the samples as functions of the encoder, [K, B, D].
        slopes: d sum_k path_k log w_k / d z_k where q and `path` stand still, [K, B, D]. The sum is taken
            before the gradient, as what couples examples (a scale of the batch) couples their weights.
        log_q: log q(z_k|x) as a function of the encoder where z stands still, [K, B].
    """

    log_weights: tf.Tensor
    z: tf.Tensor
    slopes: tf.Tensor
    log_q: tf.Tensor

    @classmethod
    def of(
        cls,
        model: Any,
        batch,
        num_samples: int,
        training: bool,
        path: Callable[[tf.Tensor], tf.Tensor],
    ) -> "PathWeights":
        """Draws num_samples of z for every example of a batch; `path`, of the log weights [K, B], is what
        log w_k through z_k counts for.
        """
        q, z = model.infer(batch, num_samples, training=training)
        fixed = tf.stop_gradient(z)
        still = tf.nest.map_structure(tf.stop_gradient, q, expand_composites=True)
        with tf.GradientTape() as tape:
            tape.watch(fixed)
            log_weights = model.log_weights_of(batch, still, fixed, training=training)
            along = tf.stop_gradient(path(log_weights)) * log_weights
            along *= (scale := _half_precision_scale(model, tf.shape(z)[1]))
        slopes = tf.stop_gradient(tape.gradient(along, fixed)) / scale
        return cls(log_weights, z, slopes, q.log_prob(fixed))

    def surrogate(self, generative, score=None) -> tf.Tensor:
        """Zero in value, [B]; its gradient is sum_k of `generative` times that of log w_k in decoder and
        prior, plus that through z_k, minus `score` times that of log q(z_k) at fixed z_k.

        Each is [K, B], taken as a constant.
        """
        terms = tf.stop_gradient(generative) * self.log_weights
        terms += tf.reduce_sum(self.slopes * self.z, axis=-1)
        if score is not None:
            terms -= tf.stop_gradient(score) * self.log_q
        return gradient_only(tf.reduce_sum(terms, axis=0))

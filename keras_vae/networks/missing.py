"""Models of which values are missing, for `models.NotMIWAE`."""

import keras
import tensorflow as tf

from keras_vae import likelihoods
from keras_vae._parts import check_known, register
from keras_vae.networks.layers import Features, dense


@register
class SelfMasking(keras.layers.Layer):
    """A logit for every element that depends on it alone: w_d x_d + b_d.

    Args:
        sign: of the slopes w_d, 1 or -1, where it is known; 0 where it is learned.
    """

    def __init__(self, sign: int = 0, **kwargs):
        super().__init__(**kwargs)
        if sign not in (-1, 0, 1):
            raise ValueError(f"The sign of SelfMasking is -1, 0 or 1. Received: {sign!r}")
        self.sign = sign

    def build(self, input_shape):
        self.slope = self.add_weight(shape=input_shape[-1:], initializer="zeros", name="slope")
        self.bias = self.add_weight(shape=input_shape[-1:], initializer="zeros", name="bias")

    def call(self, x):
        slope = tf.convert_to_tensor(self.slope)
        return (self.sign * tf.nn.softplus(slope) if self.sign else slope) * x + self.bias

    def get_config(self):
        return super().get_config() | {"sign": self.sign}


MECHANISMS = {
    "self-masking": "by itself",
    "self-masking-high": "by itself, and the more often the higher it is",
    "self-masking-low": "by itself, and the more often the lower it is",
    "linear": "by a linear function of all values of the row",
    "nonlinear": "by a network of all values of the row",
}
"""How it may be decided whether a value is missing."""


def missingness(mechanism: str, likelihood: likelihoods.Mixed, *, hidden: int = 32) -> keras.Model:
    """A model of which values of a row are observed: what `NotMIWAE` takes.

    Args:
        mechanism: a name in `MECHANISMS`.
        likelihood: what the columns are, real numbers, for x to be standardised.
        hidden: units of the hidden layer of "nonlinear".

    Returns:
        X [B, D] -> logits of being observed [B, D].
    """
    check_known("mechanism", mechanism, MECHANISMS)
    x = keras.Input((likelihood.num_columns,), name="x")
    order = [likelihood.feature_columns.index(i) for i in range(likelihood.num_columns)]
    h = keras.ops.take(Features(likelihood)(x), order, axis=-1)
    if mechanism.startswith("self-masking"):
        sign = {"self-masking-high": -1, "self-masking-low": 1}.get(mechanism, 0)
        return keras.Model(x, SelfMasking(sign)(h), name="missingness")
    h = dense(h, (hidden,) if mechanism == "nonlinear" else (), "tanh")
    return keras.Model(x, keras.layers.Dense(likelihood.num_columns)(h), name="missingness")

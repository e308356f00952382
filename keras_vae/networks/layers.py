"""Layers in front of the dense ones: labels, columns of tables."""

from collections.abc import Callable

import keras
import tensorflow as tf

from keras_vae import likelihoods
from keras_vae._parts import check_count, register

_COUNTS = likelihoods.Poisson, likelihoods.NegativeBinomial, likelihoods.ZeroInflated


@register
class OneHot(keras.layers.Layer):
    """A label 0 ... num_classes - 1 as a vector of zeros and a one; models refuse other labels.

    Args:
        num_classes: number of classes, at least 2.
    """

    def __init__(self, num_classes: int, **kwargs):
        super().__init__(**kwargs)
        check_count("OneHot", least=2, num_classes=num_classes)
        self.num_classes = int(num_classes)

    def call(self, labels):
        return tf.one_hot(tf.cast(labels, tf.int32), self.num_classes, dtype=self.compute_dtype)

    def compute_output_shape(self, input_shape):
        return (*input_shape, self.num_classes)

    def get_config(self):
        return super().get_config() | {"num_classes": self.num_classes}


@register
class Features(keras.layers.Layer):
    """Data as numbers of about unit size: standardised, or one-hot.

    Args:
        likelihood: what they are; of a table its `Mixed`, which knows it of each column.
    """

    def __init__(self, likelihood: likelihoods.Likelihood, **kwargs):
        super().__init__(**kwargs)
        self.likelihood = likelihood

    def call(self, x, observed=None):
        """Features [B, ..., F] of x [B, ..., D]; with `observed` [B, D] of a table, those of missing values
        are zero, and `observed` stands behind them.
        """
        features = self.likelihood.features(tf.cast(x, tf.float32))
        if observed is None:
            return tf.cast(features, self.compute_dtype)
        observed = tf.cast(observed, tf.float32)
        columns = self.likelihood.feature_columns  # pyright: ignore[reportAttributeAccessIssue]
        shown = features * tf.gather(observed, columns, axis=-1)
        return tf.cast(tf.concat([shown, observed], axis=-1), self.compute_dtype)

    def compute_output_shape(self, x_shape, observed_shape=None):
        size = self.likelihood.features_size(x_shape[-1])
        return (*x_shape[:-1], size if observed_shape is None else size + x_shape[-1])

    def get_config(self):
        likelihood = keras.saving.serialize_keras_object(self.likelihood)
        return super().get_config() | {"likelihood": likelihood}

    @classmethod
    def from_config(cls, config):
        likelihood = keras.saving.deserialize_keras_object(config.pop("likelihood"))
        return cls(likelihood, **config)


def seen(x, likelihood: likelihoods.Likelihood):
    """What an encoder of images sees: of counts, which have no highest value, their logarithms; of levels
    up to 255, their shares of it.
    """
    pixels = isinstance(likelihood, likelihoods.DiscretizedLogistic) and likelihood.maximum != 1.0
    return Features(likelihood)(x) if pixels or isinstance(likelihood, _COUNTS) else x


def labels_of(network: keras.Model) -> dict[str, int]:
    """Which inputs of a network are labels, and of how many classes: those that go into a `OneHot`."""
    of_layers = ((layer, layer.input) for layer in network.layers if isinstance(layer, OneHot))
    return {labels.name: layer.num_classes for layer, labels in of_layers}  # pyright: ignore[reportAttributeAccessIssue]


def activated(kind: Callable[..., keras.Layer], h, activation: str, *args, **kwargs):
    """`h` behind a layer of that kind; "glu" is a gated one, a * sigmoid(b) of two such layers."""
    if activation != "glu":
        return kind(*args, activation=activation, **kwargs)(h)
    gate = kind(*args, activation="sigmoid", **kwargs)(h)
    return keras.layers.Multiply()([kind(*args, **kwargs)(h), gate])


def dense(h, sizes: tuple[int, ...], activation: str):
    """`h` [B, n] behind fully connected layers of these sizes."""
    for units in sizes:
        h = activated(keras.layers.Dense, h, activation, units)
    return h

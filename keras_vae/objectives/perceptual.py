from typing import Any, ClassVar

import keras
import tensorflow as tf

from keras_vae._parts import Scheduled, StatefulPart, check_positive, name_of, register
from keras_vae.objectives._base import Objective, elbo_terms
from keras_vae.objectives._looks import need_images, shown_and_expected


@register
class Perceptual(StatefulPart, Objective):
    """The ELBO, and how unlike the image its reconstruction looks to a network that was trained before.

        loss = distortion + beta rate + weight sum_l mean_i (f_l(x)_i - f_l(E[x|z])_i)^2

    **The added term is no likelihood**: its unit is that of the network's outputs, and the loss is no
    bound on anything. What is comparable with other models is `negative_elbo`, which is reported beside it
    and is the monitor. `StructuralSimilarity` needs no network.

    Args:
        features: `keras.Model`, x [B, H, W, C] -> one or more layers' outputs, such as those of a
            classifier of the same data. It is frozen, here and for whoever else holds it, and saved with the
            model.
        weight: of the features' distance, at least 0, or a schedule.
        beta: weight of the rate, at least 0, or a schedule.

    Raises:
        ValueError: in a model of anything but images of the size that the network takes.

    References:
        Hou, Shen, Sun and Qiu, Deep Feature Consistent Variational Autoencoder, 2016, arXiv:1610.00291.
        Johnson, Alahi and Fei-Fei, Perceptual Losses for Real-Time Style Transfer and Super-Resolution,
        2016, arXiv:1603.08155.
    """

    terms: ClassVar[tuple[str, ...]] = (
        "loss",
        "feature_distance",
        "distortion",
        "rate",
        "negative_elbo",
    )
    monitor: ClassVar[str] = "negative_elbo"

    def __init__(
        self, features: keras.Model, weight: Scheduled = 1.0, beta: Scheduled = 1.0, **kwargs
    ):
        super().__init__(**kwargs)
        check_positive(name_of(self), or_zero=True, weight=weight, beta=beta)
        if not isinstance(features, keras.Model) or len(getattr(features, "inputs", ())) != 1:
            raise ValueError(
                f"{name_of(self)} takes a keras.Model whose only input is x. Received: {features!r}"
            )
        features.trainable = False
        self.features, self.weight, self.beta = features, weight, beta
        self.built = True

    @property
    def trainable(self):
        return False

    @trainable.setter
    def trainable(self, value):
        pass  # whatever the model is told: a distance between features that learn means nothing

    def check(self, model: Any):
        need_images(self, model)
        if self.features.input_shape[1:] != model.event_shape:
            raise ValueError(
                f"The features of {name_of(self)} are of x {self.features.input_shape[1:]}, and the model's x is "
                f"{model.event_shape}. They have to be equal."
            )

    def __call__(self, model, batch, training=False):
        terms, _, z = elbo_terms(model, batch, training)
        looks = [
            [tf.cast(f, tf.float32) for f in keras.tree.flatten(self.features(x, training=False))]
            for x in shown_and_expected(model, batch, z, training)
        ]
        distance = tf.add_n([tf.reduce_mean((a - b) ** 2) for a, b in zip(*looks, strict=True)])
        loss = terms["distortion"] + model.now(self.beta) * terms["rate"]
        return {
            "loss": loss + model.now(self.weight) * distance,
            "feature_distance": distance,
            **terms,
        }

    def get_config(self):
        fields = {name: getattr(self, name) for name in ("features", "weight", "beta")}
        return super().get_config() | {
            name: keras.saving.serialize_keras_object(value) for name, value in fields.items()
        }

    @classmethod
    def from_config(cls, config):
        return cls(**keras.saving.deserialize_keras_object(config))

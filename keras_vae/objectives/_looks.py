"""What objectives that compare pictures have in common."""

from typing import Any

import tensorflow as tf

from keras_vae._parts import name_of


def need_images(objective: Any, model: Any) -> None:
    """Raises `ValueError` where x is no image [H, W, C], or is decoded to something else than one."""
    event, likelihood = model.event_shape, model.likelihood
    if len(event) != 3:
        raise ValueError(
            f"{name_of(objective)} looks at images (height, width, channels). Received a model of x {event}. Load "
            "the data as images, or choose the objective ELBO."
        )
    decoded = likelihood.expected(tf.zeros([1, *model.decoder.output_shape[1:]])).shape[1:]
    if tuple(decoded) != event:
        raise ValueError(
            f"{name_of(objective)} compares x with its expectation, and {name_of(likelihood)} has one of shape "
            f"{tuple(decoded)} for x {event}. Choose a likelihood of numbers, such as Normal."
        )


def shown_and_expected(
    model: Any, batch, z: tf.Tensor, training: bool
) -> tuple[tf.Tensor, tf.Tensor]:
    """What is shown, x, and E[x|z], float32 [B, *event] each; what a mask hides is as expected."""
    expected = model.expected(batch, z, training=training)
    if not isinstance(batch, dict):
        return tf.cast(batch, tf.float32), expected
    x = tf.cast(batch["x"], tf.float32)
    if "mask" in batch:
        x = tf.where(tf.cast(batch["mask"], tf.bool), x, expected)
    return x, expected

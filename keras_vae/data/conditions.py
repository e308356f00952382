"""Conditions: what networks are told beside x, made of the examples or of their labels.

A new one is one function and one row in `CONDITIONS`.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import tensorflow as tf

from keras_vae._parts import check_known
from keras_vae.data.streams import ALGORITHM

Kinds = Mapping[str, int | Sequence[int]]
Entries = dict[str, tf.Tensor]


@dataclasses.dataclass(frozen=True)
class Condition:
    """What is added to a batch of examples.

    Args:
        name: What the condition is called.
        meaning: One line for summaries.
        kinds: Function of the event shape and the number of classes to what `networks.mlp` takes as
            `conditions`: for each entry a number of classes or a shape.
        entries: Function `(x, labels, seed)` of float32 examples [B, *event], integer labels [B] or
            None, and a stateless seed [2], to the entries [B, ...] by name.
        of_labels: Whether it needs labels.
    """

    name: str
    meaning: str
    kinds: Callable[[tuple[int, ...], int], Kinds]
    entries: Callable[[tf.Tensor, Any, tf.Tensor], Entries]
    of_labels: bool = False


NOISE = 0.3
"""Standard deviation of the noise of the condition "noisy"."""


def _label_kinds(shape: tuple[int, ...], num_classes: int) -> Kinds:
    if num_classes < 2:
        raise ValueError(
            f'condition="label" needs examples of at least two classes. Received: {num_classes}. Load data '
            "with labels, such as a folder of images with a subfolder per class, or leave the condition out."
        )
    return {"label": num_classes}


def _downscaled(factor: int) -> Condition:
    def kinds(shape, num_classes):
        if len(shape) != 3 or shape[0] % factor or shape[1] % factor:
            raise ValueError(
                f'condition="downscaled-{factor}" needs images whose height and width are multiples of '
                f"{factor}. Received: examples of shape {shape}."
            )
        return {"low": (shape[0] // factor, shape[1] // factor, shape[2])}

    return Condition(
        f"downscaled-{factor}",
        f"the image at 1 / {factor} of its height and width, each pixel the mean of {factor} x {factor}",
        kinds,
        lambda x, labels, seed: {"low": downscale(x, factor)},
    )


def _noisy_kinds(shape: tuple[int, ...], num_classes: int) -> Kinds:
    return {"damaged": _image_shape("noisy", shape)}


def _hidden_kinds(shape: tuple[int, ...], num_classes: int) -> Kinds:
    return {"damaged": _image_shape("hidden", shape), "kept": (*shape[:2], 1)}


def _image_shape(name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    if len(shape) != 3:
        raise ValueError(
            f'condition="{name}" needs images [H, W, C]. Received: examples of shape {shape}.'
        )
    return shape


def downscale(images: tf.Tensor, factor: int) -> tf.Tensor:
    """Images [B, H, W, C] at 1 / factor of their size: the mean of every factor x factor pixels.

    Example:
    >>> downscale(tf.reshape(tf.range(16.0), [1, 4, 4, 1]), 2).numpy().ravel().tolist()
    [2.5, 4.5, 10.5, 12.5]
    """
    return tf.nn.avg_pool2d(images, factor, factor, "VALID")


def add_noise(images: tf.Tensor, seed: tf.Tensor, stddev: float = NOISE) -> tf.Tensor:
    """Images with independent Normal noise in every value, not clipped.

    Args:
        images: float32 [B, H, W, C].
        seed: stateless seed, integers [2].
        stddev: standard deviation of the noise, in units of the images.
    """
    noise = tf.random.stateless_normal(tf.shape(images), seed, alg=ALGORITHM)
    return images + stddev * noise


def hide(images: tf.Tensor, seed: tf.Tensor) -> Entries:
    """Images with a rectangle hidden in each: a quarter to a half as high and as wide, anywhere.

    Args:
        images: float32 [B, H, W, C].
        seed: stateless seed, integers [2].

    Returns:
        "kept", float32 [B, H, W, 1], 1 where a pixel is seen and 0 where it is hidden; "damaged", the
        images with zeros in hidden pixels.

    Example:
    >>> kept = hide(tf.ones([3, 8, 8, 1]), seed=[0, 1])["kept"]
    >>> tf.reduce_sum(1 - kept, axis=[1, 2, 3]).numpy().tolist()
    [6.0, 12.0, 9.0]
    """
    _, height, width, _ = cast(Any, images.shape)
    shape = tf.stack([4, tf.shape(images)[0]])
    draws = tf.random.stateless_uniform(shape, seed, alg=ALGORITHM)
    rows = _inside(height, *tf.unstack(draws[:2]))
    columns = _inside(width, *tf.unstack(draws[2:]))
    hidden = rows[:, :, tf.newaxis] & columns[:, tf.newaxis, :]
    kept = 1.0 - tf.expand_dims(tf.cast(hidden, tf.float32), axis=-1)
    return {"damaged": images * kept, "kept": kept}


def _inside(size: int, of_length: tf.Tensor, of_start: tf.Tensor) -> tf.Tensor:
    """Which of `size` places lie in an interval drawn with two uniform numbers [B]: bool [B, size]."""
    shortest, longest = max(1, size // 4), max(1, size // 2)
    length = shortest + tf.floor(of_length * (longest - shortest + 1))
    start = tf.floor(of_start * (size - length + 1))[:, tf.newaxis]
    places = tf.range(size, dtype=tf.float32)
    return (start <= places) & (places < start + length[:, tf.newaxis])


CONDITIONS: dict[str, Condition] = {
    condition.name: condition
    for condition in (
        Condition(
            "label",
            "the example's class",
            _label_kinds,
            lambda x, labels, seed: {"label": labels},
            of_labels=True,
        ),
        _downscaled(2),
        _downscaled(4),
        Condition(
            "noisy",
            f"the image with Normal noise of standard deviation {NOISE} in every value",
            _noisy_kinds,
            lambda x, labels, seed: {"damaged": add_noise(x, seed)},
        ),
        Condition(
            "hidden",
            "the image with a random rectangle hidden, and which pixels are kept",
            _hidden_kinds,
            lambda x, labels, seed: hide(x, seed),
        ),
    )
}
"""The conditions by name."""


def find_condition(name: str | None) -> Condition | None:
    """The condition of this name; None for None."""
    if name is None:
        return None
    check_known("condition", name, CONDITIONS)
    return CONDITIONS[name]

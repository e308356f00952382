"""Conditions: what networks are told beside x, made of the examples or of their labels.

A new one is one function and one row in `CONDITIONS`.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tensorflow as tf

from keras_vae._parts import check_known

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


def downscale(images: tf.Tensor, factor: int) -> tf.Tensor:
    """Images [B, H, W, C] at 1 / factor of their size: the mean of every factor x factor pixels.

    Example:
    >>> downscale(tf.reshape(tf.range(16.0), [1, 4, 4, 1]), 2).numpy().ravel().tolist()
    [2.5, 4.5, 10.5, 12.5]
    """
    return tf.nn.avg_pool2d(images, factor, factor, "VALID")


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
    )
}
"""The conditions by name."""


def find_condition(name: str | None) -> Condition | None:
    """The condition of this name; None for None."""
    if name is None:
        return None
    check_known("condition", name, CONDITIONS)
    return CONDITIONS[name]

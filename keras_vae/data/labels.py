"""Labels as the numbers of classes."""

from collections.abc import Sequence

import numpy as np

from keras_vae.data.examples import Array


def class_names(labels: Array, names: Sequence[str] = ()) -> tuple[str, ...]:
    """Names of the classes 0, 1, ... of training labels [N].

    Whole numbers from 0 on are the classes' numbers, and `names` are their names as far as they go;
    the classes of other labels are the labels themselves, in order.
    """
    found = np.unique(labels)
    if not _are_numbers(found):
        return tuple(map(str, found))
    return tuple(names) + tuple(map(str, range(len(names), int(found[-1]) + 1)))


def class_numbers(labels: Array, known: Array, classes: Sequence[str], whose: str) -> Array:
    """Labels as numbers of the classes that `known`, the training labels, have: int32 [N].

    Args:
        labels: [N].
        known: [N_train].
        classes: as `class_names` gives them.
        whose: "train", "validation" or "test", for the message.

    Raises:
        ValueError: For labels that no training example has.
    """
    found, numbers = np.unique(known), np.asarray(labels)
    if not _are_numbers(found):
        places = np.minimum(np.searchsorted(found, labels), len(found) - 1)
        numbers = np.where(found[places] == labels, places, -1)
    unseen = ~np.isin(numbers, np.arange(len(classes)))
    if unseen.any():
        raise ValueError(
            f"The {whose} examples have labels that no training example has, such as "
            f"{np.asarray(labels)[unseen][0]!r}. Expected: {', '.join(classes[:20])}."
        )
    return numbers.astype(np.int32)


def _are_numbers(found: Array) -> bool:
    """Whether these distinct labels, in order, are numbers of classes."""
    return found.dtype.kind in "buif" and bool(
        (found == np.floor(found)).all() and found[0] >= 0 and found[-1] < 2**16
    )

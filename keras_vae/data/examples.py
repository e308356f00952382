"""Arrays of examples, checked: what every source hands over and every split holds."""

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from keras_vae.data.records import Records
    from keras_vae.likelihoods import Column

Array = npt.NDArray[Any]

SET_NAMES = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val"),
    "test": ("test", "testing"),
}
"""What files and folders call the three sets."""


@dataclasses.dataclass(frozen=True, eq=False)
class Examples:
    """Examples with their labels.

    Args:
        values: Array [N, *event], uint8 (pixels) or float32; or `Records`, which stay on disk.
        labels: Array [N] or None where the data has none.
        factors: Numbers of the values of the factors that made each example, integers [N, F], or None
            where they are not known.
    """

    values: "Array | Records"
    labels: Array | None = None
    factors: Array | None = None

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, index: slice | Array) -> "Examples":
        labels = None if self.labels is None else self.labels[index]
        factors = None if self.factors is None else self.factors[index]
        return Examples(self.values[index], labels, factors)


@dataclasses.dataclass(frozen=True, eq=False)
class RawData:
    """What a source holds, before any protocol.

    Args:
        name: What the data is called in summaries.
        train: Training examples, or all examples of a source with one set.
        validation: Validation examples, or None where they are to be taken from `train`.
        test: Test examples, or None where they are to be taken from `train`.
        class_names: Names of the labels 0, 1, ... where the source has them.
        protocol: Name of the source's own default protocol; None chooses by the values.
        num_validation: The source's own default size of the validation split; None is a tenth.
        is_shuffled: Whether the order of `train` is random, so that its last examples may be held out.
        columns: What the elements of an example are, of a table.
        factor_sizes: How many values every factor has, by name, where the factors are known.
    """

    name: str
    train: Examples
    validation: Examples | None = None
    test: Examples | None = None
    class_names: tuple[str, ...] | None = None
    protocol: str | None = None
    num_validation: int | None = None
    is_shuffled: bool = False
    columns: "tuple[Column, ...]" = ()
    factor_sizes: Mapping[str, int] = dataclasses.field(default_factory=dict)

    @property
    def sets(self) -> dict[str, Examples]:
        """The sets that the source has, by name."""
        sets = {"train": self.train, "validation": self.validation, "test": self.test}
        return {name: held for name, held in sets.items() if held is not None}


def event_like(
    shape: tuple[int, ...], dtype: np.dtype[Any], what: str
) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """The shape and type in which models get examples that are stored with this shape and type.

    Args:
        shape: of one example: [D] of a table, [H, W] or [H, W, C] of an image.
        dtype: booleans become uint8 zeros and ones; uint8 stays; other numbers become float32.
        what: whose they are, for messages.

    Raises:
        ValueError: For another rank, no values at all, or what is no real number.
    """
    if len(shape) not in (1, 2, 3):
        raise ValueError(
            f"{what} has the wrong rank. Expected [N, D] (a table), [N, H, W] (grey images) or "
            f"[N, H, W, C] (images). Received: examples of shape {shape}."
        )
    if 0 in shape:
        raise ValueError(
            f"{what} is empty. Expected at least one value in each example. Received: examples of shape {shape}."
        )
    if dtype.kind not in "biuf":
        raise ValueError(
            f"{what} is not made of real numbers. Expected integers, floats or booleans. "
            f"Received: dtype {dtype}. Convert it, for instance with `.astype('float32')`."
        )
    stored = np.uint8 if dtype in (np.uint8, np.bool_) else np.float32
    return (*shape, 1) if len(shape) == 2 else shape, np.dtype(stored)


def checked(values: Any, labels: Any = None, *, split: str) -> Examples:
    """Brings arrays into the form that models train on, or says why they are unfit.

    Args:
        values: A table [N, D], grey images [N, H, W] or images [N, H, W, C]. Booleans become
            uint8 zeros and ones; uint8 stays; other numbers become float32.
        labels: Array [N] or [N, 1], or None.
        split: Name of the set, for error messages.

    Returns:
        Values [N, D] or [N, H, W, C], in uint8 or float32, and labels [N] or None.

    Raises:
        ValueError: For another rank or type, an empty set, NaN or infinite values, or labels
            whose number is not that of the examples.
    """
    values = np.asarray(values)
    if not len(np.atleast_1d(values)):
        raise ValueError(
            f"The {split} set is empty. Expected at least one example with at least one value. "
            f"Received: an array of shape {values.shape}."
        )
    event_shape, dtype = event_like(values.shape[1:], values.dtype, f"The {split} set")
    with np.errstate(over="ignore"):
        values = values.astype(dtype, copy=False).reshape(-1, *event_shape)
    _check_finite(values, split)
    return Examples(values, None if labels is None else _checked_labels(labels, values, split))


def _check_finite(values: Array, split: str) -> None:
    finite = np.isfinite(values)
    if not finite.all():
        first = [int(i) for i in np.unravel_index(np.argmin(finite), finite.shape)]
        raise ValueError(
            f"The {split} set has NaN or infinite values (as float32). Expected none. Received: "
            f"{finite.size - np.count_nonzero(finite):,} of {finite.size:,} values, the first at "
            f"index {first} ({values[tuple(first)]}). Drop these examples or fill in the values."
        )


def _checked_labels(labels: Any, values: Array, split: str) -> Array:
    labels = np.asarray(labels)
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.shape != values.shape[:1]:
        raise ValueError(
            f"The {split} labels do not fit the {split} examples. Expected one label for each of "
            f"the {len(values):,} examples. Received: labels of shape {labels.shape}."
        )
    return labels

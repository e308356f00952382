"""What every part of a model shares: frozen value objects, their configs, schedules, errors in one
voice.
"""

import copy
import dataclasses
import difflib
import math
import numbers
from collections.abc import Iterable
from typing import Any, Self, TypeAlias, TypeVar, dataclass_transform

import keras
import numpy as np
import tensorflow as tf

Schedule = keras.optimizers.schedules.LearningRateSchedule
Scheduled: TypeAlias = Any
"""A number, or a schedule, in whose place the model puts a number: see `at_step`."""
T = TypeVar("T")


def register(cls: type[T]) -> type[T]:
    """Registers a class with Keras under the public module it lives in, as
    `keras_vae.likelihoods>Normal`.
    """
    package = ".".join(cls.__module__.split(".")[:2])
    return keras.saving.register_keras_serializable(package=package)(cls)


@dataclass_transform(frozen_default=True, kw_only_default=True)
def value_object(cls: type[T]) -> type[T]:
    """Makes a class a part that neither learns nor stores: a frozen, registered, keyword-only
    dataclass. NumPy's numbers become Python's, which are of any tensor's dtype.
    """
    check = getattr(cls, "__post_init__", None)

    def __post_init__(self):
        for field in dataclasses.fields(self):
            if isinstance(value := getattr(self, field.name), np.generic):
                object.__setattr__(self, field.name, value.item())
        if check is not None:
            check(self)

    cls.__post_init__ = __post_init__  # pyright: ignore[reportAttributeAccessIssue]
    return register(dataclasses.dataclass(frozen=True, kw_only=True)(cls))


class Configurable:
    """Derives a Keras config from the fields of a dataclass."""

    def get_config(self) -> dict[str, Any]:
        fields = dataclasses.fields(self)  # pyright: ignore[reportArgumentType]
        values = {f.name: getattr(self, f.name) for f in fields}
        return {name: keras.saving.serialize_keras_object(value) for name, value in values.items()}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        return cls(**{k: keras.saving.deserialize_keras_object(v) for k, v in config.items()})


class StatefulPart(keras.layers.Layer):
    """A part that learns or stores: a layer whose weights are float32 wherever they are read.

    Under a mixed policy Keras hands out a layer's weights in half precision while a model of that
    policy is called; densities need them as they are.
    """

    def __init__(self, dtype="float32", **kwargs):
        super().__init__(dtype=dtype, **kwargs)

    def add_weight(self, *args: Any, **kwargs: Any):
        return super().add_weight(*args, **{**kwargs, "autocast": False})


def at_step(part: T, step: tf.Tensor | int) -> T:
    """Returns `part` with every Keras schedule among its fields replaced by its value at `step`; of a
    schedule itself, its value.

    Layers pass through unchanged; value objects within, and tuples of them, are resolved too.
    """
    if isinstance(part, Schedule):
        return part(step)
    if isinstance(part, tuple):
        now = tuple(at_step(each, step) for each in part)
        return part if all(a is b for a, b in zip(now, part, strict=True)) else now  # pyright: ignore[reportReturnType]
    if not dataclasses.is_dataclass(part) or isinstance(part, type):
        return part
    resolved = {}
    for field in dataclasses.fields(part):
        value = getattr(part, field.name)
        now = at_step(value, step)
        if now is not value:
            resolved[field.name] = now
    if not resolved:
        return part
    part = copy.copy(part)
    for (
        name,
        value,
    ) in resolved.items():  # past __init__: a schedule's value may be a symbolic tensor
        object.__setattr__(part, name, value)
    return part


def as_tuple(value: Any) -> tuple[int, ...]:
    """Returns `5` as `(5,)` and what holds several as a tuple; `check_count` says what is no size."""
    several = isinstance(value, Iterable) and not isinstance(value, str)
    sizes: Any = value if several else (value,)
    return tuple(size.item() if isinstance(size, np.generic) else size for size in sizes)


def masked_degrees(units: int, number: int) -> np.ndarray:
    """How many of their ordered inputs the hidden units of a masked network read, from 0 to number - 1:
    each as often as another, and evenly spread where there are fewer units.
    """
    return (np.arange(units) * max(1.0, number / units)).astype(int) % number


def name_of(part) -> str:
    return type(part).__name__


_TINY, _HUGE = (float(limit) for limit in (np.finfo(np.float32).tiny, np.finfo(np.float32).max))


def check_positive(owner: str, *, or_zero: bool = False, **values: Any):
    """Raises `ValueError` for the first value that is not a finite number above zero in float32.

    Schedules pass: their values are known in training only.
    """
    for name, value in values.items():
        if isinstance(value, Schedule):
            continue
        if not _is_number(value) or not (_TINY <= value <= _HUGE or (or_zero and value == 0)):
            least = "of at least 0" if or_zero else "above 0"
            raise ValueError(
                f'Invalid value received for argument "{name}" of {owner}. '
                f"Expected a finite number {least}. Received: {value!r}"
            )


def check_number(owner: str, **values: Any):
    """Raises `ValueError` for the first value that is not a finite number."""
    for name, value in values.items():
        if not _is_number(value) or not abs(value) <= _HUGE:
            raise ValueError(
                f'Invalid value received for argument "{name}" of {owner}. Expected a finite number. '
                f"Received: {value!r}"
            )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)


def check_constant(owner: str, **values: Any):
    """Raises `ValueError` for the first value that is a schedule."""
    for name, value in values.items():
        if isinstance(value, Schedule):
            raise ValueError(
                f'Invalid value received for argument "{name}" of {owner}. Expected a number, which stays as it '
                f"is. Received the schedule {type(value).__name__}."
            )


def check_finite(owner: str, **values: Any):
    """Raises `ValueError` for the first value that is not a finite number, or a sequence of them."""
    for name, value in values.items():
        try:
            numbers_given = np.asarray(value, np.float64)
        except (TypeError, ValueError):
            numbers_given = np.array(math.nan)
        if not np.isfinite(numbers_given).all():
            raise ValueError(
                f'Invalid value received for argument "{name}" of {owner}. Expected finite numbers. '
                f"Received: {value!r}"
            )


def check_share(owner: str, *, proper: bool = False, most: float = 1.0, **values: Any):
    """Raises `ValueError` for the first value that is not a number in [0, most]; schedules pass.

    A proper share is neither 0 nor 1.
    """
    for name, value in values.items():
        if isinstance(value, Schedule):
            continue
        if not _is_number(value) or not 0 <= value <= most or (proper and value in (0, 1)):
            begin, end = ("(" if proper else "["), (")" if proper and most == 1 else "]")
            raise ValueError(
                f'Invalid value received for argument "{name}" of {owner}. Expected a share in '
                f"{begin}0, {most:g}{end}. Received: {value!r}"
            )


def check_count(owner: str, least: int = 1, **values):
    """Raises `ValueError` for the first value that is not an integer of at least `least`."""
    for name, value in values.items():
        if not isinstance(value, numbers.Integral) or isinstance(value, bool) or value < least:
            raise ValueError(
                f'Invalid value received for argument "{name}" of {owner}. '
                f"Expected an integer of at least {least}. Received: {value!r}"
            )


def check_known(what: str, name: str, names: Iterable[str]) -> None:
    """Raises `ValueError` where a name is not among those known, with the nearest ones."""
    names = list(names)
    if name not in names:
        near = nearest(str(name), names)
        hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
        raise ValueError(f"Unknown {what} {name!r}.{hint} Expected one of: {', '.join(names)}.")


def nearest(name: str, names: Iterable[str]) -> list[str]:
    """At most two of the names that are spelt like this one, in whatever case."""
    lower = {each.lower(): each for each in names}
    return [lower[key] for key in difflib.get_close_matches(name.lower(), lower, n=2)]


class UnfitExample(ValueError):
    """An example of a stream that cannot be read or used, met while batches are made."""


_INNER, _OUTER = 10.0, 14.0


def soft_clip(raw: tf.Tensor, inner: float = _INNER, outer: float = _OUTER) -> tf.Tensor:
    """Identity on [-inner, inner], bending smoothly towards, and never past, +-outer.

    Log-variances go through it, so that a scale is never zero or infinite, its gradient never dies
    abruptly, and the exported graph needs no op beyond clip and tanh.
    """
    clipped = tf.clip_by_value(raw, -inner, inner)
    reach = outer - inner
    return clipped + reach * tf.tanh((raw - clipped) / reach)


def log_variance_of(owner: str, **scale: Any) -> float:
    """The log-variance whose `scale_of` is that scale.

    Raises:
        ValueError: where there is none, naming the argument.
    """
    ((name, value),) = scale.items()
    check_positive(owner, **scale)
    wanted = 2.0 * math.log(value)
    beyond = max(abs(wanted) - _INNER, 0.0) / (_OUTER - _INNER)
    if beyond >= 1.0:
        raise ValueError(
            f'Invalid value received for argument "{name}" of {owner}. Expected a scale within '
            f"{math.exp(-_OUTER / 2):.1e} and {math.exp(_OUTER / 2):.1e}: bring the data to another unit. "
            f"Received: {value!r}"
        )
    bent = min(abs(wanted), _INNER) + (_OUTER - _INNER) * math.atanh(beyond)
    return math.copysign(bent, wanted)


def scale_of(log_variance: tf.Tensor) -> tf.Tensor:
    """Returns the standard deviation, in [9e-4, 1.1e3], of an unbounded log-variance."""
    return tf.exp(0.5 * soft_clip(log_variance))

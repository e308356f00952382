"""What networks are told beside x and z."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import keras

from keras_vae._parts import as_tuple, check_count
from keras_vae.networks.layers import OneHot

Conditions: TypeAlias = Mapping[str, int | Sequence[int]]
"""Conditions by name: a number of classes, or the shape of a continuous one."""


def condition_inputs(owner: str, conditions: Conditions | None) -> dict[str, keras.KerasTensor]:
    """A symbolic input for each condition, by name: int32 [B] of a label, float32 [B, ...] of others."""
    inputs = {}
    for name, kind in (conditions or {}).items():
        if not str(name).isidentifier() or name in ("x", "z", "mask", "seed", "num_samples"):
            raise ValueError(
                f"A condition of {owner} needs a name of its own, a Python identifier. Received: {name!r}"
            )
        if isinstance(kind, Sequence):
            for size in kind:
                check_count(owner, **{name: size})
            inputs[name] = keras.Input(as_tuple(kind), name=name)
        else:
            check_count(owner, least=2, **{name: kind})
            inputs[name] = keras.Input((), name=name, dtype="int32")
    return inputs


def with_conditions(h, inputs: dict[str, keras.KerasTensor], conditions: Conditions | None):
    """H [B, n] with the conditions beside it."""
    if not conditions:
        return h
    return keras.layers.Concatenate()([h, flat_conditions(inputs, conditions)])


def flat_conditions(inputs: dict[str, keras.KerasTensor], conditions: Conditions):
    """Each condition, one-hot or flat, beside the others: [B, n]."""
    flat: list[Any] = [
        (keras.layers.Flatten() if isinstance(kind, Sequence) else OneHot(kind))(inputs[name])
        for name, kind in conditions.items()
    ]
    return flat[0] if len(flat) == 1 else keras.layers.Concatenate()(flat)


def network_of(main, inputs: Mapping[str, Any], output, name: str) -> keras.Model:
    """The network from `main` and from the inputs beside it to the output."""
    return keras.Model([main, *inputs.values()] if inputs else main, output, name=name)

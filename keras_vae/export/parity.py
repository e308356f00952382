"""Whether what was exported gives what the live model gives."""

import dataclasses
import os
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import tensorflow as tf

from keras_vae.export.litert import LiteRTDecoder
from keras_vae.models import VAE
from keras_vae.sampling import as_seed, normals

__all__ = ["Parity", "ParityError", "ParityRow", "parity"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ParityRow:
    """How far one signature of one exported file is from the live model.

    Attributes:
        consumer: "SavedModel" or "LiteRT".
        signature: its name.
        largest_difference: over all elements, in units of the data; relative to the largest value
            of the live model where that is above 1.
        mean_difference: likewise.
    """

    consumer: str
    signature: str
    largest_difference: float
    mean_difference: float

    @property
    def cells(self) -> tuple[str, str, str, str]:
        """The row as text, under `Parity.header`."""
        largest, mean = f"{self.largest_difference:.1e}", f"{self.mean_difference:.1e}"
        return self.consumer, self.signature, largest, mean


@dataclasses.dataclass(frozen=True, kw_only=True)
class Parity:
    """What `parity` measured; prints as a table."""

    header: ClassVar = ("consumer", "signature", "largest difference", "mean difference")
    rows: tuple[ParityRow, ...]
    num_latents: int
    budget: float

    @property
    def failures(self) -> tuple[ParityRow, ...]:
        """The rows over budget, those with a NaN included."""
        return tuple(row for row in self.rows if not row.largest_difference <= self.budget)

    def __str__(self):
        widths = (12, 12, 22, 18)
        lines = [self.header, *(row.cells for row in self.rows)]
        return "\n".join(
            "".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)).rstrip()
            for line in lines
        )


class ParityError(ValueError):
    """An exported file does not give what the live model gives.

    Attributes:
        parity: the `Parity`, with the rows that did agree too.
    """

    def __init__(self, parity: Parity):
        failed = ", ".join(f"{row.consumer} {row.signature}" for row in parity.failures)
        super().__init__(
            f"{failed}: further from the live model than {parity.budget:g}, or not a number. "
            f"Export the model again if its weights have changed since.\n{parity}"
        )
        self.parity = parity


def parity(
    vae: VAE,
    saved_model: str | os.PathLike[str] | None = None,
    tflite: str | os.PathLike[str] | None = None,
    *,
    num_latents: int = 64,
    seed=0,
    budget: float = 1e-5,
    conditions: Mapping[str, Any] | None = None,
) -> Parity:
    """Runs exported files and the live model on the same latents, drawn from the prior.

    `decode` of the SavedModel and of the LiteRT file, each in its own runtime, is compared with the
    live decoder, and `generate` of the SavedModel with `vae.generate`.

    Args:
        vae: the live model.
        saved_model: folder that `saved_model` wrote.
        tflite: file that `tflite` wrote.
        num_latents: number of latents.
        seed: integer or pair of 32-bit integers, of the latents.
        budget: largest difference that passes (see `ParityRow`).
        conditions: for a conditional decoder, one value for all or [num_latents, ...], by input
            name. By default inputs of floats get standard normals and inputs of integers zeros.

    Returns:
        A `Parity`.

    Raises:
        ParityError: where a difference exceeds the budget, or is not a number.
        ValueError: where neither file is given, or a file is of another model.
    """
    if saved_model is None and tflite is None:
        raise ValueError("There is nothing to compare: give saved_model, tflite or both.")
    conditions = _conditions(vae, num_latents, conditions or {})
    noise = normals(as_seed(seed), num_latents, vae.prior.noise_size)
    z = vae.prior.transform(noise, conditions)
    mean = vae.now(vae.likelihood).location(vae.decode_params(z, conditions))
    rows = []
    if saved_model is not None:
        loaded = tf.saved_model.load(str(saved_model))  # its signatures do not keep it alive
        received = _call(loaded, "decode", {"z": z, **conditions})
        rows.append(_row("SavedModel", "decode", received, mean))
        drawn = {"num_samples": tf.constant(num_latents), "seed": as_seed(seed)}
        received = _call(loaded, "generate", drawn | conditions)
        generated = vae.generate(num_latents, seed, **conditions)
        rows.append(_row("SavedModel", "generate", received, generated))
    if tflite is not None:
        received = LiteRTDecoder(tflite)(z, **conditions)
        rows.append(_row("LiteRT", "decode", received, mean))
    result = Parity(rows=tuple(rows), num_latents=num_latents, budget=budget)
    if result.failures:
        raise ParityError(result)
    return result


def _conditions(vae: VAE, num_rows: int, given: Mapping[str, Any]) -> dict[str, tf.Tensor]:
    """What the decoder asks for beside z, [num_rows, ...] each."""
    if unknown := set(given) - set(vae.conditions):
        raise ValueError(
            f"The decoder asks for the conditions {sorted(vae.conditions)}. "
            f"Received: {sorted(unknown)}"
        )
    rng = np.random.default_rng(0)
    values = {}
    for name, tensor in vae.conditions.items():
        shape, dtype = (num_rows, *tensor.shape[1:]), tf.as_dtype(tensor.dtype)
        default = rng.standard_normal(shape) if dtype.is_floating else np.zeros(shape)
        value = np.broadcast_to(given.get(name, default), shape)
        values[name] = tf.constant(value.astype(dtype.as_numpy_dtype))
    return values


def _call(loaded, signature: str, inputs: dict[str, tf.Tensor]) -> tf.Tensor:
    if signature not in loaded.signatures:
        raise ValueError(
            f"The SavedModel has no signature {signature!r}. Its signatures: "
            f"{sorted(loaded.signatures)}. Expected what keras_vae.export.saved_model wrote."
        )
    function = loaded.signatures[signature]
    specs = function.structured_input_signature[1]
    fits = set(specs) == set(inputs) and all(
        specs[name].is_compatible_with(value) for name, value in inputs.items()
    )
    if not fits:
        raise ValueError(
            f"The SavedModel is of another model: its {signature} takes "
            f"{ {name: tuple(spec.shape) for name, spec in specs.items()} } and the live one "
            f"{ {name: tuple(value.shape) for name, value in inputs.items()} }."
        )
    return function(**inputs)["mean"]


def _row(consumer: str, signature: str, received, expected) -> ParityRow:
    received, expected = np.asarray(received, np.float64), np.asarray(expected, np.float64)
    if received.shape != expected.shape:
        raise ValueError(
            f"The {consumer} is of another model: its {signature} gives shape {received.shape} "
            f"and the live one {expected.shape}."
        )
    differences = np.abs(received - expected) / max(1.0, np.max(np.abs(expected)))
    return ParityRow(
        consumer=consumer,
        signature=signature,
        largest_difference=float(np.max(differences)),
        mean_difference=float(np.mean(differences)),
    )

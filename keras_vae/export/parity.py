"""Whether what was exported gives what the live model gives, in the runtimes of its consumers."""

import dataclasses
import io
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, TypeAlias

import numpy as np

from keras_vae.export._inputs import sample_inputs
from keras_vae.export.endpoints import Detection, endpoints, input_specs
from keras_vae.export.runtimes import Exported, load
from keras_vae.models import EncoderDecoder

__all__ = ["BUDGETS", "Budget", "Parity", "ParityError", "ParityRow", "Reference", "parity"]

Arrays: TypeAlias = dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Budget:
    """How far an exported file may be from the live model; None does not ask.

    Attributes:
        largest: largest difference of any number, in units of the data (relative to the largest value
            where that is above 1).
        grey_levels: mean difference of a signature's numbers, in 255ths of the data's range.
        nats: by how much the negative ELBO of test data may be worse.
    """

    largest: float | None = None
    grey_levels: float | None = None
    nats: float | None = None


BUDGETS: dict[str | None, Budget] = {
    None: Budget(largest=1e-5),
    "float16": Budget(largest=1e-3),
    "dynamic_int8": Budget(grey_levels=1.0, nats=0.3),
    "int8": Budget(grey_levels=3.0, nats=3.0),
    "int4": Budget(grey_levels=8.0, nats=8.0),
}
"""What passes, by quantisation."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ParityRow:
    """How far one signature of one exported file is from the live model.

    Attributes:
        runtime: what ran it.
        file: its name.
        signature: its name.
        largest_difference: over all elements, in units of the data; relative to the largest value
            of the live model where that is above 1.
        mean_difference: likewise.
        size: bytes on disk of the file, or of the folder.
        latency: seconds of a call with one row (or with the fixed number that the file takes), median.
        nats: by how much the negative ELBO of test data is worse through this file, if measured.
        budget: what passes.
    """

    runtime: str
    file: str
    signature: str
    largest_difference: float
    mean_difference: float
    size: int
    latency: float
    nats: float | None = None
    budget: Budget = dataclasses.field(default_factory=Budget)

    @property
    def passes(self) -> bool:
        """Whether every number is within budget; a NaN never is."""
        asked = (
            (self.budget.largest, self.largest_difference),
            (self.budget.grey_levels, 255 * self.mean_difference),
            (self.budget.nats, 0.0 if self.nats is None else self.nats),
            (np.inf, self.largest_difference),
        )
        return all(limit is None or value <= limit for limit, value in asked)

    @property
    def cells(self) -> tuple[str, ...]:
        """The row as text, under `Parity.header`."""
        return (
            self.runtime,
            self.file,
            self.signature,
            f"{self.largest_difference:.1e}",
            f"{self.mean_difference:.1e}",
            f"{self.size / 1e6:.2f} MB",
            f"{1e6 * self.latency:,.0f} us",
            "" if self.nats is None else f"{self.nats:+.2f} nats",
            "" if self.passes else "OVER BUDGET",
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Parity:
    """What `parity` measured; prints as a table."""

    header: ClassVar = (
        "runtime",
        "file",
        "signature",
        "largest",
        "mean difference",
        "size",
        "latency",
        "-ELBO",
        "",
    )
    rows: tuple[ParityRow, ...]
    skipped: tuple[str, ...] = ()

    @property
    def failures(self) -> tuple[ParityRow, ...]:
        """The rows over budget, those with a NaN included."""
        return tuple(row for row in self.rows if not row.passes)

    def __str__(self):
        lines = [self.header, *(row.cells for row in self.rows)]
        widths = [max(map(len, column)) + 2 for column in zip(*lines, strict=True)]
        table = [
            "".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)).rstrip()
            for line in lines
        ]
        return "\n".join([*table, *self.skipped])


class ParityError(ValueError):
    """An exported file does not give what the live model gives.

    Attributes:
        parity: the `Parity`, with the rows that did agree too.
    """

    def __init__(self, parity: Parity):
        failed = ", ".join(f"{row.file} {row.signature}" for row in parity.failures)
        super().__init__(
            f"{failed}: further from the live model than allowed, or not a number. If the model's weights "
            "have changed since, export it again; if its networks compute in half precision, build them under "
            f"the dtype policy 'float32' and copy the weights.\n{parity}"
        )
        self.parity = parity


@dataclasses.dataclass(frozen=True)
class Reference:
    """What the live model gives for some inputs: what exported files are held to, anywhere.

    Attributes:
        inputs: of every signature, by name.
        outputs: likewise.
    """

    inputs: dict[str, Arrays]
    outputs: dict[str, Arrays]

    @classmethod
    def of(
        cls,
        vae: EncoderDecoder,
        *,
        num_rows: int = 64,
        seed=0,
        conditions: Mapping[str, Any] | None = None,
        detector: Detection | None = None,
    ) -> "Reference":
        """The live model on inputs that it makes itself; arguments as in `parity`."""
        samples = sample_inputs(vae, num_rows, seed, conditions)
        samples["num_samples"] = np.array(num_rows, np.int32)
        samples["seed"] = np.array([7, 0], np.int32)
        functions = endpoints(vae, detector=detector)
        inputs = {
            name: {key: samples[key] for key in input_specs(function)}
            for name, function in functions.items()
        }
        outputs = {
            name: {key: value.numpy() for key, value in functions[name](**given).items()}
            for name, given in inputs.items()
        }
        return cls(inputs, outputs)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes an .npz file with arrays named `SIGNATURE/inputs/NAME`, `SIGNATURE/outputs/NAME`."""
        arrays: dict[str, Any] = {
            f"{signature}/{kind}/{name}": value
            for kind in ("inputs", "outputs")
            for signature, values in getattr(self, kind).items()
            for name, value in values.items()
        }
        np.savez(path, **arrays)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Reference":
        """Reads what `save` wrote; `ValueError` where it is something else."""
        parts: dict[str, dict[str, Arrays]] = {"inputs": {}, "outputs": {}}
        content = io.BytesIO(Path(path).read_bytes())
        try:
            with np.load(content, allow_pickle=False) as arrays:
                for key in arrays.files:
                    signature, kind, name = key.split("/")
                    parts[kind].setdefault(signature, {})[name] = arrays[key]
        except Exception as error:  # whatever the damage leads to
            raise ValueError(f"{path} is damaged: {error}") from error
        return cls(**parts)


def parity(
    model: EncoderDecoder | Reference,
    *paths: str | os.PathLike[str],
    num_rows: int = 64,
    seed=0,
    conditions: Mapping[str, Any] | None = None,
    budgets: Mapping[str, Budget] | Budget | None = None,
    nats: Mapping[str, float] | None = None,
) -> Parity:
    """Runs exported files and the live model on the same inputs, which the model makes itself.

    Every signature of every file, each in its own runtime.

    Args:
        model: the live model, or what it gave once.
        *paths: what `saved_model`, `tflite` and `onnx` wrote.
        num_rows: number of latents and of examples.
        seed: integer or pair of 32-bit integers, of the latents.
        conditions: for a conditional model, one value for all or [num_rows, ...], by input name. By
            default inputs of floats get standard normals and inputs of integers zeros.
        budgets: what passes, for all files or by name; by default what `BUDGETS` says of float32.
        nats: by how much the negative ELBO is worse, by file name, where that was measured (see
            `quantization_cost`).

    Returns:
        A `Parity`.

    Raises:
        ParityError: where a difference exceeds its budget, or is not a number.
        ValueError: where no file is given, or a file is of another model.
    """
    if not paths:
        raise ValueError("There is nothing to compare: give the paths of exported files.")
    reference = model
    if isinstance(model, EncoderDecoder):
        reference = Reference.of(model, num_rows=num_rows, seed=seed, conditions=conditions)
    if budgets is None or isinstance(budgets, Budget):
        budgets = {Path(path).name: budgets or BUDGETS[None] for path in paths}
    rows, skipped = [], []
    for path in paths:
        name = Path(path).name
        try:
            exported = load(path)
        except ImportError as error:
            skipped.append(f"{name} was not run: {error}")
            continue
        cost = (nats or {}).get(name)
        rows += [
            _row(exported, signature, reference, budgets[name], cost)
            for signature in sorted(exported.signatures)
        ]
    result = Parity(rows=tuple(rows), skipped=tuple(skipped))
    if result.failures:
        raise ParityError(result)
    return result


def _row(
    exported: Exported, signature: str, reference: Reference, budget: Budget, nats: float | None
) -> ParityRow:
    named = "reconstruct" if signature == "serving_default" else signature
    if named not in reference.inputs:
        raise ValueError(
            f"{exported.path} has the signature {signature!r}, which the model has not. Its own: "
            f"{sorted(reference.inputs)}."
        )
    specs, given = exported.signatures[signature], reference.inputs[named]
    inputs = {name: given[name] for name in specs if name in given}
    if signature == "generate" and "num_samples" not in specs:  # a fixed number of rows
        fixed = [spec.shape[0] for name, spec in specs.items() if name != "seed"]
        inputs = {k: v[: fixed[0]] if k != "seed" else v for k, v in inputs.items()}
    received = exported(signature, **inputs)
    differences = []
    for name, got in received.items():
        expected = reference.outputs[named].get(name)
        if expected is None:
            raise ValueError(
                f"{exported.path} is of another model: its {signature} gives {name!r}, and the live one "
                f"{sorted(reference.outputs[named])}."
            )
        if signature == "generate":
            rows = min(len(got), len(expected))
            got, expected = got[:rows], expected[:rows]
        if got.shape != expected.shape:
            raise ValueError(
                f"{exported.path} is of another model: its {signature} gives {name} of shape "
                f"{got.shape} and the live one {expected.shape}."
            )
        got, expected = got.astype(np.float64), expected.astype(np.float64)
        differences.append(np.ravel(np.abs(got - expected) / max(1.0, np.max(np.abs(expected)))))
    differences = np.concatenate(differences)
    return ParityRow(
        runtime=exported.runtime,
        file=exported.path.name,
        signature=signature,
        largest_difference=float(np.max(differences)),
        mean_difference=float(np.mean(differences)),
        size=exported.size,
        latency=_latency(exported, signature, inputs),
        nats=nats if signature == "decode" else None,
        budget=budget,
    )


def _latency(exported: Exported, signature: str, inputs: Arrays) -> float:
    """Median seconds of a call with as few rows as the file takes."""
    specs = exported.signatures[signature]
    few: dict[str, Any] = {"num_samples": 1, "seed": inputs.get("seed")}
    for name, value in inputs.items():
        if name not in few:
            few[name] = value[: specs[name].shape[0] or 1]
    few = {name: few[name] for name in specs}
    seconds = []
    for _ in range(12):
        begun = time.perf_counter()
        exported(signature, **few)
        seconds.append(time.perf_counter() - begun)
    return float(np.median(seconds[2:]))

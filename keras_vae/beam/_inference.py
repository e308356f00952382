"""Blocks in, blocks of results and blocks of rejected rows out."""
# Beam is an extra, and Arrow's functions carry no types:
# pyright: reportMissingImports=false, reportAttributeAccessIssue=false
# pyright: reportIncompatibleMethodOverride=false

import hashlib
import math
import os
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import tensorflow as tf
from apache_beam.ml.inference.base import ModelHandler, RunInference
from apache_beam.pvalue import TaggedOutput

from keras_vae._parts import check_count
from keras_vae.beam._reading import BLOCK_ROWS, identified
from keras_vae.noise import as_seed

_IDENTITY = ("file", "row", "id")
_WHOLE = ("seed", "num_samples")  # inputs that say something about the call, not about a row


class Results(NamedTuple):
    """What became of rows: blocks with `file`, `row`, and `id` where there is one.

    Attributes:
        rows: besides, a column per output of the signature: a number, or a list of numbers in C order.
        rejected: besides, the `reason`, in words.
    """

    rows: Any
    rejected: Any


class Signature(ModelHandler):
    """Runs a signature of a SavedModel on a block: a block of its results, and one of the rows that it
    cannot be run on.

    A row is rejected where an input is missing, of another type or length, null, NaN or infinite, or
    where x lies outside the likelihood's support. It keeps its place in the call, as zeros, and so
    changes nothing for its neighbours.

    Args:
        model: a SavedModel that `keras_vae.export` wrote, the folder of its versions, of which the
            latest is taken, or the whole export.
        name: the signature.
        seed: an integer of 64 bits.

    Raises:
        FileNotFoundError: where there is no SavedModel.
        ValueError: where it has no such signature, or cannot be read.

    Attributes:
        inputs: `tf.TensorSpec` of what a row has, by name.
        outputs: `pyarrow.Schema` of what a row gets.
    """

    def __init__(self, model: str | os.PathLike[str], name: str, seed: int = 0):
        super().__init__()
        as_seed(seed)
        self._path, self._name, self._seed = _find(os.fspath(model)), name, seed
        signatures = self.load_model().signatures
        if name not in signatures:
            raise ValueError(
                f"{self._path} has no signature {name!r}. Expected a SavedModel that keras_vae exported. Its "
                f"signatures: {sorted(signatures)}"
            )
        specs = signatures[name].structured_input_signature[1]
        self.inputs = {key: spec for key, spec in specs.items() if key not in _WHOLE}
        self._whole = specs.keys() & set(_WHOLE)
        self.outputs = pa.schema(
            (key, pa.float32() if len(spec.shape) == 1 else pa.list_(pa.float32()))
            for key, spec in sorted(signatures[name].structured_outputs.items())
        )

    def load_model(self) -> Any:
        try:
            return tf.saved_model.load(self._path)
        except (OSError, ValueError, tf.errors.OpError) as error:
            raise ValueError(
                f"{self._path} cannot be read as a SavedModel: {str(error).splitlines()[0]}"
            ) from error

    def should_skip_batching(self) -> bool:
        return True  # a block is a batch

    def get_num_bytes(self, batch: pa.Table) -> int:
        return batch.nbytes

    def get_metrics_namespace(self) -> str:
        return "keras_vae"

    def run_inference(
        self, batch: pa.Table, model: Any, inference_args: Mapping[str, Any] | None = None
    ) -> list[tuple[pa.Table, pa.Table]]:
        """Returns, for the one block, its rows with results and its rejected rows with reasons."""
        columns = {name: _values(batch, name, spec) for name, spec in self.inputs.items()}
        inputs: dict[str, Any] = {name: values for name, (values, _) in columns.items()}
        reasons = [[None] * len(batch), *(reasons for _, reasons in columns.values())]
        if "x" in inputs and hasattr(model, "in_support"):
            inside = model.in_support(inputs["x"]).numpy().reshape(len(batch), -1).all(axis=1)
            outside = "x is outside the likelihood's support"
            reasons.append([None if is_inside else outside for is_inside in inside])
        first = [next(filter(None, each), None) for each in zip(*reasons, strict=True)]
        reason = pa.array(first, pa.string())
        is_good = reason.is_null()
        for values in inputs.values():
            values[~is_good.to_numpy(zero_copy_only=False)] = 0
        if "seed" in self._whole:
            inputs["seed"] = _block_seed(self._seed, batch)
        if "num_samples" in self._whole:
            inputs["num_samples"] = np.int32(len(batch))
        outputs = model.signatures[self._name](**{k: tf.constant(v) for k, v in inputs.items()})
        identity = batch.select([name for name in _IDENTITY if name in batch.column_names])
        rows = identity
        for field in self.outputs:
            rows = rows.append_column(field, _column(outputs[field.name].numpy()))
        rejected = identity.append_column("reason", reason)
        return [(rows.filter(is_good), rejected.filter(pc.invert(is_good)))]


class Apply(beam.PTransform):
    """Applies a signature of an exported SavedModel to the blocks of `Read`, and gives `Results`.

    Also for `reconstruct`, and for `generate` over rows of conditions.

    Args:
        model, name, seed: as `Signature` takes them.
    """

    def __init__(self, model: str | os.PathLike[str], name: str, seed: int = 0):
        super().__init__()
        self._signature = Signature(model, name, seed)
        self.inputs, self.outputs = self._signature.inputs, self._signature.outputs

    def expand(self, blocks):
        split = beam.FlatMap(_split).with_outputs("rejected", main="rows")
        both = blocks | RunInference(self._signature) | "Split" >> split
        return Results(both.rows, both.rejected)


class Embed(Apply):
    """Embeds rows: the posterior's `location`, and its `stddev` if it has one.

    Args:
        model: as `Signature` takes it.
    """

    def __init__(self, model: str | os.PathLike[str]):
        super().__init__(model, "encode")


class Score(Apply):
    """Scores rows: `elbo`, `distortion` and `rate` in nats, from one z per row.

    Args:
        model, seed: as `Signature` takes them.
    """

    def __init__(self, model: str | os.PathLike[str], seed: int = 0):
        super().__init__(model, "score", seed)


class Generate(beam.PTransform):
    """Draws examples from the prior: a PCollection of blocks with `row`, the example's number, and
    `mean`.

    Example i is a function of (seed, i, block_rows); the first block is `vae.generate(block_rows, seed)`.

    Args:
        model, seed: as `Signature` takes them.
        num_samples: how many.
        block_rows: number of examples that are drawn in one call.

    Raises:
        ValueError: for a conditional model, and as in `Signature`.
    """

    def __init__(
        self,
        model: str | os.PathLike[str],
        num_samples: int,
        seed: int = 0,
        block_rows: int = BLOCK_ROWS,
    ):
        super().__init__()
        check_count("Generate", num_samples=num_samples, block_rows=block_rows)
        self._signature = Signature(model, "generate", seed)
        if conditions := sorted(self._signature.inputs):
            raise ValueError(
                f"The model generates under the conditions {conditions}. Put them into files, a row per example, "
                "for keras_vae.beam.Apply(model, 'generate')."
            )
        self.num_rows, self._block_rows = num_samples, block_rows
        self.outputs, self.identity = self._signature.outputs, pa.schema([("row", pa.int64())])

    def expand(self, pbegin):
        num_rows = self.num_rows
        return (
            pbegin
            | beam.Create([self._block_rows])
            | "Cut" >> beam.FlatMap(lambda step: ((row, step) for row in range(0, num_rows, step)))
            | beam.Reshuffle()
            | "Number" >> beam.MapTuple(identified).with_output_types(pa.Table)
            | RunInference(self._signature)
            | "End" >> beam.MapTuple(lambda rows, _: rows.filter(pc.field("row") < num_rows))
        )


def _find(model: str) -> str:
    """The folder of the SavedModel that is meant."""
    folder = model if "://" in model else os.path.abspath(model)
    if tf.io.gfile.exists(f"{folder}/saved_model.pb"):
        return folder
    for parent in (folder, f"{folder}/saved_model"):
        files = tf.io.gfile.glob(f"{parent}/*/saved_model.pb")
        names = [os.path.basename(os.path.dirname(file)) for file in files]
        if versions := [name for name in names if name.isdecimal()]:
            return f"{parent}/{max(versions, key=int)}"
    raise FileNotFoundError(
        f"There is no SavedModel in {model}. Expected a folder that `keras-vae export` made."
    )


def _values(block: pa.Table, name: str, spec: tf.TensorSpec) -> tuple[np.ndarray, list[str | None]]:
    """An input's values [N, *shape], zeros where a row has none, and for every row why, or None."""
    shape: Any = spec.shape.as_list()[1:]
    size, dtype = math.prod(shape), spec.dtype.as_numpy_dtype
    values = np.zeros((len(block), *shape), dtype)
    if name not in block.column_names:
        return values, [f"there is no column {name}"] * len(block)
    column = block[name].combine_chunks()
    if _is_number(column.type):
        column = pa.FixedSizeListArray.from_arrays(column, 1)
    if not hasattr(column.type, "value_type") or not _is_number(column.type.value_type):
        reason = f"{name} is of type {column.type}; expected a list of {size} numbers"
        return values, [reason] * len(block)
    lengths = pc.list_value_length(column)
    fits = pc.fill_null(pc.equal(lengths, size), False)
    flat = pc.cast(pc.list_flatten(column.filter(fits)), pa.float64(), safe=False)
    given = flat.to_numpy(zero_copy_only=False).reshape(-1, *shape)  # a null is a NaN
    with np.errstate(all="ignore"):
        converted = given.astype(dtype)
    is_kept = converted == given if np.issubdtype(dtype, np.integer) else np.isfinite(converted)
    fitting = fits.to_numpy(zero_copy_only=False)
    values[fitting] = np.where(is_kept, converted, 0)
    is_good = fitting.copy()
    is_good[fitting] = is_kept.reshape(-1, size).all(axis=1)
    return values, [
        None if ok else _reason(name, size, length)
        for ok, length in zip(is_good, lengths.to_pylist(), strict=True)
    ]


def _reason(name: str, size: int, length: int | None) -> str:
    if length is None:
        return f"{name} is null"
    if length != size:
        return f"{name} has {length} numbers; expected {size}"
    return f"{name} holds a null, or a number that is NaN, infinite or too large"


def _is_number(kind: pa.DataType) -> bool:
    return pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)


def _column(values: np.ndarray) -> pa.Array:
    if values.ndim == 1:
        return pa.array(values)
    offsets = range(0, values.size + 1, math.prod(values.shape[1:]))
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), pa.array(values.ravel()))


def _block_seed(seed: int, block: pa.Table) -> np.ndarray | tf.Tensor:
    """The seed of a block, int32 [2]: a hash of the seed, the name of the file and the first row; the
    seed itself for the first block of `Generate`.
    """
    row = block["row"][0].as_py()
    file = os.path.basename(block["file"][0].as_py()) if "file" in block.column_names else ""
    if not file and row == 0:
        return as_seed(seed)
    digest = hashlib.blake2b(f"{seed}/{file}/{row}".encode(), digest_size=8).digest()
    return np.frombuffer(digest, "<i4")


def _split(results: tuple[pa.Table, pa.Table]) -> Iterator[Any]:
    rows, rejected = results
    if len(rows):
        yield rows
    if len(rejected):
        yield TaggedOutput("rejected", rejected)

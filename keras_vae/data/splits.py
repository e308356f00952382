"""Splits: the data a model trains and is evaluated on."""

import dataclasses
import functools
import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from keras_vae.data.conditions import find_condition
from keras_vae.data.examples import Array, Examples
from keras_vae.data.labels import class_names, class_numbers
from keras_vae.data.pipelines import evaluation_batches, training_batches
from keras_vae.data.protocols import PROTOCOLS, Protocol, chunk_rows
from keras_vae.data.records import Records
from keras_vae.data.streams import EVALUATION_SEED, Stream, key
from keras_vae.data.tables import described
from keras_vae.likelihoods import Column

SPLITS = ("train", "validation", "test")


def steps_per_execution(steps_per_epoch: int, most: int = 32) -> int:
    """The largest divisor of an epoch up to `most`: an endless data set would overrun with any
    other number.

    Example:
    >>> steps_per_execution(429), steps_per_execution(7)
    (13, 7)
    """
    return max(n for n in range(1, most + 1) if steps_per_epoch % n == 0)


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Splits:
    """Training, validation and test examples under one protocol; made by `load`.

    Args:
        name: What the data is called.
        protocol: Name of the protocol, one of `PROTOCOLS`.
        batch_size: Examples per batch.
        seed: Seed of the training order and of redrawn training pixels. Validation and test do
            not depend on it.
        stored: Examples of "train", "validation" and "test" as kept in memory, or as `Records` of a
            stream; a split without examples is left out.
        class_names: Names of the labels 0, 1, ... where known.
        columns: What the elements of an example are, of a table.
        condition: Name of what networks are told beside x, one of `CONDITIONS`, or None. Batches are
            then dicts of "x" and the condition's entries.
        has_missing: Whether values may be missing. Batches are then dicts of "x", NaN where a value is
            missing, and "mask", 1 where one is observed.
        factor_sizes: How many values every factor that made the examples has, by name; empty where they
            are not known.
    """

    name: str
    protocol: str
    batch_size: int
    seed: int
    stored: Mapping[str, Examples]
    class_names: tuple[str, ...] | None = None
    columns: tuple[Column, ...] = ()
    condition: str | None = None
    has_missing: bool = False
    factor_sizes: Mapping[str, int] = dataclasses.field(default_factory=dict)

    @property
    def shape(self) -> tuple[int, ...]:
        """Event shape of one example, for instance (28, 28, 1)."""
        return self.stored["train"].values.shape[1:]

    @property
    def is_streamed(self) -> bool:
        """Whether the examples stay on disk and are read batch by batch."""
        return isinstance(self.stored["train"].values, Records)

    @property
    def num_train(self) -> int:
        """Number of training examples."""
        return len(self.stored["train"])

    @property
    def num_validation(self) -> int:
        """Number of validation examples."""
        return len(self.stored.get("validation", ()))

    @property
    def num_test(self) -> int:
        """Number of test examples."""
        return len(self.stored.get("test", ()))

    @property
    def conditions(self) -> Mapping[str, int | Sequence[int]]:
        """What networks are told beside x, as `networks.mlp` takes it: a number of classes or a shape by
        name.
        """
        condition = find_condition(self.condition)
        return condition.kinds(self.shape, len(self.classes)) if condition else {}

    @functools.cached_property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes 0, 1, ... of the training labels; () without labels."""
        labels = self.train_labels
        return () if labels is None else class_names(labels, self.class_names or ())

    def class_numbers(self, split: str) -> Array:
        """The labels of a split as numbers of `classes`, int32 [N].

        Raises:
            ValueError: For labels that no training example has, and where there are none.
        """
        labels, known = self.stored[split].labels, self.train_labels
        if labels is None or known is None:
            raise ValueError(
                f"The {split} examples of {self.name!r} have no labels, which the condition needs."
            )
        return class_numbers(labels, known, self.classes, split)

    def factors(self, split: str) -> Array:
        """The numbers of the values of the factors that made the examples of a split, integers [N, F].

        Rows are in the order of `examples(split)`, columns in that of `factor_sizes`.

        Raises:
            ValueError: For data whose factors are not known, and for a split that does not exist.
        """
        factors = self._held(split).factors
        if factors is None:
            raise ValueError(
                f"The factors that made the examples of {self.name!r} are not known. Expected data with known "
                'factors, such as "dsprites" or "tfds:dsprites".'
            )
        return factors

    @property
    def steps_per_epoch(self) -> int:
        """Whole batches in the training examples."""
        return self.num_train // self.batch_size

    @property
    def steps_per_execution(self) -> int:
        """What `compile` should be given for speed: steps that TensorFlow makes in one call."""
        return steps_per_execution(self.steps_per_epoch)

    @property
    def train(self) -> tf.data.Dataset:
        """The infinite stream of training batches, float32 [batch_size, *shape]."""
        return self.train_from(0)

    def train_from(self, step: int) -> tf.data.Dataset:
        """Returns the stream of training batches from a global step on.

        What to train on after an interruption: the batches are those that the uninterrupted
        stream would have yielded, for no more than the cost of shuffling the numbers of one epoch.

        Args:
            step: Number of training steps that have been made.

        Returns:
            An infinite dataset of float32 batches [batch_size, *shape].

        Raises:
            ValueError: If `step` is negative.
        """
        if step < 0:
            raise ValueError(f"step must not be negative. Received: step={step}.")
        return training_batches(
            self._tensors["train"],
            self._protocol,
            self.batch_size,
            self.seed,
            int(step),
            self._training_entries if self._has_entries else None,
        )

    @property
    def _has_entries(self) -> bool:
        return self.has_missing or self.condition is not None

    def _training_entries(self, x: tf.Tensor, indices: tf.Tensor, step: tf.Tensor):
        labels = None if self._labels is None else tf.gather(self._labels["train"], indices)
        draws = key(self.seed, Stream.TRAINING_CONDITIONS, step)
        return {"x": x, **self._entries(x, labels, draws)}

    def _entries(self, x: tf.Tensor, labels: tf.Tensor | None, seed: tf.Tensor):
        """What stands beside x in a batch."""
        entries = {}
        if self.has_missing:
            entries["mask"] = tf.cast(tf.math.logical_not(tf.math.is_nan(x)), tf.float32)
        if condition := find_condition(self.condition):
            entries |= condition.entries(x, labels, seed)
        return entries

    @functools.cached_property
    def _labels(self) -> dict[str, Array] | None:
        condition = find_condition(self.condition)
        if condition is None or not condition.of_labels:
            return None
        return {split: self.class_numbers(split) for split in self.stored}

    @functools.cached_property
    def _held_out_entries(self) -> dict[str, dict[str, tf.Tensor]]:
        """What stands beside x in the examples of a split, in their order."""
        held_out = [split for split in SPLITS[1:] if split in self.stored]
        batches = {split: self.examples(split) for split in held_out if self._has_entries}
        with tf.device("CPU"):
            return {
                split: {name: tf.constant(values) for name, values in batch.items() if name != "x"}
                for split, batch in batches.items()
            }

    @property
    def validation(self) -> tf.data.Dataset | None:
        """Batches of the validation examples, the same in every pass; None if there are none."""
        return self._evaluation("validation")

    @property
    def test(self) -> tf.data.Dataset | None:
        """Batches of the test examples, the same in every pass; None if there are none."""
        return self._evaluation("test")

    @property
    def train_labels(self) -> Array | None:
        """Labels [num_train] in the order of `examples("train")`, or None."""
        return self.stored["train"].labels

    @property
    def validation_labels(self) -> Array | None:
        """Labels [num_validation] in the order of `validation`, or None."""
        return self.stored["validation"].labels if self.num_validation else None

    @property
    def test_labels(self) -> Array | None:
        """Labels [num_test] in the order of `test`, or None."""
        return self.stored["test"].labels if self.num_test else None

    def examples(self, split: str, n: int | None = None) -> Any:
        """Returns the first examples of a split as the model sees them, for pictures and checks.

        Args:
            split: "train", "validation" or "test".
            n: How many; all by default. More than there are is an error.

        Returns:
            A float32 array [n, *shape], or, of examples with a condition or missing values, a dict of
            arrays, in the order of the split's labels. Training examples that are redrawn every epoch
            show one draw, which is not one that a model trains on.

        Raises:
            ValueError: If the split does not exist or has fewer than `n` examples.
        """
        available = len(self._held(split))
        n = available if n is None else n
        if not 1 <= n <= available:
            raise ValueError(
                f"The {split} split has {available:,} examples, of which n are asked for. Received: n={n}. "
                "Leave n out to get them all."
            )
        chunks = list(self.chunks(split, n))
        return tf.nest.map_structure(lambda *parts: np.concatenate(parts), *chunks)

    def chunks(self, split: str, n: int | None = None) -> Iterator[Any]:
        """Yields what `examples` returns in pieces, so that a large split needs little memory."""
        values = self._tensors[split][:n]
        rows = chunk_rows(self.shape)
        for number, start in enumerate(range(0, len(values), rows)):
            chunk = values[start : start + rows]
            if isinstance(chunk, Records):
                chunk = tf.constant(chunk.load())
            if split == "train":
                x = self._protocol(chunk, key(self.seed, Stream.EXAMPLES, start))
            elif self.is_streamed:
                x = self._protocol.held_out(chunk, Stream[split.upper()], number)
            else:
                x = self._protocol.scale(chunk)
            if not self._has_entries:
                yield x.numpy()
                continue
            of_chunk = (int(Stream[split.upper()]) << 40) + number
            draws = key(EVALUATION_SEED, Stream.CONDITIONS, of_chunk)
            labels: Any = None
            if self._labels is not None:
                labels = self._labels[split][start : start + len(chunk)]
            entries = {"x": x, **self._entries(x, labels, draws)}
            yield {name: np.asarray(value) for name, value in entries.items()}

    @functools.cached_property
    def mean(self) -> Array:
        """Mean training example, float32 [*shape], in the units that the model sees.

        For dynamic binarisation it is the mean of pixel / 255, which is what the draws average
        to: the logit of it is where a decoder's output bias should start. Of a stream it is the
        mean of a sample.
        """
        total, count = np.zeros(self.shape), 0
        for chunk in self._train_chunks():
            total += np.sum(self._protocol.expected(chunk), axis=0, dtype=np.float64)
            count += len(chunk)
        return (total / count).astype(np.float32)

    @functools.cached_property
    def is_binary(self) -> bool:
        """Whether the model sees zeros and ones only in training; of a stream, in a sample of it."""
        if self._protocol.draw is not None:
            return True
        scaled = (self._protocol.scale(tf.constant(chunk)) for chunk in self._train_chunks())
        return all(np.isin(values, (0.0, 1.0)).all() for values in scaled)

    @functools.cached_property
    def value_range(self) -> tuple[float, float]:
        """What pictures show as black and as white: 0 and 1, or, of values under the protocol "raw" that
        lie elsewhere, the smallest and the largest of the training examples; 0 and 255 for pixels.
        """
        if self.protocol != "raw":
            return 0.0, 1.0
        if self.stored["train"].values.dtype == np.uint8:
            return 0.0, 255.0
        low, high = self.extremes
        return (0.0, 1.0) if low >= 0 and high <= 1 else (low, high)

    @functools.cached_property
    def extremes(self) -> tuple[float, float]:
        """The smallest and the largest stored value of the training examples; of a stream, of a sample."""
        chunks = self._train_chunks()
        return float(min(map(np.nanmin, chunks))), float(max(map(np.nanmax, chunks)))

    def _train_chunks(self) -> list[Array]:
        """The training examples as stored; of a stream, a sample of them."""
        values = self.stored["train"].values
        if isinstance(values, Records):
            values = values.sample
        return np.array_split(values, math.ceil(len(values) / chunk_rows(self.shape)))

    @functools.cached_property
    def fingerprints(self) -> dict[str, str]:
        """SHA-256 of the bytes of each split in memory: equal exactly if the numbers are.

        Of "validation" and "test", the float32 values that the model sees: likelihoods may be
        compared if these agree. Of "train", the values as stored, before any redrawing, and the labels
        that the networks are told. Of a stream, which is not read whole for this, SHA-256 of the names
        and sizes of its files, of which examples are the split's, and of a sample of them.
        """
        return {split: self._fingerprint(split) for split in self.stored}

    def _fingerprint(self, split: str) -> str:
        digest = hashlib.sha256()
        values = self.stored[split].values
        if isinstance(values, Records):
            digest.update(f"{values.fingerprint} {self.protocol}".encode())
        else:
            for chunk in self._train_chunks() if split == "train" else self.chunks(split):
                for array in tf.nest.flatten(chunk):
                    digest.update(array.tobytes())
            if split == "train" and self._labels is not None:
                digest.update(self._labels["train"].tobytes())
        return digest.hexdigest()

    def summary(self) -> list[tuple[str, str]]:
        """Returns rows of (what, value) that describe the data, for printing."""
        training = f"{self.steps_per_epoch:,} steps of {self.batch_size}, seed {self.seed}"
        return [
            ("data", self.name),
            ("protocol", f"{self.protocol}: {self._protocol.meaning}"),
            ("event shape", " x ".join(map(str, self.shape))),
            ("train", f"{self.num_train:,} examples{', streamed' * self.is_streamed}, {training}"),
            *((split, self._described(split)) for split in SPLITS[1:]),
            *self._described_entries(),
            *described(self.columns),
        ]

    def _described_entries(self) -> list[tuple[str, str]]:
        rows = []
        if condition := find_condition(self.condition):
            rows.append(("condition", f"{condition.name}: {condition.meaning}"))
        if self.columns:
            missing = np.isnan(np.asarray(self.stored["train"].values)).mean()
            rows.append(("columns", f"{len(self.columns)}, {missing:.1%} of the values missing"))
        if self.factor_sizes:
            sizes = (f"{name} ({size})" for name, size in self.factor_sizes.items())
            rows.append(("factors", ", ".join(sizes)))
        return rows

    def __repr__(self) -> str:
        return (
            f"Splits(name={self.name!r}, protocol={self.protocol!r}, shape={self.shape}, "
            f"num_train={self.num_train}, num_validation={self.num_validation}, "
            f"num_test={self.num_test}, batch_size={self.batch_size}, seed={self.seed})"
        )

    @property
    def _protocol(self) -> Protocol:
        return PROTOCOLS[self.protocol]

    @functools.cached_property
    def _tensors(self) -> dict[str, tf.Tensor | Records]:
        values: dict[str, Any] = {split: held.values for split, held in self.stored.items()}
        if self.is_streamed:
            return values
        with tf.device("CPU"):
            return {split: tf.constant(held) for split, held in values.items()}

    def _held(self, split: str) -> Examples:
        if split not in self.stored:
            raise ValueError(f"Expected a split among {list(self.stored)}. Received: {split!r}.")
        return self.stored[split]

    def _described(self, split: str) -> str:
        if split not in self.stored:
            return "none"
        of = "sha256 of files and sample" if self.is_streamed else "sha256"
        return f"{len(self.stored[split]):,} examples, {of} {self.fingerprints[split][:12]}"

    def _evaluation(self, split: str) -> tf.data.Dataset | None:
        if split not in self.stored:
            return None
        stream = Stream[split.upper()]
        beside = self._held_out_entries.get(split, {})
        return evaluation_batches(
            self._tensors[split], self._protocol, self.batch_size, stream, beside
        )

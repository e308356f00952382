"""From a source, or from arrays, to splits."""

import dataclasses
import numbers
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from keras_vae.data import sources
from keras_vae.data.examples import Array, Examples, RawData, checked
from keras_vae.data.protocols import Protocol, find_protocol
from keras_vae.data.records import Records
from keras_vae.data.splits import SPLITS, Splits
from keras_vae.data.streams import EVALUATION_SEED, Stream, key, permutation
from keras_vae.data.tables import as_frame, encode, infer_columns

_HELD_OUT = 10_000  # examples that are held out at most, where no number is given


def load(
    source: str | os.PathLike[str],
    *,
    protocol: str | None = None,
    batch_size: int = 128,
    validation: int | None = None,
    seed: int = 0,
    flatten: bool = False,
    stream: bool = False,
    condition: str | None = None,
    column_types: Mapping[str, str] | None = None,
) -> Splits:
    """Loads a data set into training, validation and test splits under a named protocol.

    Sources keep the sets that they have. Validation or test examples that they lack are a tenth of
    the training examples each, at most 10,000, taken at random, always in the same way; validation
    examples of MNIST, and of IDX files, are the *last* training examples. Whatever `seed`, `batch_size` and
    `flatten`, validation and test are the same numbers: `Splits.fingerprints` says which.

    Args:
        source: One of

            * `"mnist"`: the MNIST database that comes with the package;
            * `"dsprites"`: white shapes on black with the five factors that made each (see `data.dsprites`),
              binary pixels drawn as they are asked for: 60,000 training and 10,000 test images of the
              737,280, always the same ones, or, with `stream`, all of them;
            * `"tfds:NAME"`: a TensorFlow Datasets name, such as `"tfds:fashion_mnist"`;
            * a folder of IDX files named like those of MNIST, gzipped or not;
            * a folder of images (png, jpg, bmp) of one size; subfolders are classes;
              subfolders `train`, `validation` (`valid`, `val`) and `test` are those sets;
            * a folder of TFRecord or ArrayRecord shards, with the sets in their names; a record is a
              picture, or a tf.train.Example with a feature `image` or `x`: a picture, a serialised
              tensor, bytes of pixels, or numbers; labels are not read;
            * a `.csv` or `.parquet` file: a table with named columns, of numbers or categories, with
              empty cells where a value is missing;
            * a `.npy` or `.npz` file: a table [N, D], grey images [N, H, W] or images
              [N, H, W, C]; in an `.npz`, `train`, `validation` and `test`, or `x_train`,
              `x_val` and `x_test`, or one array, with labels in `y_train`, `y_val` and `y_test`.
        protocol: `"grey"` (pixel / 255), `"dynamic"` (pixels drawn as Bernoulli variables, anew
            in every epoch of training), `"static"` (drawn once) or `"raw"` (values as they are).
            By default `"dynamic"` for `"mnist"`, `"grey"` for other 8-bit images and `"raw"`
            for everything else.
        batch_size: Examples per batch. The last, partial batch of a training epoch is dropped;
            that of validation and test is kept.
        validation: Number of training examples to hold out for validation; by default 5,000 for
            `"mnist"` and `"dsprites"` and a tenth, 10,000 at most, for streams and others that have no
            validation set. 0 leaves none.
        seed: Seed of the training order and of redrawn training pixels, in [0, 2**63).
        flatten: Whether examples are vectors.
        stream: Leave the examples on disk and read them batch by batch, several batches at a time,
            in the same order as from memory: for shards, image folders, `.npy` files and TFDS data
            larger than memory. What is asked of all training examples (their mean, their range,
            whether they are binary) is then asked of a sample, and only image folders have labels.
        condition: What networks are told beside x, one of `CONDITIONS`: `"label"`, or the image itself
            damaged, which a model then restores. Batches become dicts.
        column_types: Of a table with named columns, for those that are to be something else than they
            look like: `"real"`, `"integer"`, `"binary"`, `"categorical"`, or `"skip"`.

    Returns:
        The splits.

    Raises:
        FileNotFoundError: If the source, or one of its files, does not exist.
        ValueError: If the source cannot be read or its values do not fit the protocol, if there
            are fewer training examples than one batch, or if an argument is out of range.

    Example:
    >>> splits = load("mnist", batch_size=100)
    >>> splits
    Splits(name='mnist', protocol='dynamic', shape=(28, 28, 1), num_train=55000,
           num_validation=5000, num_test=10000, batch_size=100, seed=0)
    >>> [batch.shape for batch in splits.train.take(1)]
    [TensorShape([100, 28, 28, 1])]
    """
    raw = sources.read(source, stream=stream, column_types=column_types)
    return _split(raw, protocol, batch_size, validation, seed, flatten, condition)


def from_arrays(
    train: Any,
    test: Any = None,
    *,
    validation: Any = None,
    train_labels: Any = None,
    validation_labels: Any = None,
    test_labels: Any = None,
    name: str = "arrays",
    protocol: str | None = None,
    batch_size: int = 128,
    seed: int = 0,
    flatten: bool = False,
    condition: str | None = None,
) -> Splits:
    """Makes splits of arrays, in the way that `load` makes them of a file.

    The arrays are copied: what becomes of them later changes nothing.

    Args:
        train: A table [N, D], grey images [N, H, W] or images [N, H, W, C].
        test, validation: Array of the same event shape and type, or the number of examples of
            `train` to hold out; by default a tenth of them each.
        train_labels: Array [N] or None.
        validation_labels, test_labels: Array or None, where the set is an array.
        name: What the data is called in summaries.
        protocol: See `load`.
        batch_size: See `load`.
        seed: See `load`.
        flatten: See `load`.
        condition: See `load`.

    Returns:
        The splits.

    Raises:
        ValueError: As for `load`.

    Example:
    >>> import numpy as np
    >>> splits = from_arrays(np.linspace(0.0, 1.0, 100).reshape(50, 2), batch_size=8)
    >>> splits.protocol, splits.shape, splits.num_train, splits.num_validation, splits.num_test
    ('raw', (2,), 40, 5, 5)
    """
    count, num_test = (held if np.ndim(held) == 0 else None for held in (validation, test))
    arrays = {
        "train": (train, train_labels),
        "validation": (None if np.ndim(validation) == 0 else validation, validation_labels),
        "test": (None if np.ndim(test) == 0 else test, test_labels),
    }
    sets = {}
    for split, (values, labels) in arrays.items():
        if values is not None:
            sets[split] = checked(np.array(values), labels, split=split)
        elif labels is not None:
            raise ValueError(
                f"{split}_labels need {split} examples. Expected {split}=..., or no {split}_labels. "
                f"Received: no {split} array."
            )
    raw = RawData(name, **sets)
    return _split(raw, protocol, batch_size, count, seed, flatten, condition, num_test=num_test)


def from_table(
    table: Any,
    *,
    validation: int | None = None,
    test: int | None = None,
    column_types: Mapping[str, str] | None = None,
    labels: Any = None,
    name: str = "table",
    batch_size: int = 128,
    seed: int = 0,
    condition: str | None = None,
    has_missing: bool | None = None,
) -> Splits:
    """Makes splits of the rows of a table, in the way that `load` makes them of a file.

    Args:
        table: A data frame, or an array [N, D]; NaN or None where a value is missing.
        validation: Number of rows to hold out; by default a tenth.
        test: Likewise.
        column_types: See `load`.
        labels: Array [N] or None.
        name: What the data is called in summaries.
        batch_size: See `load`.
        seed: See `load`.
        condition: See `load`.
        has_missing: Whether the model is to know of missing values; by default, whether there are any.

    Example:
    >>> import pandas as pd
    >>> frame = pd.DataFrame({"size": [1.5, 2.5, None, 3.0] * 10, "sort": ["a", "b", "c", "a"] * 10})
    >>> splits = from_table(frame, batch_size=4)
    >>> splits.columns
    (Column(name='size', kind='real', categories=()),
     Column(name='sort', kind='categorical', categories=('a', 'b', 'c')))
    >>> sorted(splits.examples("test"))
    ['mask', 'x']
    """
    frame = as_frame(table)
    columns = infer_columns(frame, column_types)
    kept = frame[[column.name for column in columns]]
    rows = Examples(encode(kept, columns), None if labels is None else np.asarray(labels))
    raw = RawData(name, train=rows, protocol="table", columns=columns)
    return _split(
        raw,
        None,
        batch_size,
        validation,
        seed,
        False,
        condition,
        num_test=test,
        has_missing=has_missing,
    )


def _split(
    raw: RawData,
    protocol: str | None,
    batch_size: int,
    validation: int | None,
    seed: int,
    flatten: bool,
    condition: str | None,
    *,
    num_test: int | None = None,
    has_missing: bool | None = None,
) -> Splits:
    _check_whole("batch_size", batch_size, at_least=1)
    _check_whole("seed", seed, at_least=0)
    for name, held in (("validation", validation), ("test", num_test)):
        if held is not None:
            _check_whole(name, held, at_least=0)
    values = raw.train.values
    seen = values.sample if isinstance(values, Records) and values.dtype == np.uint8 else values
    chosen = find_protocol(raw.protocol if protocol is None else protocol, seen)
    for split, held in raw.sets.items():
        _check_alike(raw.train, held, split)
        chosen.check(held.values, split)
    if (chosen.name == "table") != bool(raw.columns):
        raise ValueError(
            'protocol="table" is that of tables with named columns, and they have no other. Received: '
            f"protocol={chosen.name!r} for {raw.name!r}."
        )
    parts = _partition(raw, validation, num_test)
    if len(parts["train"]) < batch_size:
        raise ValueError(
            f"There are fewer training examples than one batch. Expected at least {batch_size:,}. "
            f"Received: {len(parts['train']):,} training examples, beside "
            f"{len(parts['validation']):,} for validation and {len(parts['test']):,} for test. "
            "Use a smaller batch_size, fewer validation examples or more data."
        )
    stored = {
        split: _stored(parts[split], split, chosen, flatten) for split in SPLITS if parts[split]
    }
    if has_missing is None:
        tables = [np.asarray(held.values) for held in raw.sets.values() if raw.columns]
        has_missing = any(np.isnan(values).any() for values in tables)
    splits = Splits(
        raw.name,
        chosen.name,
        int(batch_size),
        int(seed),
        stored,
        raw.class_names,
        raw.columns,
        condition,
        has_missing,
        raw.factor_sizes,
    )
    if splits.conditions and splits.is_streamed:
        raise ValueError(
            "Conditions are made of examples in memory. Leave stream out, or the condition."
        )
    return splits


def _partition(
    raw: RawData, validation: int | None, num_test: int | None = None
) -> dict[str, Examples]:
    """Divides the data into disjoint splits, by index."""
    tenth = min(len(raw.train) // 10, _HELD_OUT)
    if num_test is None:
        num_test = 0 if raw.test else tenth
    num_validation = raw.num_validation if validation is None else validation
    if raw.validation and validation:
        raise ValueError(
            f"The data have a validation set, of {len(raw.validation):,} examples. Expected no number of "
            f"validation examples, or 0 to go without. Received: validation={validation}."
        )
    if num_validation is None:
        num_validation = 0 if raw.validation else tenth
    num_train = len(raw.train) - num_validation - num_test
    if num_train < 1:
        raise ValueError(
            f"validation must leave training examples. Expected less than "
            f"{len(raw.train) - num_test:,}. Received: validation={num_validation}."
        )
    order = np.arange(len(raw.train))
    if not raw.is_shuffled:  # the last may be all of one class
        order = permutation(len(order), key(EVALUATION_SEED, Stream.PARTITION)).numpy()
    pieces = np.split(order, [num_train, num_train + num_validation])
    parts = {split: raw.train[np.sort(piece)] for split, piece in zip(SPLITS, pieces, strict=True)}
    if raw.test:
        parts["test"] = raw.test
    if raw.validation and validation != 0:
        parts["validation"] = raw.validation
    return parts


def _stored(part: Examples, split: str, protocol: Protocol, flatten: bool) -> Examples:
    values = protocol.store(part.values, Stream[split.upper()])
    if isinstance(values, Records) and protocol.probabilities and values.dtype != np.uint8:
        values = values.limited(1.0)
    if flatten:
        is_streamed = isinstance(values, Records)
        values = values.flattened() if is_streamed else values.reshape(len(part), -1)
    return dataclasses.replace(part, values=values)


def _check_alike(train: Examples, other: Examples, split: str) -> None:
    def described(values: Array | Records) -> str:
        return f"{values.dtype} of shape {values.shape[1:]}"

    if described(train.values) != described(other.values):
        raise ValueError(
            f"Training and {split} examples differ in kind. Expected {split} examples like the training "
            f"examples, {described(train.values)}. Received: {described(other.values)}."
        )


def _check_whole(name: str, value: int, at_least: int) -> None:
    if not isinstance(value, numbers.Integral) or not at_least <= value < 2**63:
        raise ValueError(
            f"{name} must be a whole number, at least {at_least} and below 2**63. Received: "
            f"{name}={value!r}."
        )

"""From a source, or from arrays, to splits."""

import numbers
import os
from typing import Any

from keras_vae.data import sources
from keras_vae.data.examples import Array, Examples, RawData, checked
from keras_vae.data.protocols import Protocol, find_protocol
from keras_vae.data.splits import SPLITS, Splits
from keras_vae.data.streams import EVALUATION_SEED, Stream, key, permutation


def load(
    source: str | os.PathLike[str],
    *,
    protocol: str | None = None,
    batch_size: int = 128,
    validation: int | None = None,
    seed: int = 0,
    flatten: bool = False,
) -> Splits:
    """Loads a data set into training, validation and test splits under a named protocol.

    Sources with a training and a test set keep them; validation examples are the *last* training
    examples. Sources with one set are divided at random into 80 % training, 10 % validation and
    10 % test, always in the same way. Whatever `seed`, `batch_size` and `flatten`, validation
    and test are the same numbers: `Splits.fingerprints` says which.

    Args:
        source: One of

            * `"mnist"`: the MNIST database that comes with the package;
            * `"tfds:NAME"`: a TensorFlow Datasets name, such as `"tfds:fashion_mnist"`;
            * a folder of IDX files named like those of MNIST, gzipped or not;
            * a folder of images (png, jpg, bmp) of one size; subfolders are classes, and two
              subfolders `train` and `test` are those sets;
            * a `.npy` or `.npz` file: a table [N, D], grey images [N, H, W] or images
              [N, H, W, C]; in an `.npz`, `train` and `test` or `x_train` and `x_test` or one
              array, with labels in `y_train` and `y_test`.
        protocol: `"grey"` (pixel / 255), `"dynamic"` (pixels drawn as Bernoulli variables, anew
            in every epoch of training), `"static"` (drawn once) or `"raw"` (values as they are).
            By default `"dynamic"` for `"mnist"`, `"grey"` for other 8-bit images and `"raw"`
            for everything else.
        batch_size: Examples per batch. The last, partial batch of a training epoch is dropped;
            that of validation and test is kept.
        validation: Number of validation examples; by default 5,000 for `"mnist"` and a tenth
            for others. 0 leaves none.
        seed: Seed of the training order and of redrawn training pixels, in [0, 2**63).
        flatten: Whether examples are vectors.

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
    return _split(sources.read(source), protocol, batch_size, validation, seed, flatten)


def from_arrays(
    train: Any,
    test: Any = None,
    *,
    train_labels: Any = None,
    test_labels: Any = None,
    name: str = "arrays",
    protocol: str | None = None,
    batch_size: int = 128,
    validation: int | None = None,
    seed: int = 0,
    flatten: bool = False,
) -> Splits:
    """Makes splits of arrays, in the way that `load` makes them of a file.

    Args:
        train: A table [N, D], grey images [N, H, W] or images [N, H, W, C]. Without `test` they
            are divided at random into 80 % training, 10 % validation and 10 % test.
        test: Array of the same event shape and type, or None.
        train_labels: Array [N] or None.
        test_labels: Array or None.
        name: What the data is called in summaries.
        protocol: See `load`.
        batch_size: See `load`.
        validation: See `load`.
        seed: See `load`.
        flatten: See `load`.

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
    if test is None and test_labels is not None:
        raise ValueError(
            "test_labels need test examples. Expected test=..., or no test_labels. "
            "Received: test=None."
        )
    raw = RawData(
        name,
        checked(train, train_labels, split="train"),
        None if test is None else checked(test, test_labels, split="test"),
    )
    return _split(raw, protocol, batch_size, validation, seed, flatten)


def _split(
    raw: RawData,
    protocol: str | None,
    batch_size: int,
    validation: int | None,
    seed: int,
    flatten: bool,
) -> Splits:
    _check_whole("batch_size", batch_size, at_least=1)
    _check_whole("seed", seed, at_least=0)
    if validation is not None:
        _check_whole("validation", validation, at_least=0)
    if raw.test is not None:
        _check_alike(raw.train, raw.test)

    chosen = find_protocol(raw.protocol if protocol is None else protocol, raw.train.values)
    chosen.check(raw.train.values, "train")
    if raw.test is not None:
        chosen.check(raw.test.values, "test")
    parts = _partition(raw, validation)
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
    return Splits(raw.name, chosen.name, int(batch_size), int(seed), stored, raw.class_names)


def _partition(raw: RawData, validation: int | None) -> dict[str, Examples]:
    """Divides the data into disjoint splits, by index."""
    train, test = raw.train, raw.test
    num_validation = raw.num_validation if validation is None else validation
    if num_validation is None:
        num_validation = len(train) // 10
    if test is None:
        order = permutation(len(train), key(EVALUATION_SEED, Stream.PARTITION)).numpy()
        num_test = len(train) // 10
        train, test = train[order[num_test:]], train[order[:num_test]]
    if num_validation >= len(train):
        raise ValueError(
            f"validation must leave training examples. Expected less than {len(train):,}. "
            f"Received: validation={num_validation}."
        )
    num_train = len(train) - num_validation
    return {"train": train[:num_train], "validation": train[num_train:], "test": test}


def _stored(part: Examples, split: str, protocol: Protocol, flatten: bool) -> Examples:
    values = protocol.store(part.values, Stream[split.upper()])
    return Examples(values.reshape(len(part), -1) if flatten else values, part.labels)


def _check_alike(train: Examples, test: Examples) -> None:
    def described(values: Array) -> str:
        return f"{values.dtype} of shape {values.shape[1:]}"

    if described(train.values) != described(test.values):
        raise ValueError(
            "Training and test examples differ in kind. Expected test examples like the training "
            f"examples, {described(train.values)}. Received: {described(test.values)}."
        )


def _check_whole(name: str, value: int, at_least: int) -> None:
    if not isinstance(value, numbers.Integral) or not at_least <= value < 2**63:
        raise ValueError(
            f"{name} must be a whole number, at least {at_least}. Received: {name}={value!r}."
        )

"""Arrays in NumPy's own files."""

import zipfile
import zlib
from pathlib import Path

import numpy as np

from keras_vae.data.examples import Array, RawData, checked

_PAIRS = (("train", "test"), ("x_train", "x_test"))
_LABELS = {"train": "y_train", "test": "y_test"}


def is_npy(source: str) -> bool:
    """Whether the source is an existing .npy file."""
    return source.endswith(".npy") and Path(source).is_file()


def is_npz(source: str) -> bool:
    """Whether the source is an existing .npz file."""
    return source.endswith(".npz") and Path(source).is_file()


def read_npy(source: str) -> RawData:
    """Reads one array."""
    array = _load(source)
    if not isinstance(array, np.ndarray):
        raise ValueError(f"{source} is an .npz archive by its content. Rename it to .npz.")
    return RawData(Path(source).stem, checked(array, split="train"))


def read_npz(source: str) -> RawData:
    """Reads a training and a test array, or one array, with labels where there are any."""
    arrays = _load(source)
    if isinstance(arrays, np.ndarray):
        raise ValueError(f"{source} is a single .npy array by its content. Rename it to .npy.")
    train_key, test_key = _keys(source, arrays)
    return RawData(
        Path(source).stem,
        checked(arrays[train_key], arrays.get(_LABELS["train"]), split="train"),
        None
        if test_key is None
        else checked(arrays[test_key], arrays.get(_LABELS["test"]), split="test"),
    )


def _keys(source: str, arrays: dict[str, Array]) -> tuple[str, str | None]:
    for train, test in _PAIRS:
        if train in arrays:
            return train, test if test in arrays else None
    candidates = [key for key in arrays if key not in _LABELS.values()]
    if len(candidates) == 1:
        return candidates[0], None
    raise ValueError(
        f"It is not clear which arrays in {source} are the examples. Expected train and test, or "
        f"x_train and x_test, or one array. Received: {', '.join(arrays) or 'no arrays'}."
    )


def _load(source: str) -> Array | dict[str, Array]:
    try:
        with open(source, "rb") as file:
            loaded = np.load(file, allow_pickle=False)
            if isinstance(loaded, np.ndarray):
                return loaded
            return {key: loaded[key] for key in loaded.files}
    except (ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(
            f"{source} cannot be read: {error} Expected arrays of numbers as written by numpy.save "
            "or numpy.savez; arrays of Python objects are not accepted."
        ) from error

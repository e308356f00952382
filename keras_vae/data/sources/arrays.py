"""Arrays in NumPy's own files."""

import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from keras_vae._files import check_fits
from keras_vae.data.examples import SET_NAMES, Array, Examples, RawData, checked, event_like
from keras_vae.data.records import Records

_ZIP = b"PK"


def is_npy(source: str) -> bool:
    """Whether the source is an existing .npy file."""
    return source.lower().endswith(".npy") and Path(source).is_file()


def is_npz(source: str) -> bool:
    """Whether the source is an existing .npz file."""
    return source.lower().endswith(".npz") and Path(source).is_file()


def read_npy(source: str) -> RawData:
    """Reads one array."""
    array = _load(source)
    if not isinstance(array, np.ndarray):
        raise _misnamed(source)
    return RawData(Path(source).stem, train=checked(array, split="train"))


def stream_npy(source: str) -> RawData:
    """One array that stays in its file."""
    return RawData(Path(source).stem, train=Examples(Records(ArrayFile(source))))


class ArrayFile:
    """The rows of an .npy file, read as they are asked for; see `records.Reader`."""

    def __init__(self, source: str):
        array: Any = _mapped(source)
        if not len(array):
            raise ValueError(f"{source} is empty. Expected at least one example.")
        self.shape, self.dtype = event_like(array.shape[1:], array.dtype, source)
        if not array.flags.c_contiguous:
            raise ValueError(
                f"{source} is in Fortran order, in which examples lie scattered over the file. Save it with "
                "numpy.save(..., numpy.ascontiguousarray(array))."
            )
        self.source, self.length, self.stored = source, len(array), array.dtype
        self.begin, self.row = array.offset, array[0].nbytes
        self.identity = f"{Path(source).name} {Path(source).stat().st_size}"

    def __len__(self) -> int:
        return self.length

    def where(self, number):
        return f"Example {number:,} of {self.source}"

    def read(self, numbers):
        with open(self.source, "rb", buffering=0) as file:  # a map would hold what it has read
            rows = [
                os.pread(file.fileno(), self.row, self.begin + int(number) * self.row)
                for number in numbers
            ]
        content = b"".join(rows)
        if len(content) != len(rows) * self.row:
            raise ValueError(f"{self.source} has become shorter since it was opened.")
        with np.errstate(over="ignore"):
            values = np.frombuffer(content, self.stored).astype(self.dtype)
        return values.reshape(-1, *self.shape)


def read_npz(source: str) -> RawData:
    """Reads the arrays of the sets, or one array of them all, with labels where there are any."""
    arrays = _load(source)
    if isinstance(arrays, np.ndarray):
        raise ValueError(f"{source} is a single .npy array by its content. Rename it to .npy.")
    examples, labels = _keys(source, arrays)
    sets: dict[str, Any] = {
        split: checked(arrays[key], arrays.get(labels.get(split, "")), split=split)
        for split, key in examples.items()
    }
    return RawData(Path(source).stem, **sets)


def _keys(source: str, arrays: dict[str, Array]) -> tuple[dict[str, str], dict[str, str]]:
    """The names of the arrays of examples and of labels, by set."""
    examples, labels, others = {}, {}, []
    for key in arrays:
        prefix, _, rest = key.rpartition("_")
        split = next((split for split, names in SET_NAMES.items() if rest in names), None)
        kind = {"": examples, "x": examples, "y": labels}.get(prefix)
        if split is None or kind is None:
            others.append(key)
        elif kind.setdefault(split, key) != key:
            raise _unclear(source, arrays)
    if "train" in examples and set(labels) <= set(examples):
        return examples, labels
    if examples or len(others) != 1 or set(labels) - {"train"}:
        raise _unclear(source, arrays)
    return {"train": others[0]}, labels


def _unclear(source: str, arrays: dict[str, Array]) -> ValueError:
    return ValueError(
        f"It is not clear which arrays in {source} are the examples. Expected train, with or without "
        "validation and test; or x_train, with or without x_val and x_test; or one array. "
        f"Received: {', '.join(arrays) or 'no arrays'}."
    )


def _load(source: str) -> Array | dict[str, Array]:
    try:
        if not zipfile.is_zipfile(source):
            with open(source, "rb") as file:
                if file.read(len(_ZIP)) == _ZIP:
                    raise zipfile.BadZipFile("the archive is cut short.")
            return np.array(_map(source))
        with zipfile.ZipFile(source) as archive:
            check_fits(source, sum(entry.file_size for entry in archive.infolist()))
        with open(source, "rb") as file, np.load(file, allow_pickle=False) as loaded:
            return {key: loaded[key] for key in loaded.files}
    except Exception as error:  # whatever the damage leads to
        raise _unreadable(source, error) from error


def _map(source: str) -> Array:
    """The array without its content: a false header claims no memory."""
    return np.load(source, mmap_mode="r", allow_pickle=False)


def _mapped(source: str) -> Array:
    try:
        array = _map(source)
    except Exception as error:  # whatever the damage leads to
        raise _unreadable(source, error) from error
    if not isinstance(array, np.ndarray):
        raise _misnamed(source)
    return np.atleast_1d(array)


def _misnamed(source: str) -> ValueError:
    return ValueError(f"{source} is an .npz archive by its content. Rename it to .npz.")


def _unreadable(source: str, error: Exception) -> ValueError:
    return ValueError(
        f"{source} cannot be read: {error} Expected arrays of numbers as written by numpy.save "
        "or numpy.savez; arrays of Python objects are not accepted."
    )
